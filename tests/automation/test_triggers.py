"""From a recorded event to executions, through the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation import clock
from automation.actions import invocation
from automation.causes import MAX_DEPTH, caused_by
from automation.durable import starts
from automation.models import (
    Alert,
    Booking,
    BookingEvent,
    BookingStatus,
    ExecutionStatus,
    LatePolicy,
    Trigger,
    Workflow,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.services import booking_events, bookings, triggers
from automation.services.meeting_plan import MOVED
from automation.services.overtaking import OVERTAKEN
from tests.automation.factories import (
    NOW,
    make_action,
    make_booking,
    make_event_type,
    make_organizer,
    make_workflow,
)

pytestmark = pytest.mark.django_db


def process() -> int:
    """Process what waits, in the order in which it happened."""
    waiting = BookingEvent.objects.filter(processed_at__isnull=True).order_by("occurred_at")
    return triggers.process(list(waiting.values_list("pk", flat=True)))


@dataclass(frozen=True)
class Info:
    execution_id: UUID
    seq: int = 1
    attempt: int = 1
    idempotency_key: str = "k"


def info_of(execution: WorkflowExecution) -> Any:
    """What an attempt at one of its actions knows of itself."""
    return Info(execution.pk)


def planned(workflow: Workflow) -> list[tuple[str, Any, int | None]]:
    """Status, planned time and sequence of the workflow's executions, by sequence."""
    rows = WorkflowExecution.objects.filter(workflow=workflow).order_by("booking_sequence", "created_at")
    return list(rows.values_list("status", "scheduled_for", "booking_sequence"))


def test_it_starts_what_an_event_triggers_after_its_delay() -> None:
    at_once = make_workflow(Trigger.BOOKING_CREATED)
    delayed = make_workflow(Trigger.BOOKING_CREATED, delay_minutes=30)
    make_workflow(Trigger.BOOKING_CANCELLED)
    booking = make_booking()
    assert process() == 1
    event = BookingEvent.objects.get()
    assert event.processed_at is not None
    assert (event.due, event.note) == (None, "")
    assert planned(at_once) == [("pending", event.occurred_at, 0)]
    assert planned(delayed) == [("pending", event.occurred_at + timedelta(minutes=30), 0)]
    execution = WorkflowExecution.objects.get(workflow=at_once)
    assert execution.booking == booking
    assert execution.definition == "automation"
    assert execution.version is not None
    assert execution.version.snapshot["actions"][0]["message"] == "Hello {{ invitee_name }}"
    assert WorkflowExecution.objects.count() == 2


@pytest.mark.parametrize(
    ("act", "trigger"),
    [
        (lambda b: bookings.cancel(b.pk, "ill"), Trigger.BOOKING_CANCELLED),
        (lambda b: bookings.complete(b.pk), Trigger.BOOKING_COMPLETED),
        (lambda b: bookings.no_show(b.pk), Trigger.BOOKING_NO_SHOW),
        (lambda b: bookings.reschedule(b.pk, NOW + timedelta(days=5)), Trigger.BOOKING_RESCHEDULED),
    ],
)
def test_it_starts_each_trigger_s_workflow_once(act: Callable[[Booking], Booking], trigger: str) -> None:
    workflow = make_workflow(trigger)
    act(make_booking())
    assert process() == 2
    assert [status for status, _, _ in planned(workflow)] == ["pending"]
    # The same events again, as a doubled message has it, and as a sweep has it after the mark was lost.
    assert triggers.process(list(BookingEvent.objects.values_list("pk", flat=True))) == 0
    BookingEvent.objects.update(processed_at=None)
    process()
    assert len(planned(workflow)) == 1


def test_it_starts_only_active_workflows_of_the_organizer_for_the_event_type() -> None:
    booking = make_booking()
    other_type = make_event_type(booking.organizer, "Other")
    fitting = make_workflow(Trigger.BOOKING_CREATED, event_types=[booking.event_type, other_type])
    make_workflow(Trigger.BOOKING_CREATED, event_types=[other_type])
    make_workflow(Trigger.BOOKING_CREATED, is_active=False)
    make_workflow(Trigger.BOOKING_CREATED, make_organizer("stranger@example.com"))
    process()
    assert list(WorkflowExecution.objects.values_list("workflow", flat=True)) == [fitting.pk]


