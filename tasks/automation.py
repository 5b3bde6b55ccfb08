"""Celery tasks of automations: from a booking's event to executions, and what follows when they have ended."""

from __future__ import annotations

import datetime as dt
import uuid

from celery import shared_task

from automation.actions.registry import registry
from automation.durable import canvas, recovery
from automation.services import booking_events, statistics, triggers, workflow_plans

registry.types()  # a worker knows every action's activity from its start
recovery.register_sweep("booking events", booking_events.sweep_events)
recovery.register_sweep("workflow plans", workflow_plans.sweep_plans)


@shared_task(name=canvas.EVENTS)
def trigger_workflows(event_ids: list[str]) -> str:
    """Start what these booking events trigger, and plan what they move."""
    return f"{triggers.process([uuid.UUID(id_) for id_ in event_ids])} processed"


@shared_task(name=workflow_plans.TASK)
def plan_workflow(workflow_id: str, after: str | None = None, token: str | None = None) -> str:
    """Bring what is planned for existing bookings in line with an edited workflow."""
    return workflow_plans.plan_workflow(
        uuid.UUID(workflow_id),
        uuid.UUID(after) if after else None,
        dt.datetime.fromisoformat(token) if token else None,
    )


@shared_task(name=statistics.TASK)
def roll_up_statistics() -> str:
    """Count the runs that have ended since into their workflows' and actions' statistics."""
    return f"{statistics.roll_up_all()} counted"
