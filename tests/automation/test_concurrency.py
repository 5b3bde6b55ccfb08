"""Two at once: processors of one booking, an edit against a trigger, roll-ups. On a database with row locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from automation import clock
from automation.models import (
    Booking,
    BookingEvent,
    BookingStatus,
    ExecutionStatus,
    Trigger,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, definitions, statistics, triggers, workflow_plans, workflows
from tests.automation.factories import NOW, make_booking, make_event_type, make_organizer, make_workflow

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]


@pytest.fixture(autouse=True)
def unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: what happens is what these tests call."""
    monkeypatch.setattr("automation.durable.canvas._publish", lambda signature: True)


class Thread(threading.Thread):
    """A thread with a connection of its own, whose error is raised by `result`."""

    def __init__(self, target: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work, self.value, self.error = target, None, None
        self.start()

    def run(self) -> None:
        try:
            self.value = self.work()
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def result(self) -> Any:
        self.join(timeout=30)
        assert not self.is_alive(), "it waits for ever"
        if self.error is not None:
            raise self.error
        return self.value


def together(*targets: Callable[[], Any]) -> list[Any]:
    """Run the calls at the same moment; their results."""
    barrier = threading.Barrier(len(targets))

    def at_once(target: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            barrier.wait(timeout=30)
            return target()

        return call

    threads = [Thread(at_once(target)) for target in targets]
    return [thread.result() for thread in threads]


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def until(condition: Callable[[], bool]) -> None:
    deadline = clock.now() + timedelta(seconds=20)
    while not condition():
        assert clock.now() < deadline, "it did not come to that"


@pytest.fixture
def held() -> Iterator[Callable[[Callable[[], Any]], Callable[[], None]]]:
    """Does something in a transaction that stays open until it is told to commit."""
    releases: list[threading.Event] = []

    def hold(work: Callable[[], Any]) -> Callable[[], None]:
        done, release = threading.Event(), threading.Event()
        releases.append(release)

        def run() -> None:
            with transaction.atomic():
                work()
                done.set()
                release.wait(timeout=30)

        thread = Thread(run)
        assert done.wait(timeout=30) or thread.result()

        def commit() -> None:
            release.set()
            thread.result()

        return commit

    yield hold
    for release in releases:
        release.set()


def test_it_processes_each_event_once_when_two_workers_get_it() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    event_type = make_event_type()
    for _ in range(20):
        make_booking(event_type)
    ids = list(BookingEvent.objects.values_list("pk", flat=True))
    counts = together(*[lambda: triggers.process(ids)] * 4)
    # What is locked by another is left to it.
    assert sum(counts) == 20
    assert WorkflowExecution.objects.filter(workflow=workflow).count() == 20


def test_it_plans_a_booking_once_when_it_moves_while_it_is_planned(held: Any) -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    workflow_plans.plan_workflow(workflow.pk)
    booking = make_booking()
    (created,) = BookingEvent.objects.values_list("pk", flat=True)

    def move() -> int:
        bookings.reschedule(booking.pk, NOW + timedelta(days=5))
        (moved,) = BookingEvent.objects.exclude(pk=created).values_list("pk", flat=True)
        return triggers.process([moved])

    commit = held(lambda: triggers.process([created]))
    mover = Thread(move)
    until(lambda: waits_for_a_lock() or not mover.is_alive())
    commit()
    assert mover.result() == 1
    (execution,) = WorkflowExecution.objects.all()
    assert (execution.booking_sequence, execution.status) == (1, "pending")
    assert execution.scheduled_for == NOW + timedelta(days=5, minutes=-60)


def test_it_plans_nothing_for_a_workflow_that_is_being_switched_off(held: Any) -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    (event,) = BookingEvent.objects.values_list("pk", flat=True)
    workflow_plans.plan_workflow(workflow.pk)
    WorkflowExecution.objects.all().delete()
    commit = held(lambda: workflows.update(workflow, is_active=False))
    processor = Thread(lambda: triggers.process([event]))
    until(waits_for_a_lock)
    commit()
    assert processor.result() == 1
    assert not WorkflowExecution.objects.exists()


def test_it_stops_what_was_being_planned_when_a_workflow_is_switched_off(held: Any) -> None:
    workflow = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    make_booking()
    (event,) = BookingEvent.objects.values_list("pk", flat=True)
    triggers.process([])
    workflow_plans.plan_workflow(workflow.pk)
    WorkflowExecution.objects.all().delete()
    commit = held(lambda: triggers.process([event]))
    switch = Thread(lambda: workflows.update(workflow, is_active=False))
    until(waits_for_a_lock)
    commit()
    switch.result()
    assert [row.status for row in WorkflowExecution.objects.all()] == [ExecutionStatus.CANCELLED]


def test_it_lets_two_workers_read_one_workflow_at_the_same_time(held: Any) -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    event_type = make_event_type()
    make_booking(event_type)
    triggers.process(list(BookingEvent.objects.values_list("pk", flat=True)))
    make_booking(event_type)
    commit = held(lambda: definitions.of_organizers([workflow.organizer_id]))
    (event,) = BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)
    assert Thread(lambda: triggers.process([event])).result() == 1
    commit()


def test_it_keeps_two_changes_of_one_booking_in_order() -> None:
    booking = make_booking()

    def move(days: int) -> Booking:
        return bookings.reschedule(booking.pk, NOW + timedelta(days=days))

    together(*[lambda days=days: move(days) for days in range(3, 11)])
    booking.refresh_from_db()
    moves = BookingEvent.objects.filter(trigger=Trigger.BOOKING_RESCHEDULED)
    assert booking.sequence == 8
    assert sorted(moves.values_list("booking_sequence", flat=True)) == list(range(1, 9))


def test_it_cancels_a_booking_once_when_two_do() -> None:
    booking = make_booking()

    def cancel() -> str:
        row = Booking.objects.get(pk=booking.pk)
        row.status = BookingStatus.CANCELLED
        row.save()
        return "saved"

    assert together(cancel, cancel, cancel) == ["saved"] * 3
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_CANCELLED).count() == 1


def test_it_counts_runs_once_when_two_roll_up_and_a_third_plans() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    event_type = make_event_type()
    Booking.objects.bulk_create(make_booking(event_type, save=False) for _ in range(100))
    triggers.process(list(BookingEvent.objects.values_list("pk", flat=True)))
    WorkflowExecution.objects.update(
        status=ExecutionStatus.COMPLETED, started_at=clock.now(), completed_at=clock.now(), due=None
    )
    make_booking(event_type)
    (event,) = BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)
    counts = together(
        lambda: statistics.roll_up_all(7),
        lambda: statistics.roll_up_all(5),
        lambda: statistics.roll_up_all(3),
        lambda: triggers.process([event]) and 0,
    )
    statistics.roll_up_all()
    assert sum(counts) <= 100
    workflow.refresh_from_db()
    assert (workflow.total_executions, workflow.successful_executions) == (100, 100)


def test_it_publishes_one_version_when_two_do() -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED, make_organizer())
    event_type = make_event_type()
    make_booking(event_type)
    make_booking(event_type)
    first, second = BookingEvent.objects.values_list("pk", flat=True)
    together(lambda: triggers.process([first]), lambda: triggers.process([second]))
    assert list(workflow.versions.values_list("number", flat=True)) == [1]
    assert Workflow.objects.get().version == 1
    assert WorkflowExecution.objects.count() == 2
