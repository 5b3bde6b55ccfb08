"""Sessions on worker processes."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from automation import clock
from automation.durable import payloads, starts
from automation.models import Booking, ExecutionStatus, WorkflowExecution
from tests.domains.booking import factories as make
from tests.support.mail import SmtpServer
from tests.support.processes import Worker
from tests.support.waiting import wait_until


def start(workflow: str, *args: object) -> uuid.UUID:
    return starts.start_many([starts.NewExecution(workflow, args)])[0]


def result(execution: uuid.UUID) -> dict[str, Any]:
    def ended() -> WorkflowExecution | None:
        return WorkflowExecution.objects.filter(id=execution, status=ExecutionStatus.COMPLETED).first()

    found: dict[str, Any] = payloads.decode(wait_until(ended, 60, lambda: f"{execution} to complete").result)
    return found


@pytest.mark.real
def test_sessions_on_real_workers(
    shared_worker: Worker, smtp_server: SmtpServer, clock_shift: Callable[[float], None]
) -> None:
    booking = make.session(30)
    created, batch = start("BookingCreatedWorkflow", booking.pk), start("BatchReminderWorkflow", 48.0)
    assert result(created)["confirmed"] == ["invitee", "organizer"]
    assert result(batch) == {"total": 1, "sent": 1, "failed": 0, "skipped": 0}
    session = start("BookingWorkflow", booking.pk)
    moved = start("ReschedulingWorkflow", booking.pk, clock.now() + dt.timedelta(hours=40))
    assert result(moved)["status"] == "rescheduled"
    assert result(session)["status"] == "rescheduled", "it hears of the change, and does not wait for the day to end"
    new = Booking.objects.get(rescheduled_from=booking)
    clock_shift((new.start_time - clock.now()).total_seconds() + 60)
    missed = start("NoShowWorkflow", new.pk)
    wait_until(lambda: len(smtp_server.messages) >= 6, 60, lambda: f"six mails, not {len(smtp_server.messages)}")
    clock_shift(301)
    assert result(missed)["status"] == "no_show"
    assert [mail.subject.split(":")[0] for mail in smtp_server.messages][-1] == "We missed you"
