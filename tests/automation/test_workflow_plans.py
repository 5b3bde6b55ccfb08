"""Rule 4: switching a workflow on or off, and editing it, brings what is planned for existing bookings in line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automation import clock
from automation.models import (
    BookingEvent,
    BookingStatus,
    ExecutionStatus,
    LatePolicy,
    Trigger,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, triggers, workflow_plans, workflows
from automation.services.meeting_plan import OTHER_EVENT_TYPE, SWITCHED_OFF, TRIGGER_CHANGED
from tests.automation.factories import NOW, make_booking, make_event_type, make_organizer, make_workflow

pytestmark = pytest.mark.django_db

START = NOW + timedelta(days=2)


def settle(*rows: Workflow) -> None:
    """Process all events, and bring all plans in line."""
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))
    for workflow in rows or Workflow.objects.all():
        assert workflow_plans.plan_workflow(workflow.pk) in ("planned", "in line")
    for workflow in rows:
        workflow.refresh_from_db()
        assert workflow.plan_due is None


def planned(workflow: Workflow) -> list[tuple[str, Any, str]]:
    rows = WorkflowExecution.objects.filter(workflow=workflow).order_by("scheduled_for", "created_at")
    return list(rows.values_list("status", "scheduled_for", "error_message"))


def test_it_stops_what_is_planned_when_switched_off_and_plans_it_again_when_switched_on() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    settle(workflow)
    execution = WorkflowExecution.objects.get()
    workflows.update(workflow, is_active=False)
    # At once, in the edit's own transaction.
    assert planned(workflow) == [("cancelled", START - timedelta(minutes=60), SWITCHED_OFF)]
    settle(workflow)
    assert len(planned(workflow)) == 1
    workflows.update(workflow, is_active=True)
    settle(workflow)
    assert planned(workflow) == [("pending", START - timedelta(minutes=60), "")]
    assert WorkflowExecution.objects.get().pk == execution.pk
    assert WorkflowExecution.objects.get().completed_at is None


def _save(workflow: Workflow) -> None:
    workflow.is_active = False
    workflow.save()


def _save_one_field(workflow: Workflow) -> None:
    workflow.is_active = False
    workflow.save(update_fields=["is_active"])


def _bulk_update(workflow: Workflow) -> None:
    workflow.is_active = False
    Workflow.objects.bulk_update([workflow], ["is_active"])


def _limit_from_the_other_side(workflow: Workflow) -> None:
    make_event_type(name="Another").workflows.add(workflow)


@pytest.mark.parametrize(
    "edit",
    [
        _save,
        _save_one_field,
        _bulk_update,
        lambda workflow: Workflow.objects.update(is_active=False),
        lambda workflow: workflow.event_types.set([make_event_type(name="Another")]),
        _limit_from_the_other_side,
        lambda workflow: workflow.actions.update(is_active=False),
        lambda workflow: workflow.actions.all().delete(),
        lambda workflow: workflow.actions.get().delete(),
    ],
)
def test_it_notices_an_edit_by_any_way_in(edit: Callable[[Workflow], object]) -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    settle(workflow)
    edit(workflow)
    workflow.refresh_from_db()
    assert workflow.plan_due is not None
    settle(workflow)
    assert [status for status, _, _ in planned(workflow)] == ["cancelled"]


def test_it_takes_counting_for_no_edit() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING)
    settle(workflow)
    workflow.increment_execution_stats(success=True)
    workflow.actions.get().increment_execution_stats(success=False)
    assert Workflow.objects.get().plan_due is None


def test_it_stops_a_delayed_event_too() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, delay_minutes=60)
    make_booking()
    settle(workflow)
    workflows.update(workflow, is_active=False)
    assert [(status, reason) for status, _, reason in planned(workflow)] == [("cancelled", SWITCHED_OFF)]


def test_it_plans_a_new_workflow_for_the_bookings_that_have_not_passed() -> None:
    event_type = make_event_type()
    coming, running = make_booking(event_type), make_booking(event_type, start_time=NOW - timedelta(minutes=10))
    make_booking(event_type, start_time=NOW - timedelta(days=3))
    make_booking(event_type, status=BookingStatus.CANCELLED)
    make_booking(make_event_type(make_organizer("stranger@example.com")))
    settle()
    before = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    after = make_workflow(Trigger.AFTER_MEETING, delay_minutes=30)
    settle(before, after)
    assert planned(before) == [("pending", START - timedelta(minutes=60), "")]
    assert planned(after) == [
        ("pending", running.end_time + timedelta(minutes=30), ""),
        ("pending", coming.end_time + timedelta(minutes=30), ""),
    ]


def test_it_records_what_is_too_late_for_a_booking_that_has_not_passed() -> None:
    make_booking()
    skipping = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24 * 3)
    running = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24 * 3, late_policy=LatePolicy.RUN_NOW)
    settle(skipping, running)
    assert [status for status, _, _ in planned(skipping)] == ["cancelled"]
    assert [status for status, _, _ in planned(running)] == ["pending"]


def test_it_moves_what_is_planned_when_the_delay_is_edited() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    settle(workflow)
    workflows.update(workflow, delay_minutes=120)
    settle(workflow)
    assert planned(workflow) == [("pending", START - timedelta(minutes=120), "")]


def test_it_moves_a_delayed_event_when_the_delay_is_edited() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, delay_minutes=60)
    make_booking()
    settle(workflow)
    ((_, at, _),) = planned(workflow)
    workflows.update(workflow, delay_minutes=90)
    settle(workflow)
    assert planned(workflow) == [("pending", at + timedelta(minutes=30), "")]


def test_it_plans_anew_when_the_trigger_is_edited() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking()
    settle(workflow)
    workflows.update(workflow, trigger=Trigger.AFTER_MEETING)
    settle(workflow)
    assert planned(workflow) == [
        ("cancelled", START - timedelta(minutes=60), TRIGGER_CHANGED),
        ("pending", booking.end_time + timedelta(minutes=60), ""),
    ]
    workflows.update(workflow, trigger=Trigger.BOOKING_CREATED)
    settle(workflow)
    assert {status for status, _, _ in planned(workflow)} == {"cancelled"}


def test_it_follows_an_edit_of_the_event_types() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    event_type, other = make_event_type(), make_event_type(name="Other")
    make_booking(event_type)
    make_booking(other, start_time=START + timedelta(days=1))
    settle(workflow)
    workflows.update(workflow, event_types=[other])
    settle(workflow)
    assert [(status, reason) for status, _, reason in planned(workflow)] == [
        ("cancelled", OTHER_EVENT_TYPE),
        ("pending", ""),
    ]
    workflows.update(workflow, event_types=[])
    settle(workflow)
    assert [status for status, _, _ in planned(workflow)] == ["pending", "pending"]


def test_it_runs_what_is_planned_with_the_edited_actions() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    settle(workflow)
    workflows.add_action(workflow, action_type="send_email", subject="And", message="more")
    settle(workflow)
    execution = WorkflowExecution.objects.get()
    assert execution.version is not None
    assert execution.version.number == 2
    assert execution.input.count("execute_email_action") == 2


def test_it_leaves_alone_what_a_person_has_cancelled() -> None:
    from automation.durable import control

    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    settle(workflow)
    control.cancel(WorkflowExecution.objects.get().pk, "olga@example.com: not this time")
    workflows.update(workflow, delay_minutes=30)
    settle(workflow)
    assert [status for status, _, _ in planned(workflow)] == ["cancelled"]


def test_it_leaves_what_has_begun_and_the_plans_of_others() -> None:
    workflow, other = make_workflow(Trigger.BEFORE_MEETING), make_workflow(Trigger.BEFORE_MEETING)
    event_type = make_event_type()
    booking = make_booking(event_type)
    make_booking(event_type)
    settle(workflow, other)
    running = WorkflowExecution.objects.filter(workflow=workflow, booking=booking)
    running.update(status=ExecutionStatus.RUNNING, started_at=clock.now())
    workflows.update(workflow, is_active=False)
    settle(workflow)
    assert sorted(status for status, _, _ in planned(workflow)) == ["cancelled", "running"]
    assert [status for status, _, _ in planned(other)] == ["pending", "pending"]


def test_it_plans_many_bookings_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_plans, "BATCH", 4)
    monkeypatch.setattr(workflow_plans, "BATCHES_PER_MESSAGE", 2)
    sent: list[tuple[str, list[Any]]] = []
    monkeypatch.setattr("automation.durable.canvas.send", lambda name, args, **_: sent.append((name, args)) or True)
    event_type = make_event_type()
    for _ in range(21):
        make_booking(event_type)
    settle()
    sent.clear()
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    words = [workflow_plans.plan_workflow(workflow.pk)]
    from tasks.automation import plan_workflow

    while len(words) <= len(sent):
        words.append(plan_workflow(*sent[len(words) - 1][1]))
    assert words == ["handed over", "handed over", "planned"]
    assert len(planned(workflow)) == 21


def test_it_gives_way_to_a_newer_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_plans, "BATCH", 2)
    monkeypatch.setattr(workflow_plans, "BATCHES_PER_MESSAGE", 1)
    sent: list[list[Any]] = []
    monkeypatch.setattr("automation.durable.canvas.send", lambda name, args, **_: sent.append(args) or True)
    event_type = make_event_type()
    for _ in range(5):
        make_booking(event_type)
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    assert workflow_plans.plan_workflow(workflow.pk) == "handed over"
    (rest,) = sent
    workflows.update(workflow, delay_minutes=120)
    from tasks.automation import plan_workflow

    assert plan_workflow(*rest) == "replaced"


def test_it_publishes_a_plan_again_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[Any]] = []
    monkeypatch.setattr("automation.durable.canvas.send", lambda name, args, **_: sent.append(args) or True)
    workflow = make_workflow(Trigger.BEFORE_MEETING)
    now = clock.now()
    assert workflow_plans.sweep_plans(now) == 1
    assert workflow_plans.sweep_plans(now) == 0
    assert workflow_plans.sweep_plans(now + timedelta(minutes=1)) == 1
    assert sent == [[str(workflow.pk)]] * 2
    settle(workflow)
    assert workflow_plans.sweep_plans(now + timedelta(hours=1)) == 0


def test_it_plans_nothing_for_a_reschedule_of_a_workflow_that_is_off() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking()
    settle(workflow)
    workflows.update(workflow, is_active=False)
    bookings.reschedule(booking.pk, START + timedelta(days=1))
    settle(workflow)
    assert [status for status, _, _ in planned(workflow)] == ["cancelled"]
    workflows.update(workflow, is_active=True)
    settle(workflow)
    assert [(status, at) for status, at, _ in planned(workflow)] == [
        ("cancelled", START - timedelta(minutes=60)),
        ("pending", START + timedelta(days=1, minutes=-60)),
    ]
