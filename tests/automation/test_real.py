"""A booking is saved here, and real workers do the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automation import clock
from automation.durable import starts
from automation.models import Booking, BookingEvent, ExecutionStatus, Trigger, WorkflowExecution
from automation.services import bookings, workflows
from automation.workflows import DEFINITION, AutomationInput
from tests.automation.factories import make_booking, make_organizer
from tests.support.mail import SmtpServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

MINUTES_BEFORE = 60


def make(trigger: str, name: str, **fields: Any) -> None:
    workflows.create(
        make_organizer(),
        name=name,
        trigger=trigger,
        actions=[{"action_type": "send_email", "subject": name, "message": "{{ start_time | datetime }}"}],
        **fields,
    )


def subjects(server: SmtpServer) -> list[str]:
    return sorted(str(message.message["Subject"]) for message in server.messages)


def executions_are(*statuses: str) -> None:
    def look() -> bool:
        rows = WorkflowExecution.objects.order_by("created_at")
        return sorted(rows.values_list("status", flat=True)) == sorted(statuses)

    wait_until(look, 40, lambda: str(list(WorkflowExecution.objects.values("trigger", "status", "error_message"))))


def test_it_sends_what_a_saved_booking_triggers(shared_worker: Any, smtp_server: SmtpServer) -> None:
    make(Trigger.BOOKING_CREATED, "Confirmed")
    make(Trigger.BOOKING_CANCELLED, "Cancelled")
    booking = make_booking()
    executions_are("completed")
    bookings.cancel(booking.pk)
    executions_are("completed", "completed")
    assert subjects(smtp_server) == ["Cancelled", "Confirmed"]


def test_it_loses_no_event_whose_message_is_lost(
    shared_worker: Any, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(Trigger.BOOKING_CREATED, "Confirmed")
    with monkeypatch.context() as broken:
        broken.setattr("automation.durable.canvas._publish", lambda signature: False)
        make_booking()
    assert BookingEvent.objects.get().processed_at is None
    executions_are("completed")
    assert subjects(smtp_server) == ["Confirmed"]


def test_it_reminds_at_the_new_time_only(
    shared_worker: Any, smtp_server: SmtpServer, clock_shift: Callable[[float], None]
) -> None:
    make(Trigger.BEFORE_MEETING, "Reminder", delay_minutes=MINUTES_BEFORE)
    make(Trigger.AFTER_MEETING, "Thanks", delay_minutes=15)
    start = clock.now().replace(microsecond=0) + timedelta(days=2)
    kept, dropped = make_booking(start_time=start), make_booking(start_time=start, organizer=make_organizer())
    executions_are(*["pending"] * 4)
    new_start = start + timedelta(days=1)
    bookings.reschedule(kept.pk, new_start)
    bookings.cancel(dropped.pk)
    executions_are("pending", "pending", "cancelled", "cancelled")
    moved = WorkflowExecution.objects.filter(booking=kept, status=ExecutionStatus.PENDING)
    wait_until(lambda: set(moved.values_list("booking_sequence", flat=True)) == {1}, 20, lambda: str(moved.values()))

    # Past the old time: nothing goes out.
    clock_shift((start - clock.now()).total_seconds() + 60)
    sweeps_have_passed(shared_worker)
    assert subjects(smtp_server) == []

    clock_shift((new_start - timedelta(minutes=MINUTES_BEFORE) - clock.now()).total_seconds() + 1)
    executions_are("completed", "pending", "cancelled", "cancelled")
    assert subjects(smtp_server) == ["Reminder"]
    reminder = WorkflowExecution.objects.get(status=ExecutionStatus.COMPLETED)
    assert reminder.started_at is not None
    assert timedelta(0) <= reminder.started_at - (new_start - timedelta(minutes=MINUTES_BEFORE)) < timedelta(seconds=20)

    clock_shift((kept_end(kept.pk) + timedelta(minutes=15) - clock.now()).total_seconds() + 1)
    executions_are("completed", "completed", "cancelled", "cancelled")
    assert subjects(smtp_server) == ["Reminder", "Thanks"]


def kept_end(booking_id: Any) -> Any:
    return Booking.objects.get(pk=booking_id).end_time


def sweeps_have_passed(worker: Any) -> None:
    """Wait until what is due now, made for this, has been swept: a probe that only a sweep can start."""
    (probe,) = starts.start_many(
        [starts.NewExecution(DEFINITION, (AutomationInput([]),), scheduled_for=clock.now() + timedelta(seconds=1))]
    )
    row = WorkflowExecution.objects.filter(pk=probe)
    clock.shift(120)
    wait_until(lambda: row.get().status == ExecutionStatus.COMPLETED, 40, lambda: str(row.values()))
    row.delete()
