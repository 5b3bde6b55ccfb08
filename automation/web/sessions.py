"""Django's sessions in the database, for whatever a browser sends as their key."""

from __future__ import annotations

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """A cookie's quoted form can carry a NUL (\\000), at which PostgreSQL's driver raises: it is nobody's key."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(None if session_key and "\x00" in session_key else session_key)