def test_it_says_why_nothing_was_started() -> None:
    make_booking()
    process()
    assert "No active workflow" in BookingEvent.objects.get().note


def test_it_runs_what_the_rows_say_whoever_edited_them() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    event_type = make_event_type()
    make_booking(event_type)
    process()
    workflow.actions.update(message="Edited in the shell")
    make_booking(event_type)
    make_booking(event_type)
    process()
    numbers = WorkflowExecution.objects.order_by("created_at").values_list("version__number", flat=True)
    assert list(numbers) == [1, 2, 2]
    version = WorkflowVersion.objects.get(number=2)
    assert version.snapshot["actions"][0]["message"] == "Edited in the shell"


def test_it_does_not_trigger_the_workflow_that_made_the_change() -> None:
    workflow = make_workflow(Trigger.BOOKING_CANCELLED)
    bystander = make_workflow(Trigger.BOOKING_CANCELLED)
    make_workflow(Trigger.BOOKING_CREATED, name="cause")
    booking = make_booking()
    process()
    (cause,) = starts.start_many([starts.NewExecution("automation", workflow_id=workflow.pk, booking_id=booking.pk)])
    with caused_by("workflow", execution_id=cause, workflow_id=workflow.pk, depth=1):
        bookings.cancel(booking.pk)
    event = BookingEvent.objects.latest("occurred_at")
    assert (event.caused_by_id, event.depth) == (cause, 1)
    process()
    event.refresh_from_db()
    assert planned(workflow)[0][2] is None
    assert len(planned(workflow)) == 1
    assert "made this change itself" in event.note
    assert [status for status, _, _ in planned(bystander)] == ["pending"]
    assert WorkflowExecution.objects.get(workflow=bystander).depth == 1


def test_it_cuts_a_loop_between_workflows_with_a_reason() -> None:
    workflow = make_workflow(Trigger.BOOKING_CANCELLED)
    booking = make_booking()
    booking.status = BookingStatus.CANCELLED
    with caused_by("workflow", depth=MAX_DEPTH):
        booking.save()
    process()
    assert planned(workflow) == []
    note = BookingEvent.objects.get(trigger=Trigger.BOOKING_CANCELLED).note
    assert workflow.name in note
    assert "5 workflows have led to this event" in note


def test_it_isolates_an_event_that_cannot_be_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    event_type = make_event_type()
    good, bad = make_booking(event_type), make_booking(event_type)
    execution_for = triggers._execution

    def refuse_one(definition: Any, event: BookingEvent, booking: Booking) -> starts.NewExecution:
        if booking.pk == bad.pk:
            raise RuntimeError("poison")
        return execution_for(definition, event, booking)

    monkeypatch.setattr(triggers, "_execution", refuse_one)
    assert process() == 1
    assert WorkflowExecution.objects.get(workflow=workflow).booking == good
    event = BookingEvent.objects.get(booking=bad)
    assert event.processed_at is None
    assert (event.attempts, event.note) == (1, "RuntimeError: poison")
    first = event.due
    assert first is not None
    process()
    event.refresh_from_db()
    assert event.due is not None
    assert event.due > first + timedelta(seconds=1)  # 2 s, then 4 s
    for _ in range(triggers.MAX_ATTEMPTS):
        process()
    event.refresh_from_db()
    assert event.due is None
    assert Alert.objects.get(kind="booking_event").key == str(event.pk)


def test_it_starts_the_others_when_one_workflow_cannot_run() -> None:
    broken = make_workflow(Trigger.BOOKING_CREATED, name="Broken")
    broken.actions.update(action_type="smoke_signal")
    empty = make_workflow(Trigger.BOOKING_CREATED, name="Empty", actions=0)
    fine = make_workflow(Trigger.BOOKING_CREATED)
    make_booking()
    assert process() == 1
    assert (planned(broken), planned(empty), len(planned(fine))) == ([], [], 1)
    note = BookingEvent.objects.get().note
    assert "'Broken' cannot run: There is no action type 'smoke_signal'" in note
    assert "'Empty' cannot run: it has no active action" in note


