"""Rules about fields that hang together are judged in every combination that there can be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.rules.analysis import Verdict
from automation.rules.conditions import holds
from automation.rules.context import build_context
from automation.rules.worlds import WEEK, Family, judge
from tests.rules.facts import TABLE, at, facts, group, rule
from tests.rules.test_conditions import anything

WEEKEND, MONDAY = rule("is_weekend", "is_true"), rule("booking_day_name", "equals", "Monday")
EVENING = rule("booking_hour", "greater_than", 18)


@pytest.mark.parametrize(
    ("conditions", "path"),
    [
        ([group("AND", WEEKEND, MONDAY)], "conditions[0]"),
        ([group("AND", rule("is_business_hours", "is_true"), EVENING)], "conditions[0]"),
        ([group("AND", rule("booking_hour", "greater_than", 25))], "conditions[0].rules[0]"),
        ([group("AND", WEEKEND), group("OR", MONDAY)], "conditions"),
        ([group("OR", group("AND", WEEKEND, MONDAY))], "conditions[0].rules[0]"),
        (
            [
                group("AND", WEEKEND),
                group("OR", MONDAY, group("AND", rule("duration", "equals", 1), rule("duration", "equals", 2))),
            ],
            "conditions",
        ),
    ],
)
def test_it_finds_what_no_hour_of_the_week_satisfies(conditions: list[Any], path: str) -> None:
    judgement = judge(conditions)
    assert judgement.impossible
    assert path in [finding.path for finding in judgement.findings if finding.verdict is Verdict.NEVER]


def test_a_branch_that_cannot_hold_leaves_the_others() -> None:
    judgement = judge([group("OR", group("AND", WEEKEND, MONDAY), EVENING)])
    assert [finding.path for finding in judgement.findings] == ["conditions[0].rules[0]"]
    assert judgement.impossible == ""


def test_it_finds_what_holds_at_every_hour() -> None:
    judgement = judge([group("OR", WEEKEND, rule("booking_day_of_week", "less_than", 5))])
    assert judgement.certain
    assert [(f.path, f.verdict) for f in judgement.findings] == [("conditions[0]", Verdict.ALWAYS)]
    assert not judge([group("AND", WEEKEND, rule("invitee_name", "equals", "x"))]).certain


def test_what_analysis_has_found_is_not_told_twice() -> None:
    judgement = judge([group("AND", rule("booking_day_name", "equals", "Someday"))])
    assert len(judgement.findings) == 1
    assert judgement.impossible


def test_families_of_ones_own() -> None:
    calls = Family("event type", ({"event_type_name": "Call", "event_type_duration": 30},))
    conditions = [group("AND", rule("event_type_name", "equals", "Workshop"))]
    assert not judge(conditions).impossible
    assert "event type" in judge(conditions, [WEEK, calls]).impossible
    assert judge([group("AND", rule("event_type_duration", "less_than", 31))], [calls]).certain


week_rules = st.one_of(
    st.builds(
        rule, st.just("booking_hour"), st.sampled_from(["equals", "greater_than", "less_than"]), st.integers(0, 24)
    ),
    st.builds(rule, st.just("booking_day_of_week"), st.sampled_from(["equals", "not_equals"]), st.integers(0, 6)),
    st.builds(rule, st.sampled_from(["is_weekend", "is_business_hours"]), st.sampled_from(["is_true", "is_false"])),
    st.builds(rule, st.just("attendee_count"), st.just("equals"), st.integers(1, 3)),
)
trees = st.recursive(
    week_rules, lambda inner: st.builds(group, st.sampled_from(["AND", "OR"]), inner, inner), max_leaves=6
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.builds(group, st.sampled_from(["AND", "OR"]), trees, trees), min_size=1, max_size=3), st.data())
def test_what_it_finds_is_true_of_real_bookings(conditions: list[Any], data: Any) -> None:
    judgement = judge(conditions)
    start = at("2026-03-30T07:30:00+00:00") + timedelta(hours=data.draw(st.integers(0, 167)))
    count = data.draw(st.integers(1, 3))
    booking = facts(start_time=start, end_time=start + timedelta(hours=1), attendee_count=count)
    outcome = holds(conditions, build_context(booking, start))
    if judgement.impossible:
        assert outcome is False
    if judgement.certain:
        assert outcome is True


@settings(max_examples=100, deadline=None)
@given(anything)
def test_no_json_makes_it_raise(conditions: Any) -> None:
    judge(conditions)


@pytest.mark.parametrize("row", TABLE["invalid"], ids=lambda row: row["why"][:40])
def test_nor_do_invalid_conditions(row: dict[str, Any]) -> None:
    judge(row["conditions"])
