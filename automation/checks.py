"""What Django checks before a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from automation.durable import registry


@register
def definitions(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """Whether the workflows and activities of all apps can be registered: no name twice."""
    try:
        registry.discover()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="weir.E001")]
    return []
