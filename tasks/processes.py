"""What a worker's process does before its first task."""

from __future__ import annotations

import gc
from typing import Any

from celery import signals

from automation import checks

GC_THRESHOLDS = (10_000, 20, 100)


@signals.worker_init.connect
def check(**_: Any) -> None:
    """End the worker where something is set that cannot be used. (Celery runs Django's checks, and goes on.)"""
    checks.start()


@signals.worker_process_init.connect
def settle_memory(**_: Any) -> None:
    """Keep the garbage collector off what was imported: it would walk all of Django again and again, and, in a forked
    child, copy its pages by doing so. Live runs are cyclic, so it stays on for the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
