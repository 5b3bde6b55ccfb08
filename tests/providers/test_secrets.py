"""Secrets at rest, and secrets in sight."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from automation import secrets
from automation.errors import InvalidInput


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_what_is_encrypted_is_decrypted(text: str) -> None:
    encrypted = secrets.encrypt(text)
    assert secrets.decrypt(encrypted) == text
    assert encrypted.isascii()
    if len(text) > 3:
        assert text not in encrypted
        assert secrets.encrypt(text) != encrypted


def test_keys_rotate(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    derived = secrets.encrypt("before there were keys")
    settings.ENCRYPTION_KEYS = [old]
    encrypted = secrets.encrypt("s3cret")
    assert secrets.decrypt(derived) == "before there were keys"
    settings.ENCRYPTION_KEYS = [new, old]
    rotated = secrets.rotate(encrypted)
    assert secrets.decrypt(encrypted) == secrets.decrypt(rotated) == "s3cret"
    settings.ENCRYPTION_KEYS = [new]
    assert secrets.decrypt(rotated) == "s3cret"
    with pytest.raises(secrets.CannotDecrypt, match="ENCRYPTION_KEYS"):
        secrets.decrypt(encrypted)
    with pytest.raises(secrets.CannotDecrypt):
        secrets.rotate(encrypted)


def test_a_changed_secret_key_is_bridged_by_its_fallback(settings: Any) -> None:
    encrypted = secrets.encrypt("s3cret")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the next one"
    assert secrets.decrypt(encrypted) == "s3cret"


def test_a_bad_key_is_named_by_its_place_and_not_repeated(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), "hunter2"]
    with pytest.raises(ImproperlyConfigured, match="key 2 of 2") as caught:
        secrets.encrypt("x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["garbage", "gAAAAA", "é", "\0"])
def test_what_was_not_encrypted_by_us_is_refused(text: str) -> None:
    with pytest.raises(secrets.CannotDecrypt):
        secrets.decrypt(text)


def test_nothing_stays_nothing() -> None:
    assert (secrets.encrypt(""), secrets.decrypt(""), secrets.rotate(""), secrets.mask("")) == ("", "", "", "")


def test_webhook_secrets() -> None:
    secret = secrets.new_webhook_secret()
    assert secrets.check_webhook_secret(f" {secret} ") == secret
    assert secrets.new_webhook_secret() != secret
    for bad in ("", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", "whsec_" + "A" * 200, "whsec_é"):
        with pytest.raises(InvalidInput, match="whsec_"):
            secrets.check_webhook_secret(bad)


def test_masks() -> None:
    secret = secrets.new_webhook_secret()
    assert secrets.mask(secret) == f"whsec_{secrets.MASK}{secret[-4:]}"
    assert secrets.mask("hunter2") == secrets.MASK
    assert secrets.masked(
        {"user": "ada", "API-Key": "x", "nested": [{"cardNumber": 1, "n": (1, 2)}], "token": "", "auth": None}
    ) == {
        "user": "ada",
        "API-Key": secrets.MASK,
        "nested": [{"cardNumber": secrets.MASK, "n": [1, 2]}],
        "token": "",
        "auth": None,
    }
