"""Workflows that beat starts: see `beat_schedules.domains`."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.db import close_old_connections

from automation.errors import Conflict
from automation.services import running


@shared_task(name="start_scheduled_workflow", time_limit=120)
def start_scheduled_workflow(name: str, values: dict[str, Any] | None = None) -> str:
    """Start a registered workflow, unless the one that was started before has not ended."""
    close_old_connections()
    try:
        execution = running.start(name, values=values or {}, business_id=f"scheduled-{name}")
    except Conflict:
        return f"{name} has not ended yet"
    return f"{name} {execution}"
