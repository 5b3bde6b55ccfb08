"""An organizer's workflow, run to its end by the engine in this process: what it did, its log and its statistics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from rest_framework.test import APIClient

from automation import clock
from automation.durable import recovery
from automation.models import (
    Booking,
    BookingStatus,
    ExecutionStatus,
    ExecutionStep,
    OnFailure,
    StepStatus,
    Trigger,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)
from automation.services import bookings, statistics, workflows
from automation.services.executions import execution_log
from project.celery import app
from tests.automation.factories import NOW, make_action, make_booking, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = [{"operator": "AND", "rules": [{"field": "invitee_name", "operator": "equals", "value": "Nobody"}]}]
REFUSED = {"action_type": "webhook", "webhook_url": "http://127.0.0.1:9/hook", "message": "", "subject": ""}


@pytest.fixture(autouse=True)
def inline() -> Iterator[None]:
    """Messages are carried out where they are sent, at once."""
    import tasks.registry  # noqa: F401

    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def executed(workflow: Workflow) -> WorkflowExecution:
    return WorkflowExecution.objects.get(workflow=workflow)


def run_delayed(execution: WorkflowExecution) -> None:
    """Have the delayed step's time come, and a sweep find it."""
    past = clock.now() - timedelta(seconds=1)
    ExecutionStep.objects.filter(execution=execution, status=StepStatus.PENDING).update(run_at=past, due=past)
    recovery.sweep()
    assert not ExecutionStep.objects.filter(execution=execution, status=StepStatus.PENDING).exists()


def statuses(execution: WorkflowExecution) -> list[tuple[str, str]]:
    return [(entry["action"], entry["status"]) for entry in execution_log(execution)]


def test_it_runs_a_workflow_when_a_booking_is_saved() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=2)
    make_booking()
    execution = executed(workflow)
    assert (execution.status, execution.error_message) == (ExecutionStatus.COMPLETED, "")
    assert (execution.actions_executed, execution.actions_failed) == (2, 0)
    assert [message.to for message in mail.outbox] == [["ina@example.com"]] * 2
    first, _ = execution_log(execution)
    assert first["status"] == "success"
    assert first["action_type"] == "send_email"
    assert first["rendered"]["subject"] == "Hello"
    assert first["attempts"] == 1
    assert first["duration_ms"] is not None
    assert first["started_at"] <= first["completed_at"]


def test_it_tells_actions_whose_conditions_do_not_hold() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(workflow, name="Conditional", conditions=NEVER)
    make_action(workflow, name="Always", order=1)
    make_booking()
    execution = executed(workflow)
    assert execution.status == ExecutionStatus.COMPLETED
    assert (execution.actions_executed, execution.actions_failed) == (1, 0)
    assert statuses(execution) == [("Conditional", "skipped_conditions"), ("Always", "success")]
    assert execution_log(execution)[0]["conditions"]


@pytest.mark.parametrize(
    ("on_failure", "after"), [(OnFailure.CONTINUE, "success"), (OnFailure.STOP, "skipped")], ids=["continue", "stop"]
)
def test_it_fails_when_an_action_fails_and_goes_on_unless_told_otherwise(on_failure: str, after: str) -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(workflow, name="Refused", on_failure=on_failure, **REFUSED)
    make_action(workflow, name="After", order=1)
    make_booking()
    execution = executed(workflow)
    assert execution.status == ExecutionStatus.FAILED
    assert statuses(execution) == [("Refused", "failed"), ("After", after)]
    assert (execution.actions_executed, execution.actions_failed) == (int(after == "success"), 1)
    assert "1 of 2 actions failed" in execution.error_message
    assert "127.0.0.1" in execution_log(execution)[0]["error"]
    client = APIClient()
    client.force_authenticate(workflow.organizer)
    steps = client.get(f"/api/v1/executions/{execution.pk}/steps/").json()["results"]
    assert [step["status"] for step in steps] == ["failed", "completed" if after == "success" else "skipped"]
    assert steps[0]["output"] is None


def test_it_runs_equal_orders_in_parallel_and_joins_them() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    for name, order in (("Last", 2), ("A", 1), ("B", 1), ("C", 1)):
        make_action(workflow, name=name, order=order, subject=name)
    make_booking()
    execution = executed(workflow)
    assert execution.status == ExecutionStatus.COMPLETED
    stages = ExecutionStep.objects.filter(execution=execution).order_by("seq").values_list("stage", flat=True)
    assert list(stages) == [0, 0, 0, 1]
    assert sorted(message.subject for message in mail.outbox[:3]) == ["A", "B", "C"]
    assert mail.outbox[3].subject == "Last"


def test_it_waits_before_a_delayed_action() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    make_action(workflow, name="Later", order=1, delay_minutes=90)
    make_booking()
    execution = executed(workflow)
    assert execution.status == ExecutionStatus.RUNNING
    step = ExecutionStep.objects.get(execution=execution, status=StepStatus.PENDING)
    assert step.run_at is not None
    assert step.run_at - execution.created_at >= timedelta(minutes=90)
    assert len(mail.outbox) == 1


