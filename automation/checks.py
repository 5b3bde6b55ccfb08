"""What is looked at before a process serves anybody: Django asks before a command runs; web servers and workers ask
themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import mail
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from automation import secrets
from automation.durable import codecs, registry
from automation.providers import payments, sms, video

# What raises where a setting cannot be used.
ASK: Mapping[str, Callable[[], object]] = {
    "EMAIL_BACKEND": mail.get_connection,
    "SMS_BACKEND": sms.get_backend,
    "PAYMENTS_BACKEND": payments.get_backend,
    "VIDEO_BACKEND": video.get_backend,
    "ENCRYPTION_KEYS": lambda: secrets.encrypt("x"),
    "PAYLOAD_CODEC": lambda: codecs.seal("x"),
}


@register
def definitions(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """Whether the workflows and activities of all apps can be registered: no name twice."""
    try:
        registry.discover()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="weir.E001")]
    return []


@register
def configuration(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """Whether backends and keys can be used. A credential that is missing is a warning: it may be set for the workers
    alone that need it."""
    return list(_of_settings())


def start() -> None:
    """End the process with one line where something is wrong. For web servers, which run no checks, and workers, which
    go on after them."""
    for problem in [*definitions(None), *_of_settings()]:
        if problem.is_serious():
            raise SystemExit(f"weir: {problem.msg}")


def _of_settings() -> Iterator[CheckMessage]:
    for name, ask in ASK.items():
        try:
            ask()
        except ImproperlyConfigured as error:
            bad = str(error).startswith((f"{name}=", "ENCRYPTION_KEYS", "PAYLOAD_KEYS"))
            yield Error(str(error), id="weir.E002") if bad else Warning(str(error), id="weir.W001")
        except ImportError as error:
            yield Error(f"{name}={getattr(settings, name)!r} cannot be imported: {error}", id="weir.E002")