def test_it_takes_no_more_queries_for_fifty_workflows() -> None:
    """(How long they take is measured: `python -m bench.volume --only events`.)"""

    def run(count: int, organizer_email: str) -> int:
        organizer = make_organizer(organizer_email)
        kinds = [
            (Trigger.BOOKING_CREATED, 0, LatePolicy.SKIP),
            (Trigger.BEFORE_MEETING, 60, LatePolicy.SKIP),
            (Trigger.AFTER_MEETING, 60, LatePolicy.SKIP),
            (Trigger.BEFORE_MEETING, 60 * 24 * 9, LatePolicy.SKIP),
            (Trigger.BEFORE_MEETING, 60 * 24 * 9, LatePolicy.RUN_NOW),
        ]
        for index in range(count):
            trigger, delay, policy = kinds[index % len(kinds)]
            make_workflow(trigger, organizer, name=f"W{index}", delay_minutes=delay, late_policy=policy)
        event_type = make_event_type(organizer)
        make_booking(event_type)
        process()  # publishes the versions
        booking = make_booking(event_type)
        (event,) = BookingEvent.objects.filter(booking=booking).values_list("pk", flat=True)
        with CaptureQueriesContext(connection) as queries:
            assert triggers.process([event]) == 1
        assert WorkflowExecution.objects.filter(booking=booking).count() == count
        # SQLite takes so many values in a statement, and Django splits a larger insert.
        inserted = 'INTO "automation_workflowexecution"'
        return len([query for query in queries if inserted not in query["sql"]])

    assert run(50, "many@example.com") == run(5, "few@example.com")


# --- The time rules ---------------------------------------------------------------------------------------------------


def test_rule_1_it_moves_what_is_planned_when_the_meeting_moves() -> None:
    before = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    after = make_workflow(Trigger.AFTER_MEETING, delay_minutes=15)
    booking = make_booking()
    process()
    ids = set(WorkflowExecution.objects.values_list("pk", flat=True))
    bookings.reschedule(booking.pk, NOW + timedelta(days=5))
    process()
    start = NOW + timedelta(days=5)
    assert planned(before) == [("pending", start - timedelta(minutes=60), 1)]
    assert planned(after) == [("pending", start + timedelta(minutes=45), 1)]
    assert set(WorkflowExecution.objects.values_list("pk", flat=True)) == ids


def test_rule_1_it_plans_once_when_events_are_processed_late_and_together() -> None:
    before = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking()
    for days in (3, 4, 5):
        bookings.reschedule(booking.pk, NOW + timedelta(days=days))
    events = list(BookingEvent.objects.order_by("-occurred_at").values_list("pk", flat=True))
    for event in events:  # the last one first
        triggers.process([event])
    assert planned(before) == [("pending", NOW + timedelta(days=5) - timedelta(minutes=60), 3)]


# A word of an earlier move would name the newest time, as the newer one's does: the same mail twice.


def moved_twice(workflow: Workflow, *, together: bool) -> Booking:
    booking = make_booking()
    process()
    for days in (3, 4):
        bookings.reschedule(booking.pk, NOW + timedelta(days=days))
        if not together:
            process()
    process()
    return booking


@pytest.mark.parametrize("together", [True, False])
def test_rule_1_two_moves_in_a_row_are_told_of_once(together: bool) -> None:
    delayed = make_workflow(Trigger.BOOKING_RESCHEDULED, delay_minutes=10)
    at_once = make_workflow(Trigger.BOOKING_RESCHEDULED)
    booking = moved_twice(delayed, together=together)
    make_booking(booking.event_type)  # another's, which this is nothing to
    for workflow in (delayed, at_once):
        assert [(status, number) for status, _, number in planned(workflow)] == [("cancelled", 1), ("pending", 2)]
        assert WorkflowExecution.objects.get(workflow=workflow, booking_sequence=1).error_message == OVERTAKEN
    # A repeated event changes nothing.
    BookingEvent.objects.update(processed_at=None)
    process()
    assert [(status, number) for status, _, number in planned(delayed)] == [("cancelled", 1), ("pending", 2)]


