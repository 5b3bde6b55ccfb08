"""A worker's limits, set up before its pool forks: DURABLE_MAX_ACTIVITIES and DURABLE_MAX_WORKFLOWS."""

from __future__ import annotations

import logging
from typing import Any

from celery import signals
from django.conf import settings

from automation.durable import limits
from tasks import step_events  # noqa: F401 (connects before this module: its hook is wrapped by that of the limits)

logger = logging.getLogger(__name__)


@signals.celeryd_after_setup.connect
def limit_worker(instance: Any = None, **_: Any) -> None:
    """In the worker's main process. A gate is only made where the limit is below the number of slots."""
    slots = int(instance.concurrency or 1)
    forks = "prefork" in f"{getattr(instance.pool_cls, '__module__', '')}.{instance.pool_cls}"
    make = limits.ProcessGate if forks else limits.ThreadGate

    def gate(size: int) -> limits.Gate | None:
        return make(size) if 0 < size < slots else None

    limits.limit(gate(settings.DURABLE_MAX_ACTIVITIES), gate(settings.DURABLE_MAX_WORKFLOWS))
