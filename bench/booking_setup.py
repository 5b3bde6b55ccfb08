"""An organizer with one automation, and bookings that set it off."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from automation import clock
from automation.models import Booking, EventType, Trigger, User, Workflow, WorkflowAction
from automation.services import bookings

EMAIL = "bench@example.com"


def organizer_with_automation() -> EventType:
    """The event type whose bookings are answered by an email; made at the first call."""
    with transaction.atomic():
        organizer = User.objects.filter(email=EMAIL).first()
        if organizer is None:
            organizer = User.objects.create_user(EMAIL)
            EventType.objects.create(organizer=organizer, name="Benchmark", duration=30)
            workflow = Workflow.objects.create(
                organizer=organizer, name="Confirm bookings", trigger=Trigger.BOOKING_CREATED
            )
            WorkflowAction.objects.create(
                workflow=workflow,
                name="Confirm",
                action_type="send_email",
                order=1,
                subject="See you soon, {{ invitee_name }}",
                message="{{ event_type_name }}, {{ start_time | datetime }}",
            )
    return EventType.objects.get(organizer=organizer)


def book(event_type: EventType, number: int) -> Booking:
    """One more booking, in a month or later."""
    start = (clock.now() + dt.timedelta(days=30, hours=number)).replace(minute=0, second=0, microsecond=0)
    return bookings.create(
        event_type, invitee_name=f"Invitee {number}", invitee_email=f"invitee{number}@example.com", start_time=start
    )
