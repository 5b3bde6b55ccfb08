"""Actions → stages, triggers → planned times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.rules.plan import PlanError, Trigger, planned_time, stages
from tests.rules.facts import at

START, END, EVENT = at("2026-03-29T07:30:00+00:00"), at("2026-03-29T08:00:00+00:00"), at("2026-03-01T12:00:00+00:00")


def action(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "action_type": "send_email", **changes}


def test_equal_orders_are_one_stage() -> None:
    planned = stages([action("c", order=2), action("a", order=1), action("b", order=1), action("d", order=3)])
    assert [[member.name for member in stage.actions] for stage in planned] == [["a", "b"], ["c"], ["d"]]
    assert [stage.is_parallel for stage in planned] == [True, False, False]


def test_each_action_keeps_its_own_delay() -> None:
    (stage,) = stages([action("a", delay_minutes=10), action("b", delay_minutes=60), action("c", delay_minutes=10)])
    assert stage.delay_minutes == 10
    assert [stage.wait_of(member) for member in stage.actions] == [0, 50, 0]


def test_inactive_actions_are_left_out() -> None:
    assert stages([action("a", is_active=False)]) == []
    assert stages([]) == []


def test_it_says_which_actions_stop_the_rest() -> None:
    (stage,) = stages([action("a", on_failure="stop"), action("b", on_failure="continue"), action("c")])
    assert [member.stops_on_failure for member in stage.actions] == [True, False, False]


@pytest.mark.parametrize(
    "changes", [{"order": -1}, {"order": "1"}, {"delay_minutes": -5}, {"delay_minutes": True}, {"on_failure": "retry"}]
)
def test_what_cannot_be_planned_is_refused_with_its_place(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=rf"actions\[1\]\.{next(iter(changes))}"):
        stages([action("a"), action("b", **changes)])


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("booking_created", "2026-03-01T13:00:00+00:00"),
        ("booking_cancelled", "2026-03-01T13:00:00+00:00"),
        ("booking_completed", "2026-03-01T13:00:00+00:00"),
        ("booking_rescheduled", "2026-03-01T13:00:00+00:00"),
        ("booking_no_show", "2026-03-01T13:00:00+00:00"),
        ("before_meeting", "2026-03-29T06:30:00+00:00"),
        ("after_meeting", "2026-03-29T09:00:00+00:00"),
    ],
)
def test_each_trigger_counts_from_its_anchor(trigger: str, expected: str) -> None:
    planned = planned_time(trigger, 60, START, END, EVENT)
    assert planned == at(expected)
    assert planned.tzinfo is UTC


def test_the_triggers_are_all_tested() -> None:
    assert len(Trigger) == 7


def test_minutes_before_a_meeting_are_exact_across_a_change_of_clocks() -> None:
    # 03:30 in Berlin, half an hour after the clocks went from 2 to 3: an hour earlier it was 1:30.
    start = datetime(2026, 3, 29, 3, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    planned = planned_time(Trigger.BEFORE_MEETING, 60, start, start, EVENT)
    assert planned == at("2026-03-29T00:30:00+00:00")
    assert planned.astimezone(start.tzinfo).hour == 1


@given(st.integers(0, 60 * 24 * 365), st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1)))
def test_a_delay_lasts_as_long_as_it_says(delay: int, naive: datetime) -> None:
    start = naive.replace(tzinfo=ZoneInfo("America/New_York"))
    planned = planned_time("before_meeting", delay, start, start, EVENT)
    assert start.astimezone(UTC) - planned == timedelta(minutes=delay)


@pytest.mark.parametrize(
    ("trigger", "delay", "start", "reason"),
    [
        ("at_noon", 0, START, "before_meeting"),
        ("before_meeting", 0, datetime(2026, 3, 29), "time zone"),
        ("before_meeting", 10**12, START, "calendar"),
        ("before_meeting", 10**9 * 2, START, "calendar"),
    ],
)
def test_what_has_no_time_is_refused(trigger: str, delay: int, start: datetime, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        planned_time(trigger, delay, start, END, EVENT)
