"""Task tokens: what names an attempt of an activity to whoever completes it from outside."""

from __future__ import annotations

import uuid

from django.core import signing

from automation.errors import NotFound

_SALT = "automation.durable.tokens"


def token_of(execution: uuid.UUID, seq: int, attempt: int) -> bytes:
    """The token of an attempt: signed, so that nobody makes one up."""
    return signing.Signer(salt=_SALT).sign(f"{execution}:{seq}:{attempt}").encode()


def read(token: bytes | str) -> tuple[uuid.UUID, int, int]:
    """(execution, seq, attempt) of a token. Raises NotFound for what is none."""
    try:
        text = signing.Signer(salt=_SALT).unsign(token.decode() if isinstance(token, bytes) else token)
        execution, seq, attempt = text.split(":")
        return uuid.UUID(execution), int(seq), int(attempt)
    except (signing.BadSignature, UnicodeDecodeError, ValueError) as error:
        raise NotFound("this is no task token of ours; give activity.info().task_token as it was") from error
