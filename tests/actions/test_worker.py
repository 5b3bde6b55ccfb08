"""Actions in a real worker, and what they hold while they call the world."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection

from automation import clock
from automation.durable import starts
from automation.models import (
    Booking,
    BookingAuditLog,
    ExecutionStep,
    NotificationLog,
    NotificationPreference,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.outbound import targets
from automation.providers.sms import SmsBackend, SmsMessage, SmsReceipt
from automation.workflows import DEFINITION, AutomationInput, PlannedAction
from tests.actions.conftest import Stage
from tests.support.mail import SmtpServer
from tests.support.receiver import HttpReceiver, Reply
from tests.support.waiting import wait_until

ADA, JOSE = "ada@weir.example", "jose@enterprise.example"
ACTIVITIES = {
    "send_email": "execute_email_action",
    "webhook": "execute_webhook_action",
    "update_booking": "execute_update_booking_action",
}

in_transaction: list[bool] = []


class WatchingSms(SmsBackend):
    def send(self, message: SmsMessage) -> SmsReceipt:
        in_transaction.append(connection.in_atomic_block)
        return SmsReceipt("x")


class WatchingEmail(EmailBackend):
    def send_messages(self, messages: Any) -> int:
        in_transaction.append(connection.in_atomic_block)
        return super().send_messages(messages)


@pytest.fixture
def watched(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    settings.SMS_BACKEND = f"{__name__}.WatchingSms"
    settings.EMAIL_BACKEND = f"{__name__}.WatchingEmail"
    monkeypatch.setattr("automation.outbound.client.addresses_of", _watching(targets.addresses_of))
    in_transaction.clear()
    yield in_transaction
    in_transaction.clear()


def _watching(function: Any) -> Any:
    def watch(*args: Any, **kwargs: Any) -> Any:
        in_transaction.append(connection.in_atomic_block)
        return function(*args, **kwargs)

    return watch


@pytest.mark.django_db(transaction=True)
def test_no_message_leaves_inside_a_transaction(
    transactional_db: None, watched: list[bool], stage: Stage, http_receiver: HttpReceiver
) -> None:
    actions: tuple[dict[str, Any], ...] = (
        {"action_type": "send_email", "message": "x"},
        {"action_type": "send_sms", "message": "x"},
        {"action_type": "webhook", "webhook_url": http_receiver.url()},
    )
    for action in actions:
        assert stage.act(**action)["status"] == "success"
    assert watched == [False, False, False]


def start(stage: Stage, *actions: dict[str, Any]) -> WorkflowExecution:
    """Plans `actions` in one stage each, as the planner does."""
    first = stage.execution(action_type="send_email", message="x")
    assert first.version is not None
    workflow = first.version.workflow
    listed = [
        {"id": str(uuid.uuid4()), "name": f"Act {number}", "order": number, **action}
        for number, action in enumerate(actions)
    ]
    version = WorkflowVersion.objects.create(
        workflow=workflow, number=2, snapshot={"id": str(workflow.id), "name": workflow.name, "actions": listed}
    )
    first.delete()
    data = AutomationInput([[PlannedAction(a["id"], a["name"], ACTIVITIES[a["action_type"]])] for a in listed])
    [id_] = starts.start_many(
        [
            starts.NewExecution(
                DEFINITION,
                (data,),
                workflow_id=workflow.id,
                version_id=version.id,
                booking_id=stage.booking.id,
                trigger="booking_created",
            )
        ]
    )
    return WorkflowExecution.objects.get(id=id_)


def ended(execution: WorkflowExecution) -> WorkflowExecution:
    def look() -> bool:
        execution.refresh_from_db()
        return not execution.is_open

    wait_until(look, 40, lambda: f"the end of {execution}: {list(execution.steps.values())}")
    return execution


@pytest.mark.real
def test_a_worker_runs_each_type_and_retries_as_documented(
    shared_worker: Any, stage: Stage, smtp_server: SmtpServer, http_receiver: HttpReceiver
) -> None:
    http_receiver.on("/hook", Reply(status=503, headers={"Retry-After": "1"}), Reply(mode="reset"), Reply(body=b"done"))
    execution = start(
        stage,
        {"action_type": "update_booking", "update_booking_fields": {"meeting_id": "{{ invitee_name }}"}},
        {"action_type": "send_email", "recipient": "both", "subject": "Hi", "message": "At {{ meeting_id }}"},
        {"action_type": "webhook", "webhook_url": http_receiver.url()},
    )

    assert ended(execution).status == "completed"
    assert Booking.objects.get().meeting_id == "José Álvarez"
    assert BookingAuditLog.objects.filter(execution=execution).count() == 1
    assert {received.recipients[0] for received in smtp_server.messages} == {ADA, JOSE}
    assert all(received.text.strip() == "At José Álvarez" for received in smtp_server.messages)
    assert len({received.body for received in http_receiver.requests}) == 1
    assert len(http_receiver.requests) == 3
    steps = {step.name: step for step in ExecutionStep.objects.filter(execution=execution)}
    assert steps["execute_webhook_action"].attempt == 3
    assert "done" in steps["execute_webhook_action"].output


@pytest.mark.real
def test_a_refused_recipient_fails_the_execution_and_the_rest_runs(
    shared_worker: Any, stage: Stage, smtp_server: SmtpServer, http_receiver: HttpReceiver
) -> None:
    smtp_server.reject(ADA)
    execution = start(
        stage,
        {"action_type": "send_email", "recipient": "both", "subject": "Hi", "message": "x"},
        {"action_type": "webhook", "webhook_url": http_receiver.url()},
    )

    assert ended(execution).status == "failed"
    assert [received.recipients for received in smtp_server.messages] == [(JOSE,)]
    assert len(http_receiver.requests) == 1
    assert {row.recipient: row.status for row in NotificationLog.objects.filter(channel="email")} == {
        ADA: "bounced",
        JOSE: "sent",
    }
    step = ExecutionStep.objects.get(execution=execution, name="execute_email_action")
    assert step.attempt == 1
    assert "550 5.1.1 no such user" in step.failure


@pytest.mark.real
def test_quiet_hours_are_a_row_that_waits(
    shared_worker: Any, stage: Stage, smtp_server: SmtpServer, clock_shift: Callable[[float], None]
) -> None:
    """The whole day but a quarter of an hour, which begins in ten hours."""
    end = (clock.now() + dt.timedelta(hours=10)).replace(microsecond=0)
    NotificationPreference.objects.create(
        organizer=stage.organizer,
        recipient=JOSE,
        timezone="UTC",
        quiet_from=(end + dt.timedelta(minutes=15)).time(),
        quiet_until=end.time(),
    )
    execution = start(stage, {"action_type": "send_email", "recipient": "both", "subject": "Hi", "message": "x"})
    steps = ExecutionStep.objects.filter(execution=execution, run_at__isnull=False)
    wait_until(steps.exists, 40, lambda: f"a step that waits: {list(execution.steps.values())}")
    assert [received.recipients for received in smtp_server.messages] == [(ADA,)]
    step = steps.get()
    assert step.status == "pending"
    assert step.run_at is not None
    assert abs(step.run_at - end) < dt.timedelta(seconds=5)
    row = NotificationLog.objects.get(recipient=JOSE)
    assert (row.status, row.attempts, row.deferred_until) == ("pending", 0, end)

    clock_shift((end - clock.now()).total_seconds() + 1)
    assert ended(execution).status == "completed"
    assert [received.recipients for received in smtp_server.messages] == [(ADA,), (JOSE,)]
    assert {(row.status, row.attempts) for row in NotificationLog.objects.all()} == {("sent", 1)}