def test_rule_1_an_earlier_move_that_is_heard_of_later_is_not_told() -> None:
    workflow = make_workflow(Trigger.BOOKING_RESCHEDULED, delay_minutes=10)
    booking = make_booking()
    for days in (3, 4):
        bookings.reschedule(booking.pk, NOW + timedelta(days=days))
    for event in BookingEvent.objects.order_by("-booking_sequence"):
        triggers.process([event.pk])
    assert [(status, number) for status, _, number in planned(workflow)] == [("cancelled", 1), ("pending", 2)]


def test_rule_1_what_has_begun_tells_no_more_of_a_move_that_was_overtaken() -> None:
    workflow = make_workflow(Trigger.BOOKING_RESCHEDULED)
    action = workflow.actions.get()
    booking = make_booking()
    bookings.reschedule(booking.pk, NOW + timedelta(days=3))
    process()
    first = WorkflowExecution.objects.get()
    WorkflowExecution.objects.update(status=ExecutionStatus.RUNNING, started_at=NOW)
    assert invocation.load(str(action.pk), info_of(first)).no_longer_meant() == ""
    bookings.reschedule(booking.pk, NOW + timedelta(days=4))
    assert invocation.load(str(action.pk), info_of(first)).no_longer_meant() == "", "nothing else tells of it yet"
    process()
    assert "has been moved again" in invocation.load(str(action.pk), info_of(first)).no_longer_meant()
    second = WorkflowExecution.objects.get(booking_sequence=2)
    assert invocation.load(str(action.pk), info_of(second)).no_longer_meant() == ""


@pytest.mark.parametrize("began", [True, False])
def test_rule_1_a_booking_that_was_replaced_twice_in_a_row_is_told_of_once(began: bool) -> None:
    workflow = make_workflow(Trigger.BOOKING_RESCHEDULED, delay_minutes=10)
    action = workflow.actions.get()
    event_type = make_event_type()
    before = make_booking(event_type)
    for days in (3, 4):
        booking = make_booking(event_type, start_time=NOW + timedelta(days=days), rescheduled_from=before)
        Booking.objects.filter(pk=before.pk).update(status=BookingStatus.RESCHEDULED)
        process()
        before = booking
        if began:
            WorkflowExecution.objects.filter(status="pending", started_at=None).update(status="running", started_at=NOW)
    first, second = WorkflowExecution.objects.order_by("created_at")
    words = [invocation.load(str(action.pk), info_of(row)).no_longer_meant() for row in (first, second)]
    if began:
        assert ["has been moved again" in word for word in words] == [True, False]
    else:
        assert [(row.status, row.error_message) for row in (first, second)] == [
            ("cancelled", OVERTAKEN),
            ("pending", ""),
        ]


def test_rule_1_moves_of_many_bookings_take_no_more_queries() -> None:
    make_workflow(Trigger.BOOKING_RESCHEDULED, delay_minutes=10)
    event_type = make_event_type()

    def run(count: int) -> int:
        rows = [make_booking(event_type) for _ in range(count)]
        for days in (3, 4):
            for row in rows:
                bookings.reschedule(row.pk, NOW + timedelta(days=days))
            with CaptureQueriesContext(connection) as queries:
                process()
        assert WorkflowExecution.objects.filter(status="pending", booking__in=rows).count() == count
        return len(queries)

    run(1)
    assert run(1) == run(6)


def test_rule_1_it_follows_the_late_policy_at_the_new_time() -> None:
    skipping = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24)
    running = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24, late_policy=LatePolicy.RUN_NOW)
    booking = make_booking()
    process()
    bookings.reschedule(booking.pk, NOW + timedelta(hours=2))
    process()
    assert [status for status, _, _ in planned(skipping)] == ["cancelled"]
    ((status, at, sequence),) = planned(running)
    assert (status, sequence) == ("pending", 1)
    assert at <= clock.now()


def test_rule_1_it_plans_a_new_one_when_the_old_one_has_run() -> None:
    before = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking()
    process()
    WorkflowExecution.objects.update(status=ExecutionStatus.COMPLETED, started_at=NOW, completed_at=NOW)
    bookings.reschedule(booking.pk, NOW + timedelta(days=5))
    process()
    assert [(status, sequence) for status, _, sequence in planned(before)] == [("completed", 0), ("pending", 1)]


