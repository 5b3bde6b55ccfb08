"""Contradictions and tautologies are found, and what is found is true."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.rules.analysis import Verdict, analyse
from automation.rules.conditions import holds
from tests.rules.facts import TABLE, group, rule
from tests.rules.test_conditions import anything

NEVER = [
    [rule("attendee_count", "equals", 3), rule("attendee_count", "equals", 4)],
    [rule("attendee_count", "between", [1, 3]), rule("attendee_count", "between", [4, 9])],
    [rule("attendee_count", "greater_than", 5), rule("attendee_count", "less_than", 5)],
    [rule("attendee_count", "greater_than", 5), rule("attendee_count", "less_than_or_equal", 5)],
    [rule("attendee_count", "equals", 3), rule("attendee_count", "greater_than", 3)],
    [rule("attendee_count", "in_list", [1, 2]), rule("attendee_count", "greater_than", 2)],
    [rule("invitee_name", "equals", "a"), rule("invitee_name", "not_equals", "a")],
    [rule("invitee_name", "is_empty"), rule("invitee_name", "is_not_empty")],
    [rule("invitee_name", "is_empty"), rule("invitee_name", "contains", "a")],
    [rule("invitee_email", "contains", "x"), rule("invitee_email", "not_contains", "x")],
    [rule("is_weekend", "is_true"), rule("is_weekend", "is_false")],
    [rule("start_time", "before", "2026-01-01"), rule("start_time", "after", "2026-02-01")],
    [rule("booking_status", "equals", "confirmd")],
    [rule("booking_day_name", "in_list", ["Someday"])],
    [rule("is_weekend", "equals", "maybe")],
    [rule("attendee_count", "between", [9, 1])],
    [rule("invitee_domain", "in_list", [])],
    [rule("invitee_name", "starts_with", "")],
]
ALWAYS = [
    [rule("invitee_phone", "is_empty"), rule("invitee_phone", "is_not_empty")],
    [rule("attendee_count", "greater_than", 1), rule("attendee_count", "less_than", 5)],
    [rule("attendee_count", "greater_than", 3), rule("attendee_count", "less_than_or_equal", 3)],
    [rule("invitee_email", "regex_match", "x"), rule("invitee_email", "not_regex_match", "x")],
]
NEITHER = [
    [rule("attendee_count", "equals", "3"), rule("attendee_count", "greater_than", 2)],
    [rule("attendee_count", "greater_than_or_equal", 5), rule("attendee_count", "less_than_or_equal", 5)],
    [rule("invitee_domain", "in_list", ["ACME.io"]), rule("invitee_domain", "equals", "acme.io")],
    [rule("invitee_domain", "in_list", ["acme.io"]), rule("invitee_domain", "not_equals", "acme.io")],
    [rule("custom_x", "equals", 3), rule("custom_x", "equals", "3")],
    [rule("start_time", "before", "2026-01-01"), rule("start_time", "after", "2025-12-31T23:00:00Z")],
    [rule("duration", "equals", {"expr": "1"}), rule("duration", "equals", {"expr": "2"})],
    [rule("booking_status", "not_equals", "confirmed")],
]


@pytest.mark.parametrize("rules", NEVER, ids=str)
def test_it_finds_what_never_holds(rules: list[Any]) -> None:
    assert Verdict.NEVER in [finding.verdict for finding in analyse([group("AND", *rules)])]


@pytest.mark.parametrize("rules", ALWAYS, ids=str)
def test_it_finds_what_always_holds(rules: list[Any]) -> None:
    (finding,) = analyse([group("OR", *rules)])
    assert (finding.verdict, finding.path) == (Verdict.ALWAYS, "conditions[0]")


@pytest.mark.parametrize("rules", NEITHER, ids=str)
def test_it_leaves_alone_what_can_hold(rules: list[Any]) -> None:
    assert analyse([group("AND", *rules)]) == []


def test_it_looks_across_groups_that_must_all_hold() -> None:
    conditions = [
        group("AND", rule("attendee_count", "equals", 3)),
        group("OR", group("AND", rule("attendee_count", "equals", 4))),
    ]
    (finding,) = analyse(conditions)
    assert finding.path == "conditions"
    assert analyse([group("OR", *conditions[0]["rules"], *conditions[1]["rules"])]) == []


def test_it_says_so_once_with_the_place() -> None:
    (finding,) = analyse([group("AND", group("AND", *NEVER[0]))])
    assert finding.path == "conditions[0].rules[0]"
    assert "attendee_count" in finding.message


@pytest.mark.parametrize("row", TABLE["invalid"], ids=lambda row: row["why"][:40])
def test_invalid_conditions_do_not_make_it_raise(row: dict[str, Any]) -> None:
    assert isinstance(analyse(row["conditions"]), list)


@settings(max_examples=200, deadline=None)
@given(anything)
def test_no_json_makes_it_raise(conditions: Any) -> None:
    assert isinstance(analyse(conditions), list)


counts = st.integers(0, 4)
number_rules = st.one_of(
    st.builds(
        rule,
        st.just("attendee_count"),
        st.sampled_from(
            ["equals", "not_equals", "greater_than", "less_than", "greater_than_or_equal", "less_than_or_equal"]
        ),
        counts,
    ),
    st.builds(
        rule,
        st.just("attendee_count"),
        st.sampled_from(["between", "not_between", "in_list", "not_in_list"]),
        st.lists(counts, min_size=2, max_size=2),
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["AND", "OR"]), st.lists(number_rules, min_size=1, max_size=4))
def test_what_it_finds_is_true(operator: str, rules: list[Any]) -> None:
    conditions = [group(operator, *rules)]
    whole = [finding.verdict for finding in analyse(conditions) if finding.path in ("conditions[0]", "conditions")]
    outcomes = {holds(conditions, {"attendee_count": count / 2}) for count in range(-2, 12)}
    if Verdict.NEVER in whole:
        assert outcomes == {False}
    if Verdict.ALWAYS in whole:
        assert outcomes == {True}


@pytest.mark.parametrize("operator", ["in_list", "contains_any", "not_in_list", "contains_all"])
def test_many_long_lists_are_compared_quickly(operator: str) -> None:
    """Of as many rules and items as can be saved, which agree in their last item only."""
    lists = [[*(f"{number} {item}" for item in range(999)), "shared"] for number in range(100)]
    short = [[*(f"{number} {item}" for item in range(49)), "shared"] for number in range(100)]
    started = time.thread_time()
    for values in (lists, short):
        rules = [
            rule("invitee_name", operator if index % 2 else "in_list", value) for index, value in enumerate(values)
        ]
        assert isinstance(analyse([group("AND", *rules), group("OR", *rules)]), list)
    assert time.thread_time() - started < 8
