"""A reminder a month ahead: a row and nothing else, until its time is near; the clock is moved by its one seam."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from automation import clock
from automation.durable import canvas, recovery
from automation.models import Booking, ExecutionStatus, Trigger, Workflow, WorkflowExecution
from automation.services import bookings
from project.celery import app
from tests.automation.factories import make_booking, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400.0


class Sent:
    """Every message that was sent, carried out at once unless it has to wait."""

    def __init__(self) -> None:
        self.visits: list[tuple[str, float]] = []

    def publish(self, signature: Any) -> bool:
        if signature["task"] == canvas.VISIT:
            wait = signature["options"].get("countdown") or 0.0
            self.visits += [(id_, wait) for id_, _ in signature["args"][0]]
        if not signature["options"].get("countdown"):
            signature.apply_async()
        return True

    def of(self, execution: WorkflowExecution) -> list[float]:
        return [wait for id_, wait in self.visits if id_ == str(execution.id)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    import tasks.registry  # noqa: F401

    sent = Sent()
    monkeypatch.setattr(canvas, "_publish", sent.publish)
    app.conf.task_always_eager = True
    yield sent
    app.conf.task_always_eager = False


@pytest.fixture
def days() -> Iterator[Any]:
    """Lets days pass; they are taken back afterwards."""
    passed = 0.0

    def go(number: float) -> None:
        nonlocal passed
        passed += number
        clock.shift(number * DAY)

    yield go
    clock.shift(-passed * DAY)


def reminder() -> tuple[Workflow, Booking]:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    start = clock.now().replace(microsecond=0) + timedelta(days=30, hours=1)
    return workflow, make_booking(start_time=start)


def planned(workflow: Workflow) -> WorkflowExecution:
    return WorkflowExecution.objects.get(workflow=workflow)


def test_it_costs_a_row_and_no_message_until_its_time_is_near(sent: Sent, days: Any) -> None:
    workflow, booking = reminder()
    execution = planned(workflow)
    assert execution.status == ExecutionStatus.PENDING
    assert execution.due == execution.scheduled_for == booking.start_time - timedelta(hours=1)
    for _ in range(29):
        days(1)
        recovery.sweep()
    assert sent.of(execution) == []
    assert not mail.outbox

    days(1 - 3 / DAY)  # three seconds before its time, within the look-ahead
    recovery.sweep()
    (wait,) = sent.of(execution)
    assert 0 < wait <= 3.1
    recovery.sweep()
    assert len(sent.of(execution)) == 1, "it is handed over once"

    days(3 / DAY)
    canvas.visit([(execution.id, execution.epoch)], execution.queue)
    assert planned(workflow).status == ExecutionStatus.COMPLETED
    assert len(mail.outbox) == 1


def test_it_moves_with_the_meeting(sent: Sent, days: Any) -> None:
    workflow, booking = reminder()
    execution = planned(workflow)
    bookings.reschedule(booking.pk, booking.start_time + timedelta(days=5))
    days(30)
    recovery.sweep()
    assert sent.of(execution) == [], "nothing at the old time"
    days(5)
    recovery.sweep()
    assert len(sent.of(execution)) == 1
    assert planned(workflow).status == ExecutionStatus.COMPLETED
    assert len(mail.outbox) == 1


def test_it_ends_with_the_meeting(sent: Sent, days: Any) -> None:
    workflow, booking = reminder()
    execution = planned(workflow)
    bookings.cancel(booking.pk, reason="ill", actor="olga@example.com")
    days(31)
    recovery.sweep()
    assert sent.of(execution) == []
    row = planned(workflow)
    assert row.status == ExecutionStatus.CANCELLED
    assert row.error_message
    assert not mail.outbox