@pytest.mark.parametrize("status", [BookingStatus.CANCELLED, BookingStatus.RESCHEDULED, BookingStatus.NO_SHOW])
def test_rule_2_it_stops_what_is_planned_when_the_meeting_does_not_take_place(status: str) -> None:
    workflows = [make_workflow(Trigger.BEFORE_MEETING), make_workflow(Trigger.AFTER_MEETING)]
    stranger = make_workflow(Trigger.BEFORE_MEETING, make_organizer("stranger@example.com"))
    booking = make_booking()
    make_booking(make_event_type(stranger.organizer))
    process()
    booking.status = status
    booking.save()
    process()
    for workflow in workflows:
        (execution,) = WorkflowExecution.objects.filter(workflow=workflow)
        assert (execution.status, execution.due) == ("cancelled", None)
        assert execution.error_message.startswith("Not planned: ")
    assert [status for status, _, _ in planned(stranger)] == ["pending"]


def test_rule_2_it_plans_again_when_the_booking_is_confirmed_again() -> None:
    before = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking()
    bookings.cancel(booking.pk)
    process()
    booking.refresh_from_db()
    booking.status = BookingStatus.CONFIRMED
    booking.save()
    process()
    assert planned(before)[-1] == ("pending", NOW + timedelta(days=2, minutes=-60), 1)


def test_rule_3_it_records_what_came_too_late() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24 * 3)
    make_booking()
    process()
    execution = WorkflowExecution.objects.get(workflow=workflow)
    assert (execution.status, execution.scheduled_for) == ("cancelled", NOW - timedelta(days=1))
    assert "had already passed" in execution.error_message
    assert execution.completed_at is not None


def test_rule_3_it_runs_at_once_when_the_policy_says_so() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60 * 24 * 3, late_policy=LatePolicy.RUN_NOW)
    make_booking()
    process()
    ((status, at, _),) = planned(workflow)
    assert status == "pending"
    assert at <= clock.now()


def test_rule_5_it_fires_nothing_before_its_time() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    process()
    execution = WorkflowExecution.objects.get(workflow=workflow)
    assert execution.status == ExecutionStatus.PENDING
    assert execution.scheduled_for == NOW + timedelta(days=2, minutes=-60)
    assert execution.due == execution.scheduled_for


# --- Publishing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Any]]]:
    """The messages that would have been published."""
    messages: list[tuple[str, list[Any]]] = []

    def send(task_name: str, args: list[Any], **options: Any) -> bool:
        messages.append((task_name, args))
        return True

    monkeypatch.setattr("automation.durable.canvas.send", send)
    return messages


def test_it_publishes_an_event_when_its_transaction_has_committed(
    sent: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        booking = make_booking()
        assert sent == []
    event = BookingEvent.objects.get(booking=booking)
    assert sent == [("trigger_workflows", [[str(event.pk)]])]


def test_it_publishes_again_what_was_lost_and_waits_longer_each_time(sent: list[Any]) -> None:
    make_booking()
    now = clock.now()
    assert booking_events.sweep_events(now) == 0  # its message may still arrive
    waits = []
    for _ in range(4):
        now += timedelta(minutes=1)
        assert booking_events.sweep_events(now) == 1
        assert booking_events.sweep_events(now) == 0
        due = BookingEvent.objects.get().due
        assert due is not None
        waits.append((due - now).total_seconds())
    assert len(sent) == 4
    assert waits == sorted(waits)
    process()
    assert booking_events.sweep_events(now + timedelta(days=1)) == 0


def test_it_leaves_one_pending_execution_when_a_waiting_one_is_doubled() -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    booking = make_booking()
    process()
    row = WorkflowExecution.objects.get()
    row.pk, row.business_id, row.booking_sequence = uuid4(), "second", 7
    row.save(force_insert=True)
    Booking._base_manager.filter(pk=booking.pk).update(sequence=7)
    make_action(workflow, order=5)
    bookings.reschedule(booking.pk, NOW + timedelta(days=4))
    process()
    assert WorkflowExecution.objects.filter(status=ExecutionStatus.PENDING).count() == 1
    assert WorkflowExecution.objects.filter(error_message=MOVED).count() == 1
