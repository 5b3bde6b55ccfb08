"""Payloads at rest: whether, and how, what users put into workflows is sealed on its way into a row.

PAYLOAD_KEYS holds Fernet keys, newest first: the first seals, all open. To rotate, put a new key in front, run
`manage.py rotate_payloads`, then drop the old one. PAYLOAD_CODEC names another codec by its dotted path, or is "off":
then nothing new is sealed, and what is sealed is opened still.

A sealed text begins with `~`, as no JSON does, so that rows from before and after a change of the settings lie side by
side.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from automation.errors import WeirError

SEAL = "~"


class CannotOpen(WeirError):
    """A sealed payload that no key in use opens. The step or execution is tried again: put the key back."""

    code = "cannot_open_payload"
    status = 500


class PayloadCodec(Protocol):
    """What PAYLOAD_CODEC names; made once a process, without arguments."""

    def encode(self, text: str) -> str:
        """`text` (JSON, ASCII) as it is kept in a row, ASCII too."""

    def decode(self, text: str) -> str:
        """What `encode` was given. Raises CannotOpen."""


class FernetCodec:
    """AES-128 in CBC mode with HMAC-SHA256, under PAYLOAD_KEYS."""

    def __init__(self) -> None:
        if not settings.PAYLOAD_KEYS:
            raise ImproperlyConfigured("PAYLOAD_KEYS is empty: the Fernet codec needs at least one key")
        fernets = []
        for number, key in enumerate(settings.PAYLOAD_KEYS, 1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                # The key itself is not repeated: this text ends in logs.
                raise ImproperlyConfigured(
                    f"PAYLOAD_KEYS: key {number} of {len(settings.PAYLOAD_KEYS)} is not valid: expected 32 bytes in "
                    "URL-safe base64, as cryptography.fernet.Fernet.generate_key() makes them"
                ) from None
        self._fernet = MultiFernet(fernets)

    def encode(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def decode(self, text: str) -> str:
        try:
            return self._fernet.decrypt(text.encode()).decode()
        except InvalidToken:
            raise CannotOpen(
                "A stored payload cannot be opened with any of PAYLOAD_KEYS; put the key it was sealed with back at "
                "the end of the list."
            ) from None


_read = False
_sealing: PayloadCodec | None = None
_opening: PayloadCodec | None = None


def seal(text: str) -> str:
    """`text` as it goes into a row."""
    if not _read:
        _read_settings()
    return text if _sealing is None else SEAL + _sealing.encode(text)


def unseal(text: str) -> str:
    """What `seal` was given. Raises CannotOpen."""
    if not text.startswith(SEAL):
        return text
    if not _read:
        _read_settings()
    if _opening is None:
        raise CannotOpen("A stored payload is sealed, and there are no PAYLOAD_KEYS (and no PAYLOAD_CODEC) to open it.")
    return _opening.decode(text[1:])


def reseal(text: str) -> str:
    """A stored text, sealed or not, as the settings want it now: under the newest key, or plain. What is no payload
    (a column may hold a word of the engine's) stays as it is."""
    if not text.startswith(SEAL):
        try:
            json.loads(text)
        except ValueError:
            return text
    return seal(unseal(text))


def _read_settings() -> None:
    global _read, _sealing, _opening
    wanted = settings.PAYLOAD_CODEC
    _opening = None
    if wanted not in ("", "off"):
        _opening = import_string(wanted)()
    elif settings.PAYLOAD_KEYS:
        _opening = FernetCodec()
    _sealing = None if wanted == "off" else _opening
    _read = True


def _forget(*, setting: str, **_more: Any) -> None:
    global _read
    if setting in ("PAYLOAD_CODEC", "PAYLOAD_KEYS"):
        _read = False


setting_changed.connect(_forget)
