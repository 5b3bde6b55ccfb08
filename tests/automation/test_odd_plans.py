"""What nobody plans for and somebody does: bookings that change hands, workflows switched on too late, odd zones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction

from automation import clock
from automation.errors import Conflict
from automation.models import (
    Booking,
    BookingEvent,
    EventType,
    LatePolicy,
    Trigger,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, triggers, versions, workflow_plans, workflows
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


@pytest.mark.parametrize(("late_policy", "expected"), [(LatePolicy.SKIP, "cancelled"), (LatePolicy.RUN_NOW, "pending")])
def test_what_is_switched_on_after_its_time_follows_the_late_policy(late_policy: str, expected: str) -> None:
    """A reminder three days before a meeting in two: it was off when its time came."""
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60, late_policy=late_policy)
    make_booking()
    settle()
    workflows.update(workflow, is_active=False)
    settle()
    workflows.update(workflow, is_active=True, delay_minutes=60 * 24 * 3)
    settle()
    ((status, at, _),) = planned(workflow)
    assert status == expected
    assert expected == "cancelled" or at <= clock.now()
    settle()
    assert [row[0] for row in planned(workflow)] == [expected]


@pytest.mark.parametrize(
    ("start", "minutes"),
    [
        (datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Berlin")), 120),  # 2:00 is 3:00
        (datetime(2026, 10, 25, 1, 30, tzinfo=ZoneInfo("Europe/Berlin")), 120),  # 3:00 is 2:00
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), 45),
        (datetime(2026, 4, 5, 1, 45, tzinfo=ZoneInfo("Australia/Lord_Howe")), 60),  # half an hour
    ],
)
def test_a_meeting_takes_as_long_as_it_takes_while_the_clocks_change(start: datetime, minutes: int) -> None:
    event_type = make_event_type()
    event_type.duration = minutes
    made = bookings.create(event_type, invitee_name="I", invitee_email="i@example.com", start_time=start)
    assert made.duration_minutes == minutes
    row = Booking.objects.get()
    assert row.end_time - row.start_time == timedelta(minutes=minutes)
    moved = bookings.reschedule(row.pk, start + timedelta(days=364))
    assert moved.duration_minutes == minutes
    back = bookings.reschedule(row.pk, start)
    assert back.duration_minutes == minutes
    assert Booking.objects.get().end_time == row.end_time


def test_a_version_never_changes() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    version = versions.publish(workflow)
    version.snapshot = {**version.snapshot, "name": "Another"}
    for fields in (None, ["snapshot"], ["note", "number"]):
        with pytest.raises(TypeError, match="never changes"):
            version.save(update_fields=fields)
    version.note = "Friendlier"
    version.save(update_fields=["note"])
    version.refresh_from_db()
    assert (version.note, version.snapshot["name"]) == ("Friendlier", workflow.name)


@pytest.mark.parametrize("way", ["row", "queryset", "both at once"])
def test_no_delete_makes_a_workflow_one_for_all_event_types(way: str) -> None:
    first, second = make_event_type(name="First"), make_event_type(name="Second")
    workflow = make_workflow(Trigger.BOOKING_CREATED, event_types=[first, second])
    if way == "both at once":
        with pytest.raises(Conflict, match="only event type of the workflow"), transaction.atomic():
            EventType.objects.all().delete()
        assert workflow.event_types.count() == 2
        return
    second.delete()
    with pytest.raises(Conflict, match="only event type of the workflow"), transaction.atomic():
        first.delete() if way == "row" else EventType.objects.filter(pk=first.pk).delete()
    assert list(workflow.event_types.all()) == [first]
    workflow.organizer.delete()
    assert not EventType.objects.exists()
