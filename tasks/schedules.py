"""Schedules of Python workflows: what beat's rows call."""

from __future__ import annotations

import uuid

from celery import shared_task
from django.db import close_old_connections

from automation.durable.schedules import firing, rows


@shared_task(name=rows.TASK, time_limit=120)
def run_schedule(schedule: str) -> str:
    """Start what a schedule's moments ask for that have come since it was last looked at."""
    close_old_connections()
    return f"{firing.run(uuid.UUID(schedule))} started"
