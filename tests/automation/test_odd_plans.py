"""What nobody plans for and somebody does: bookings that change hands, workflows switched on too late, odd zones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automation.models import (
    Booking,
    BookingEvent,
    Trigger,
    Workflow,
    WorkflowExecution,
)
from automation.services import triggers, workflow_plans
from automation.services.meeting_plan import OTHER_EVENT_TYPE, OTHER_ORGANIZER
from tests.automation.factories import NOW, make_booking, make_event_type, make_organizer, make_workflow

pytestmark = pytest.mark.django_db

START = NOW + timedelta(days=2)


def settle() -> None:
    """Process all events, and bring all plans in line."""
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))
    for workflow in Workflow.objects.all():
        assert workflow_plans.plan_workflow(workflow.pk) in ("planned", "in line")


def planned(workflow: Workflow) -> list[tuple[str, Any, str]]:
    rows = WorkflowExecution.objects.filter(workflow=workflow).order_by("scheduled_for", "created_at")
    return list(rows.values_list("status", "scheduled_for", "error_message"))


def test_a_booking_of_another_event_type_is_planned_by_the_workflows_of_that_one() -> None:
    first, second = make_event_type(name="First"), make_event_type(name="Second")
    for_first = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60, event_types=[first])
    for_second = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60, event_types=[second])
    for_all = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking(first)
    settle()
    at = START - timedelta(hours=1)
    for event_type, begins, ends in ((second, for_second, for_first), (first, for_first, for_second)):
        booking.event_type = event_type
        booking.save()
        settle()
        assert planned(begins) == [("pending", at, "")]
        assert planned(ends) == [("cancelled", at, OTHER_EVENT_TYPE)]
    assert planned(for_all) == [("pending", at, "")]


def test_a_booking_that_changes_hands_is_planned_by_its_new_organizer_s_workflows() -> None:
    eve = make_organizer("eve@example.com")
    olgas = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    eves = make_workflow(Trigger.BEFORE_MEETING, eve, delay_minutes=60)
    booking = make_booking()
    settle()
    Booking.objects.filter(pk=booking.pk).update(organizer=eve)
    settle()
    assert planned(olgas) == [("cancelled", START - timedelta(hours=1), OTHER_ORGANIZER)]
    assert planned(eves) == [("pending", START - timedelta(hours=1), "")]
