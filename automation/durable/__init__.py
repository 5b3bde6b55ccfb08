"""Durable workflows on Django rows, carried by Celery.

Public: `workflow`, `activity`, `common`, `exceptions`, `client`, `worker`, `testing`, and what `base` offers, which can
be imported from here as well; the rest is the engine's inside. docs/architecture.md says where to begin reading.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps
from django.conf import settings

if TYPE_CHECKING:
    from automation.durable.base import (
        INTEGRATION_RETRY_POLICY as INTEGRATION_RETRY_POLICY,
    )
    from automation.durable.base import (
        NO_RETRY_POLICY as NO_RETRY_POLICY,
    )
    from automation.durable.base import (
        PAYMENT_RETRY_POLICY as PAYMENT_RETRY_POLICY,
    )
    from automation.durable.base import (
        STANDARD_RETRY_POLICY as STANDARD_RETRY_POLICY,
    )
    from automation.durable.base import (
        BaseWorkflow as BaseWorkflow,
    )
    from automation.durable.base import (
        django_activity as django_activity,
    )
    from automation.durable.base import (
        get_default_retry_policy as get_default_retry_policy,
    )
    from automation.durable.base import (
        log_activity_result as log_activity_result,
    )
    from automation.durable.base import (
        monitored_activity as monitored_activity,
    )
    from automation.durable.base import (
        monitored_workflow as monitored_workflow,
    )
    from automation.durable.base import (
        transactional_activity as transactional_activity,
    )


def _set_up() -> None:
    """In a script that imports this before anything of Django's, as a ported program does: what manage.py would."""
    if apps.ready or apps.loading:
        return
    name = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if settings.configured or name not in sys.modules:  # else the settings are just being read, and come from there
        django.setup()


_set_up()

_OFFERED = frozenset({
    "INTEGRATION_RETRY_POLICY", "NO_RETRY_POLICY", "PAYMENT_RETRY_POLICY", "STANDARD_RETRY_POLICY", "BaseWorkflow",
    "django_activity", "get_default_retry_policy", "log_activity_result", "monitored_activity", "monitored_workflow",
    "transactional_activity",
})  # fmt: skip


def __getattr__(name: str) -> Any:
    # When it is first asked for: the engine's parts import each other through this package.
    if name in _OFFERED:
        return getattr(importlib.import_module("automation.durable.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
