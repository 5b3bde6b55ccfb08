"""Payments: `settings.PAYMENTS_BACKEND` names the backend by its dotted path.

    operation = get_backend().authorize(Charge(amount=Decimal("50.00"), currency="EUR", …))

They move money, so every call carries an idempotency key, and no call is made inside a database transaction.
"""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from automation.providers.payments.base import (
    CardDeclined,
    Charge,
    Kind,
    Operation,
    PaymentFailed,
    PaymentRefused,
    PaymentsBackend,
)


@lru_cache(maxsize=8)
def _backend(path: str) -> PaymentsBackend:
    try:
        cls = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"PAYMENTS_BACKEND={path!r} cannot be imported: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, PaymentsBackend)):
        raise ImproperlyConfigured(
            f"PAYMENTS_BACKEND={path!r} is not a subclass of {PaymentsBackend.__module__}.PaymentsBackend"
        )
    return cls()


def get_backend(path: str | None = None) -> PaymentsBackend:
    """The backend that settings name, one instance per process. Raises ImproperlyConfigured."""
    return _backend(path or settings.PAYMENTS_BACKEND)


@receiver(setting_changed)
def _forget(**_: object) -> None:
    _backend.cache_clear()


__all__ = [
    "CardDeclined",
    "Charge",
    "Kind",
    "Operation",
    "PaymentFailed",
    "PaymentRefused",
    "PaymentsBackend",
    "get_backend",
]
