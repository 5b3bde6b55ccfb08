"""The decisions behind the time rules, as a table of facts: no database, no clock."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.models import BookingStatus, ExecutionStatus, LatePolicy, Trigger
from automation.services.meeting_plan import (
    NOT_PLANNED,
    SWITCHED_OFF,
    Act,
    Decision,
    Existing,
    Meeting,
    Plan,
    decide,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = NOW + timedelta(days=2)
MEETING = Meeting(BookingStatus.CONFIRMED, START, START + timedelta(minutes=30), 0)
REMINDER = Plan(Trigger.BEFORE_MEETING, 60, LatePolicy.SKIP)
AT = START - timedelta(hours=1)


def existing(status: str = ExecutionStatus.PENDING, **fields: object) -> Existing:
    facts = {
        "id": uuid4(),
        "trigger": Trigger.BEFORE_MEETING,
        "sequence": 0,
        "status": status,
        "scheduled_for": AT,
        "began": status not in (ExecutionStatus.PENDING, ExecutionStatus.CANCELLED),
        **fields,
    }
    return Existing(**facts)  # type: ignore[arg-type]


def moved(hours: float, sequence: int = 1, **fields: object) -> Meeting:
    by = timedelta(hours=hours)
    return dataclasses.replace(MEETING, start=MEETING.start + by, end=MEETING.end + by, sequence=sequence, **fields)  # type: ignore[arg-type]


def test_it_plans_before_and_after_a_meeting() -> None:
    assert decide(REMINDER, MEETING, [], NOW) == [Decision(Act.START, at=AT)]
    after = Plan(Trigger.AFTER_MEETING, 15, LatePolicy.SKIP)
    assert decide(after, MEETING, [], NOW) == [Decision(Act.START, at=MEETING.end + timedelta(minutes=15))]


def test_it_leaves_alone_what_is_as_it_should_be() -> None:
    assert decide(REMINDER, MEETING, [existing()], NOW) == []


def test_it_moves_what_waits_to_the_new_time() -> None:
    waiting = existing()
    assert decide(REMINDER, moved(24), [waiting], NOW) == [Decision(Act.MOVE, waiting.id, AT + timedelta(days=1))]


def test_it_follows_the_late_policy_when_the_new_time_has_passed() -> None:
    waiting = existing()
    near = moved(-47.5)
    (decision,) = decide(REMINDER, near, [waiting], NOW)
    assert (decision.act, decision.execution_id) == (Act.CANCEL, waiting.id)
    assert "had already passed" in decision.reason
    run_now = dataclasses.replace(REMINDER, late_policy=LatePolicy.RUN_NOW)
    assert decide(run_now, near, [waiting], NOW) == [Decision(Act.MOVE, waiting.id, NOW)]


def test_it_plans_anew_when_the_old_time_was_already_used() -> None:
    ran = existing(ExecutionStatus.COMPLETED)
    later = NOW + timedelta(days=1, hours=23, minutes=30)
    assert decide(REMINDER, moved(24), [ran], later) == [Decision(Act.START, at=AT + timedelta(days=1))]


def test_it_does_not_repeat_a_reminder_for_the_same_time() -> None:
    ran = existing(ExecutionStatus.COMPLETED)
    longer = dataclasses.replace(MEETING, end=MEETING.end + timedelta(minutes=15), sequence=1)
    run_now = dataclasses.replace(REMINDER, late_policy=LatePolicy.RUN_NOW)
    # It goes along with the booking, so that an action of it that still waits is not taken for one of the old time.
    assert decide(run_now, longer, [ran], AT + timedelta(minutes=5)) == [Decision(Act.FOLLOW, ran.id)]


@pytest.mark.parametrize(
    ("status", "before", "after"),
    [
        (BookingStatus.CANCELLED, True, True),
        (BookingStatus.RESCHEDULED, True, True),
        (BookingStatus.NO_SHOW, True, True),
        (BookingStatus.COMPLETED, True, False),
    ],
)
def test_it_stops_what_makes_no_sense_any_more(status: str, before: bool, after: bool) -> None:
    over = dataclasses.replace(MEETING, status=status)
    reminder, thanks = existing(), existing(trigger=Trigger.AFTER_MEETING, scheduled_for=MEETING.end)
    follow_up = Plan(Trigger.AFTER_MEETING, 0, LatePolicy.SKIP)
    assert [d.act for d in decide(REMINDER, over, [reminder], NOW)] == ([Act.CANCEL] if before else [])
    assert [d.act for d in decide(follow_up, over, [thanks], NOW)] == ([Act.CANCEL] if after else [])


@pytest.mark.parametrize("minutes_late", [0, 1, 600])
def test_it_records_a_time_that_has_passed_when_the_booking_is_made(minutes_late: int) -> None:
    now = AT + timedelta(minutes=min(minutes_late, 59))
    (decision,) = decide(REMINDER, MEETING, [], now)
    assert (decision.act, decision.at) == (Act.RECORD, AT)
    assert decision.reason.startswith(NOT_PLANNED)
    run_now = dataclasses.replace(REMINDER, late_policy=LatePolicy.RUN_NOW)
    assert decide(run_now, MEETING, [], now) == [Decision(Act.START, at=now)]


def test_it_reminds_nobody_of_a_meeting_that_has_begun() -> None:
    run_now = dataclasses.replace(REMINDER, late_policy=LatePolicy.RUN_NOW)
    (decision,) = decide(run_now, MEETING, [], START)
    assert decision.act is Act.RECORD
    assert "already begun" in decision.reason


def test_it_lets_what_is_about_to_fire_fire() -> None:
    assert decide(REMINDER, MEETING, [existing()], AT + timedelta(seconds=5)) == []


def test_it_stops_what_a_workflow_that_is_off_has_planned() -> None:
    waiting = existing()
    off = dataclasses.replace(REMINDER, refused=SWITCHED_OFF)
    assert decide(off, MEETING, [waiting], NOW) == [Decision(Act.CANCEL, waiting.id, reason=SWITCHED_OFF)]


def test_it_plans_again_what_planning_had_cancelled_and_not_what_a_person_had() -> None:
    by_planning = existing(ExecutionStatus.CANCELLED, reason=SWITCHED_OFF)
    assert decide(REMINDER, MEETING, [by_planning], NOW) == [Decision(Act.REVIVE, by_planning.id, AT)]
    by_olga = existing(ExecutionStatus.CANCELLED, reason="olga@example.com: not this one")
    assert decide(REMINDER, MEETING, [by_olga], NOW) == []


def test_it_replaces_what_another_trigger_had_planned() -> None:
    thanks = existing(trigger=Trigger.AFTER_MEETING)
    decisions = decide(REMINDER, MEETING, [thanks], NOW)
    assert [(d.act, d.at) for d in decisions] == [(Act.CANCEL, None), (Act.START, AT)]


def test_it_keeps_the_minutes_before_a_meeting_across_a_daylight_saving_change() -> None:
    # Clocks in Berlin go forward on 29 March 2026 at 2:00.
    start = datetime(2026, 3, 29, 9, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    meeting = Meeting(BookingStatus.CONFIRMED, start, start + timedelta(minutes=30), 0)
    (decision,) = decide(dataclasses.replace(REMINDER, delay_minutes=24 * 60), meeting, [], NOW)
    assert decision.at == datetime(2026, 3, 28, 7, 0, tzinfo=UTC)
    assert decision.at.astimezone(ZoneInfo("Europe/Berlin")).hour == 8  # 24 hours are 24 hours


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pending", "completed", "running", "cancelled"]),
            st.integers(0, 3),
            st.sampled_from([Trigger.BEFORE_MEETING, Trigger.AFTER_MEETING]),
            st.integers(-100, 100),
        ),
        max_size=5,
        unique_by=lambda row: (row[1], row[2]),
    ),
    st.sampled_from(BookingStatus.values),
    st.integers(0, 3),
    st.integers(-100, 100),
    st.sampled_from(LatePolicy.values),
)
def test_it_decides_nothing_when_asked_again(
    rows: list[tuple[str, int, str, int]], status: str, sequence: int, hours: int, late_policy: str
) -> None:
    """Whatever there is: carrying the decisions out leaves at most one pending execution, at the right time."""
    start = NOW + timedelta(hours=hours)
    meeting = Meeting(status, start, start + timedelta(minutes=30), sequence)
    plan = Plan(Trigger.BEFORE_MEETING, 60, late_policy)
    known = {
        execution.id: execution
        for execution in (
            existing(st_, sequence=seq, trigger=trigger, scheduled_for=NOW + timedelta(hours=at), reason=SWITCHED_OFF)
            for st_, seq, trigger, at in rows
            if seq <= sequence
        )
    }
    for decision in decide(plan, meeting, list(known.values()), NOW):
        _carry_out(decision, known, sequence)
    waiting = [execution for execution in known.values() if execution.waits]
    assert len(waiting) <= 1
    assert all(execution.sequence == sequence for execution in waiting)
    assert decide(plan, meeting, list(known.values()), NOW) == []


def _carry_out(decision: Decision, known: dict[UUID, Existing], sequence: int) -> None:
    id_ = decision.execution_id
    if id_ is None:
        status = ExecutionStatus.PENDING if decision.act is Act.START else ExecutionStatus.CANCELLED
        made = existing(status, sequence=sequence, scheduled_for=decision.at, reason=decision.reason)
        assert all((e.sequence, e.trigger) != (made.sequence, made.trigger) for e in known.values())
        known[made.id] = made
    elif decision.act is Act.FOLLOW:
        known[id_] = dataclasses.replace(known[id_], sequence=sequence)
    elif decision.act is Act.CANCEL:
        known[id_] = dataclasses.replace(known[id_], status=ExecutionStatus.CANCELLED, reason=decision.reason)
    else:
        known[id_] = dataclasses.replace(
            known[id_], status=ExecutionStatus.PENDING, scheduled_for=decision.at, sequence=sequence
        )
