"""Who is calling: a token in the Authorization header, or the session of a signed-in browser."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import authentication, exceptions
from rest_framework.authtoken.models import Token
from rest_framework.request import Request

from automation.models import User

_KEY = re.compile(r"[0-9a-f]{40}")


class TokenAuthentication(authentication.TokenAuthentication):
    """`Authorization: Token <40 hexadecimal digits>`. What cannot be a token does not reach the database."""

    def authenticate_credentials(self, key: str) -> tuple[User, Token]:
        if not _KEY.fullmatch(key):
            raise exceptions.AuthenticationFailed("Invalid token.")
        found: tuple[User, Token] = super().authenticate_credentials(key)
        return found


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with the CSRF check."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        # A cookie's quoted form can carry a NUL (\000), on which PostgreSQL's driver would raise.
        session_key = getattr(getattr(request._request, "session", None), "session_key", None) or ""
        if "\x00" in session_key:
            return None
        found: tuple[Any, None] | None = super().authenticate(request)
        return found
