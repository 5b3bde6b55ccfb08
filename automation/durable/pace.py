"""How long activities last took in this process.

A visit holds the executions that travelled with its message until it has come to each. They are not to wait behind a
step that is known to be slow, while other workers have nothing to do.
"""

from __future__ import annotations

from django.conf import settings

_took: dict[str, float] = {}


def took(activity: str, seconds: float) -> None:
    """Note how long an attempt has just taken, well or badly."""
    _took[activity] = seconds


def is_slow(activity: str) -> bool:
    """Whether the last attempt here took as long as DURABLE_CHUNK_BUDGET; what never ran here counts as quick."""
    return _took.get(activity, 0.0) >= settings.DURABLE_CHUNK_BUDGET
