"""Rows for tests of automations: small, and in no need of each other's defaults."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from automation import clock
from automation.models import (
    Booking,
    EventType,
    User,
    Workflow,
    WorkflowAction,
)

NOW = clock.now().replace(microsecond=0)
"""One moment for a whole run: bookings start two days after it unless they say otherwise."""


def make_organizer(email: str = "olga@example.com") -> User:
    user: User = User.objects.filter(email=email).first() or User.objects.create_user(email, first_name="Olga")
    return user


def make_event_type(organizer: User | None = None, name: str = "Discovery Call") -> EventType:
    return EventType.objects.create(organizer=organizer or make_organizer(), name=name, duration=30)


def make_booking(
    event_type: EventType | None = None, organizer: User | None = None, *, save: bool = True, **fields: Any
) -> Booking:
    """A booking of half an hour, in two days."""
    event_type = event_type or make_event_type(organizer)
    start = fields.pop("start_time", NOW + timedelta(days=2))
    booking = Booking(
        event_type=event_type,
        organizer=event_type.organizer,
        start_time=start,
        end_time=fields.pop("end_time", start + timedelta(minutes=30)),
        **{"invitee_name": "Ina Vitee", "invitee_email": "ina@example.com", **fields},
    )
    if save:
        booking.save()
    return booking


def make_workflow(trigger: str, organizer: User | None = None, *, actions: int = 1, **fields: Any) -> Workflow:
    """An active workflow with so many email actions, of orders 0, 1, …"""
    organizer = organizer or make_organizer()
    fields.setdefault("name", f"{trigger} {Workflow.objects.filter(organizer=organizer).count()}")
    event_types = fields.pop("event_types", [])
    workflow = Workflow.objects.create(organizer=organizer, trigger=trigger, **fields)
    workflow.event_types.set(event_types)
    for order in range(actions):
        make_action(workflow, order=order)
    return workflow


def make_action(workflow: Workflow, **fields: Any) -> WorkflowAction:
    defaults = {"action_type": "send_email", "subject": "Hello", "message": "Hello {{ invitee_name }}"}
    fields.setdefault("name", f"Action {fields.get('order', 0)}")
    return WorkflowAction.objects.create(workflow=workflow, **{**defaults, **fields})
