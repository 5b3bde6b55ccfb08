"""Secrets at rest, and secrets in sight.

At rest: Fernet (AES-128-CBC with HMAC-SHA256). ENCRYPTION_KEYS holds the keys, newest first: the first encrypts, all
decrypt. To rotate, put a new key in front, run `manage.py rotate_secrets`, then drop the old key. Where it is unset
the key is derived from SECRET_KEY, and SECRET_KEY_FALLBACKS decrypt.

In sight: `mask` and `masked` for whatever is logged, listed or previewed.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation.errors import InvalidInput, WeirError

WEBHOOK_PREFIX = "whsec_"
SENSITIVE_WORDS = (
    "password", "secret", "token", "key", "auth", "credential", "ssn", "social", "credit", "card", "cvv",
    "security_code",
)  # fmt: skip
MASK = "••••••••"


class CannotDecrypt(WeirError):
    """No key in use opens this text: it was encrypted under a key that has been dropped, or it was changed."""

    code: ClassVar[str] = "cannot_decrypt"
    status: ClassVar[int] = 500


def encrypt(text: str) -> str:
    """`text` under the newest key, as ASCII; the empty text stays empty. Equal texts give different results."""
    return _fernet().encrypt(text.encode()).decode("ascii") if text else ""


def decrypt(encrypted: str) -> str:
    """What `encrypt` was given. Raises CannotDecrypt."""
    if not encrypted:
        return ""
    try:
        return _fernet().decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise CannotDecrypt(
            "A stored secret cannot be decrypted with any of ENCRYPTION_KEYS; put the key it was encrypted with back "
            "at the end of the list, or enter the secret again."
        ) from None


def rotate(encrypted: str) -> str:
    """The same secret under the newest key, with its original time. Raises CannotDecrypt."""
    if not encrypted:
        return ""
    try:
        return _fernet().rotate(encrypted.encode()).decode("ascii")
    except InvalidToken:
        raise CannotDecrypt("A stored secret cannot be decrypted with any of ENCRYPTION_KEYS.") from None


def is_current(encrypted: str) -> bool:
    """Whether it is under the newest key."""
    try:
        _newest().decrypt(encrypted.encode())
    except InvalidToken:
        return False
    return True


def new_webhook_secret() -> str:
    """A secret for Standard Webhooks: `whsec_` and 32 random bytes in base64."""
    return WEBHOOK_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def check_webhook_secret(text: str) -> str:
    """`text`, stripped, if it is a Standard Webhooks secret: `whsec_` and 24 to 64 bytes in base64.

    Raises InvalidInput.
    """
    secret = text.strip()
    try:
        if not secret.startswith(WEBHOOK_PREFIX):
            raise ValueError("no prefix")
        encoded = secret.removeprefix(WEBHOOK_PREFIX)
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        if not 24 <= len(key) <= 64:
            raise ValueError("length")
    except ValueError:
        problem = f"A webhook secret is '{WEBHOOK_PREFIX}' followed by 24 to 64 bytes in base64."
        raise InvalidInput(problem, {"webhook_secret": [problem]}) from None
    return secret


def mask(text: str) -> str:
    """A secret as it may be shown: its last four characters when it is long enough for that to say little."""
    if not text:
        return ""
    prefix = WEBHOOK_PREFIX if text.startswith(WEBHOOK_PREFIX) else ""
    return f"{prefix}{MASK}{text[-4:] if len(text) >= 16 else ''}"


def is_sensitive(name: str) -> bool:
    """Whether a key of that name holds a secret, by the words in it."""
    lowered = re.sub(r"[^a-z]+", "_", name.lower())
    return any(word in lowered for word in SENSITIVE_WORDS)


def masked(value: Any) -> Any:
    """A copy of `value` (mappings and sequences, nested) with what sits under a sensitive key masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if is_sensitive(str(key)) and item not in (None, "", [], {}) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [masked(item) for item in value]
    return value


def _newest() -> Fernet:
    _fernet()  # says what is wrong with the keys
    key = settings.ENCRYPTION_KEYS[0] if settings.ENCRYPTION_KEYS else _derive(settings.SECRET_KEY)
    return Fernet(key)


def _fernet() -> MultiFernet:
    return _build(tuple(settings.ENCRYPTION_KEYS), settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _build(keys: tuple[str, ...], secret_key: str, fallbacks: tuple[str, ...]) -> MultiFernet:
    if not keys:
        return MultiFernet([Fernet(_derive(text)) for text in (secret_key, *fallbacks)])
    fernets = []
    for number, key in enumerate(keys, 1):
        try:
            fernets.append(Fernet(key))
        except ValueError:
            # The key itself is not repeated: this text ends in logs.
            raise ImproperlyConfigured(
                f"ENCRYPTION_KEYS: key {number} of {len(keys)} is not valid: expected 32 bytes in URL-safe base64, as "
                "cryptography.fernet.Fernet.generate_key() makes them"
            ) from None
    # What was encrypted before ENCRYPTION_KEYS was set stays readable.
    return MultiFernet([*fernets, *(Fernet(_derive(text)) for text in (secret_key, *fallbacks))])


def _derive(secret_key: str) -> bytes:
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"weir secrets at rest, version 1")
    return base64.urlsafe_b64encode(hkdf.derive(secret_key.encode()))