def test_it_changes_a_booking_without_triggering_itself() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(workflow, action_type="update_booking", update_booking_fields={"status": "cancelled"})
    on_cancel = make_workflow(Trigger.BOOKING_CANCELLED)
    reviving = make_workflow(Trigger.BOOKING_CANCELLED, actions=0)
    make_action(reviving, action_type="update_booking", update_booking_fields={"meeting_id": "42"})
    booking = make_booking()
    booking.refresh_from_db()
    assert (booking.status, booking.meeting_id) == (BookingStatus.CANCELLED, "42")
    assert executed(workflow).status == ExecutionStatus.COMPLETED
    assert executed(on_cancel).depth == 1
    assert booking.events.get(trigger=Trigger.BOOKING_CANCELLED).caused_by == executed(workflow)


def test_it_cuts_a_loop_between_two_workflows() -> None:
    """One cancels what the other confirms again, for ever."""
    cancelling = make_workflow(Trigger.BEFORE_MEETING, actions=0, delay_minutes=60 * 24 * 9, late_policy="run_now")
    make_action(cancelling, action_type="update_booking", update_booking_fields={"status": "cancelled"})
    confirming = make_workflow(Trigger.BOOKING_CANCELLED, actions=0)
    make_action(confirming, action_type="update_booking", update_booking_fields={"status": "confirmed"})
    booking = make_booking()
    notes = [event.note for event in booking.events.filter(trigger=Trigger.BOOKING_CANCELLED)]
    assert any("no more may" in note for note in notes)
    assert 2 <= WorkflowExecution.objects.count() <= 6


def test_it_rolls_runs_up_into_statistics_once() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    sending = make_action(workflow, name="Sent")
    refused = make_action(workflow, name="Refused", order=1, **REFUSED)
    skipped = make_action(workflow, name="Skipped", order=2, conditions=NEVER)
    fine = make_workflow(Trigger.BOOKING_CREATED, name="fine")
    off = make_workflow(Trigger.BEFORE_MEETING, name="never begun")
    event_type = make_booking().event_type
    make_booking(event_type)
    workflows.update(off, is_active=False)

    def figures(row: Workflow | WorkflowAction) -> tuple[int, int, int]:
        row.refresh_from_db()
        return row.total_executions, row.successful_executions, row.failed_executions

    assert statistics.roll_up(batch=3) == 3
    assert statistics.roll_up_all() == 3
    assert statistics.roll_up_all() == 0
    assert figures(workflow) == (2, 0, 2)
    assert figures(fine) == (2, 2, 0)
    assert figures(off) == (0, 0, 0)
    assert [figures(action) for action in (sending, refused, skipped)] == [(2, 2, 0), (2, 0, 2), (0, 0, 0)]
    assert fine.get_success_rate() == 100.0
    assert fine.last_executed_at == WorkflowExecution.objects.filter(workflow=fine).latest("completed_at").completed_at


def test_it_runs_the_version_that_it_started_with() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    make_action(workflow, name="Later", order=1, delay_minutes=90, subject="Before the edit")
    make_booking()
    before = executed(workflow).version
    later = workflow.actions.get(name="Later")
    workflows.update_action(later, subject="After the edit")
    execution = executed(workflow)
    assert execution.version == before
    assert Workflow.objects.get(pk=workflow.pk).version == 2


def test_it_finishes_what_it_began_before_a_meeting_that_only_got_longer() -> None:
    """Its two actions lie ten minutes apart; the end of the meeting changes between them."""
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 48, late_policy="run_now")
    make_action(workflow, order=1, name="Later", delay_minutes=10)
    booking = make_booking()
    execution = executed(workflow)
    WorkflowExecution.objects.filter(pk=execution.pk).update(scheduled_for=booking.start_time - timedelta(days=2))
    bookings.reschedule(booking.pk, booking.start_time, booking.end_time + timedelta(minutes=15))
    assert executed(workflow).booking_sequence == 1
    run_delayed(execution)
    assert executed(workflow).actions_executed == 2


def test_it_does_nothing_more_when_it_is_switched_off() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    make_action(workflow, order=1, name="Later", delay_minutes=10)
    make_booking()
    execution = executed(workflow)
    workflows.update(workflow, is_active=False)
    run_delayed(execution)
    assert statuses(executed(workflow)) == [("Action 0", "success"), ("Later", "skipped")]
    assert execution_log(execution)[1]["notes"] == ["The workflow has been switched off since this was planned."]
    assert len(mail.outbox) == 1


def test_it_sends_nothing_for_a_meeting_that_was_moved_while_it_ran() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24 * 9, late_policy="run_now", actions=0)
    make_action(workflow, name="Now", subject="Now")
    booking: Any = make_booking()
    assert executed(workflow).status == ExecutionStatus.COMPLETED
    assert len(mail.outbox) == 1
    bookings.reschedule(booking.pk, NOW + timedelta(days=30))
    assert len(mail.outbox) == 1
    row = WorkflowExecution.objects.get(workflow=workflow, status=ExecutionStatus.PENDING)
    assert (row.booking_sequence, row.scheduled_for) == (1, NOW + timedelta(days=21))
    assert Booking.objects.get(pk=booking.pk).sequence == 1
