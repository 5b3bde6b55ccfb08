"""Texts as rows can hold them: names are refused where they are said, messages for people are made to fit.

A database takes neither NUL nor half of a surrogate pair. Values are JSON in ASCII and may hold both (`payloads`).
"""

from __future__ import annotations

import functools

from automation.errors import InvalidInput

NAME = 200
QUEUE = 100
ID = 255
"""Characters of a definition's or a step's name, of a queue's, and of a workflow id."""

MESSAGE = 4_000
"""Characters of a message for people, such as why an execution has failed."""


def storable(text: str) -> bool:
    """Whether a row can hold this text as it is."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


@functools.lru_cache(maxsize=4096)
def check(what: str, text: str, limit: int) -> None:
    """Raise InvalidInput for a text that the row of `what` cannot hold."""
    if len(text) > limit:
        raise InvalidInput(f"{what} has up to {limit} characters; {text[:60]!r}… has {len(text)}")
    if not storable(text):
        raise InvalidInput(f"{what} holds a NUL or half of a surrogate pair, which are no characters: {text[:60]!r}")


def shown(text: str) -> str:
    """A message for people, as a row can hold it: what is no character as its escape, and no longer than MESSAGE."""
    if not storable(text):
        text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text if len(text) <= MESSAGE else f"{text[: MESSAGE - 1]}…"
