"""The time rules, against a second and naive reading of them, under whatever organizers and invitees come up with.

People book, move, cancel, edit and let time pass, in any order; events and plans are processed late, together or in the
wrong order. What comes due is fired as a worker does it: the booking is read again. What is sent, and what waits, is
compared with the rules. Each seed is another story; the same seed is always the same one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from automation import clock
from automation.actions import invocation
from automation.models import (
    Booking,
    BookingEvent,
    BookingStatus,
    ExecutionStatus,
    LatePolicy,
    Trigger,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, triggers, workflow_plans, workflows
from automation.services.meeting_plan import MEETING_TRIGGERS
from tests.automation.factories import make_booking, make_event_type, make_organizer, make_workflow

HOUR = timedelta(hours=1)
BEGIN = datetime.fromisoformat("2026-03-26T12:00:00+00:00")  # three days before the clocks of Europe change


@dataclass(frozen=True)
class Info:
    execution_id: UUID
    seq: int = 1
    attempt: int = 1
    idempotency_key: str = "k"


class Story:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.told: list[str] = []
        organizer = make_organizer()
        self.event_types = [make_event_type(organizer, name) for name in ("First", "Second")]
        self.workflows = [
            make_workflow(trigger, organizer, delay_minutes=delay, late_policy=policy)
            for trigger, delay, policy in (
                (Trigger.BEFORE_MEETING, 24 * 60, LatePolicy.SKIP),
                (Trigger.BEFORE_MEETING, 60, LatePolicy.RUN_NOW),
                (Trigger.AFTER_MEETING, 30, LatePolicy.SKIP),
            )
        ]
        self.fired: set[tuple[UUID, UUID, str, int | None]] = set()

    def go_on(self) -> None:
        """One thing happens; half of the time, all is caught up with before the next."""
        happenings = (
            *(self.book, self.move, self.turn, self.retype, self.switch, self.edit, self.limit),
            *(self.process_events, self.plan, self.pass_time, self.pass_time, self.fire),
        )
        happening = self.random.choice(happenings)
        self.told.append(f"{clock.now():%d %H:%M} {happening.__name__}{happening() or ''}")
        if self.random.random() < 0.5:
            self.settle()
        self.one_at_most_waits_for_each()

    # -- what people do ------------------------------------------------------------------------------------------------

    def booking(self) -> Booking | None:
        rows = list(Booking.objects.order_by("pk"))
        return self.random.choice(rows) if rows else None

    def moment(self) -> datetime:
        return clock.now() + self.random.randint(-4, 144) * HOUR / 2

    def book(self) -> str:
        if Booking.objects.count() == 3:
            return ": enough"
        booking = make_booking(self.random.choice(self.event_types), start_time=self.moment())
        return f" for {booking.start_time:%d %H:%M}"

    def move(self) -> str:
        booking = self.booking()
        if booking is None or booking.status != BookingStatus.CONFIRMED:
            return ": nothing"
        moved = bookings.reschedule(booking.pk, self.moment())
        return f" to {moved.start_time:%d %H:%M}"

    def turn(self) -> str:
        if (booking := self.booking()) is None:
            return ": nothing"
        booking.status = self.random.choice(["confirmed", *BookingStatus.values])
        booking.save()
        return f" to {booking.status}"

    def retype(self) -> str:
        booking = self.booking()
        if booking is not None:
            event_type = self.random.choice(self.event_types)
            Booking.objects.filter(pk=booking.pk).update(event_type=event_type)
        return ""

    def switch(self) -> str:
        on = self.random.random() < 0.7
        workflows.update(self.random.choice(self.workflows), is_active=on)
        return " on" if on else " off"

    def edit(self) -> str:
        delay, trigger = self.random.choice([0, 30, 60, 24 * 60, 72 * 60]), self.random.choice(MEETING_TRIGGERS)
        changes = {"delay_minutes": delay} if self.random.random() < 0.7 else {"trigger": trigger}
        workflows.update(self.random.choice(self.workflows), **changes)
        return f" {changes}"

    def limit(self) -> str:
        chosen = self.random.choice([[], self.event_types[:1], self.event_types[1:], self.event_types])
        workflows.update(self.random.choice(self.workflows), event_types=chosen)
        return f" to {[event_type.name for event_type in chosen]}"

    # -- what workers do -----------------------------------------------------------------------------------------------

    def process_events(self) -> None:
        waiting = list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True))
        triggers.process(self.random.sample(waiting, self.random.randint(0, len(waiting))))

    def plan(self) -> None:
        workflow_plans.plan_workflow(self.random.choice(self.workflows).pk)

    def pass_time(self) -> str:
        minutes = self.random.choice([1, 29, 30, 60, 240, 600])
        clock.hold(clock.timestamp() + 60 * minutes)
        return f" {minutes}"

    def fire(self) -> None:
        due = WorkflowExecution.objects.filter(status=ExecutionStatus.PENDING, scheduled_for__lte=clock.now())
        if due and self.random.random() < 0.5:  # at the last moment, and nobody has processed it
            status = self.random.choice([BookingStatus.CANCELLED, BookingStatus.RESCHEDULED])
            Booking.objects.filter(executions__in=due).update(status=status)
        for row in due.select_related("version", "booking", "workflow"):
            assert row.version is not None
            assert row.booking is not None
            assert row.workflow is not None
            self.fired.add((row.workflow.pk, row.booking.pk, row.trigger, row.booking_sequence))
            for action in row.version.snapshot["actions"]:
                if not invocation.load(action["id"], Info(row.pk)).no_longer_meant():
                    self.check(row)
            WorkflowExecution.objects.filter(pk=row.pk).update(
                status=ExecutionStatus.COMPLETED, started_at=clock.now(), completed_at=clock.now()
            )

    def settle(self) -> None:
        """All caught up: what waits is what the rules want, read from the rows alone."""
        triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))
        for workflow in self.workflows:
            workflow_plans.plan_workflow(workflow.pk)
        now = clock.now()
        for workflow in Workflow.objects.all():
            event_types = set(workflow.event_types.all())
            for booking in Booking.objects.select_related("event_type"):
                mine = WorkflowExecution.objects.filter(workflow=workflow, booking=booking)
                waiting = [row.scheduled_for for row in mine if row.status == ExecutionStatus.PENDING]
                statuses = {"before_meeting": {"confirmed"}, "after_meeting": {"confirmed", "completed"}}
                wanted = (
                    workflow.is_active
                    and booking.status in statuses[workflow.trigger]
                    and (not event_types or booking.event_type in event_types)
                )
                at = self.right_time(workflow.trigger, workflow.delay_minutes, booking)
                if not wanted:
                    assert waiting == [], (workflow.name, booking.status)
                elif at > now and (workflow.pk, booking.pk, workflow.trigger, booking.sequence) not in self.fired:
                    assert waiting == [at], (workflow.name, waiting, at)
                else:
                    assert len(waiting) <= 1
                    assert all(when <= now for when in waiting if when is not None)

    # -- what must hold ------------------------------------------------------------------------------------------------

    @staticmethod
    def right_time(trigger: str, delay: int, booking: Booking) -> datetime:
        minutes = timedelta(minutes=delay)
        return booking.start_time - minutes if trigger == Trigger.BEFORE_MEETING else booking.end_time + minutes

    def check(self, row: WorkflowExecution) -> None:
        """Rules 1, 2, 4 and 5 about something that is being sent now."""
        booking, now = Booking.objects.get(pk=row.booking_id), clock.now()
        workflow = Workflow.objects.get(pk=row.workflow_id)
        assert booking.status not in ("cancelled", "rescheduled")
        assert workflow.is_active
        assert row.version is not None
        delay = row.version.snapshot["delay_minutes"]
        at = self.right_time(row.trigger, delay, booking)
        assert now >= at, "never before its time"
        if row.trigger == Trigger.BEFORE_MEETING and delay:
            assert now < booking.start_time

    def one_at_most_waits_for_each(self) -> None:
        rows = WorkflowExecution.objects.filter(status=ExecutionStatus.PENDING).values_list("workflow", "booking")
        assert all(count == 1 for count in Counter(rows).values())


@pytest.fixture
def still() -> Iterator[None]:
    """Time goes on only when it is told to."""
    clock.hold(BEGIN.timestamp())
    yield
    clock.let_go()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(6))
def test_the_time_rules_hold_whatever_happens(still: None, seed: int) -> None:
    story = Story(seed)
    try:
        for _ in range(60):
            story.go_on()
        story.fire()
        story.settle()
    except AssertionError as error:
        raise AssertionError("\n".join([f"seed {seed}", *story.told, str(error)])) from error
