"""SMS: `settings.SMS_BACKEND` names the backend by its dotted path.

receipt = send_sms(SmsMessage(to="+34600123456", text="…", idempotency_key=key))
"""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from automation.providers.sms.base import SmsBackend, SmsFailed, SmsMessage, SmsReceipt, SmsRefused
from automation.providers.sms.phones import BadPhone, Phone, parse_phone, region_of_timezone
from automation.providers.sms.segments import Segments, count_segments


@lru_cache(maxsize=8)
def _backend(path: str) -> SmsBackend:
    try:
        cls = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"SMS_BACKEND={path!r} cannot be imported: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, SmsBackend)):
        raise ImproperlyConfigured(f"SMS_BACKEND={path!r} is not a subclass of {SmsBackend.__module__}.SmsBackend")
    return cls()


def get_backend(path: str | None = None) -> SmsBackend:
    """The backend that settings name, one instance per process. Raises ImproperlyConfigured."""
    return _backend(path or settings.SMS_BACKEND)


def send_sms(message: SmsMessage) -> SmsReceipt:
    """Sends by the configured backend. Raises SmsFailed (may pass later) or SmsRefused (will not)."""
    return get_backend().send(message)


def callback_url(notification_id: str) -> str:
    """Where the configured provider tells what becomes of a message; empty where it tells nothing."""
    provider = get_backend().callbacks
    return f"{settings.PUBLIC_URL}/api/v1/callbacks/{provider}/?notification={notification_id}" if provider else ""


@receiver(setting_changed)
def _forget(**_: object) -> None:
    _backend.cache_clear()


__all__ = [
    "BadPhone",
    "Phone",
    "Segments",
    "SmsBackend",
    "SmsFailed",
    "SmsMessage",
    "SmsReceipt",
    "SmsRefused",
    "callback_url",
    "count_segments",
    "get_backend",
    "parse_phone",
    "region_of_timezone",
    "send_sms",
]
