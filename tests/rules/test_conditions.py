"""The operators' truth table, groups, traces, and a second, naive evaluator that must agree."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.rules.conditions import evaluate, holds
from automation.rules.operators import OPERATORS
from tests.rules.facts import TABLE, group, rule

CONTEXT = TABLE["context"]


def name_of(row: dict[str, Any]) -> str:
    return f"{row['field']}-{row['operator']}-{row['value']!r}"[:80]


@pytest.mark.parametrize("row", TABLE["rules"], ids=name_of)
def test_it_follows_the_truth_table(row: dict[str, Any]) -> None:
    conditions = [group("AND", rule(row["field"], row["operator"], row["value"]))]
    evaluation = evaluate(conditions, CONTEXT)
    assert evaluation.result is row["expect"]
    assert holds(conditions, CONTEXT) is row["expect"]
    assert evaluation.trace[0]["rules"][0]["result"] is row["expect"]


@pytest.mark.parametrize("row", TABLE["groups"], ids=lambda row: row.get("why", "group"))
def test_it_combines_groups(row: dict[str, Any]) -> None:
    assert evaluate(row["conditions"], CONTEXT).result is row["expect"]
    assert holds(row["conditions"], CONTEXT) is row["expect"]


def test_the_truth_table_covers_every_operator() -> None:
    assert {row["operator"] for row in TABLE["rules"]} == set(OPERATORS)


def test_the_trace_names_each_rule_with_its_actual_value() -> None:
    conditions = [
        group(
            "OR",
            rule("attendee_count", "equals", 4),
            group("AND", rule("duration", "less_than", {"expr": "event_type_duration * 2"})),
        )
    ]
    assert evaluate(conditions, CONTEXT).trace == [
        {
            "operator": "OR",
            "result": True,
            "rules": [
                {"field": "attendee_count", "operator": "equals", "expected": 4, "actual": 3, "result": False},
                {
                    "operator": "AND",
                    "result": True,
                    "rules": [
                        {
                            "field": "duration",
                            "operator": "less_than",
                            "expected": {"expr": "event_type_duration * 2", "value": 60},
                            "actual": 30,
                            "result": True,
                        }
                    ],
                },
            ],
        }
    ]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (rule("duration", "equals", {"expr": "1 / 0"}), "zero"),
        (rule("duration", "not_equals", {"expr": "1 / 0"}), "zero"),
        (rule("duration", "equals", {"expr": "().__class__"}), "__class__"),
        (rule("custom_company", "greater_than", 1), "number"),
        (rule("cancellation_reason", "greater_than", 1), "empty"),
        (rule("invitee_email", "not_regex_match", "("), "pattern"),
        (rule("duration", "nope", 1), "nope"),
        (rule("custom_company", "not_between", [1, 2]), "number"),
        ({"operator": "equals"}, "field"),
        ("text", "rule"),
        ({"operator": "XOR", "rules": []}, "group"),
        ({"operator": "AND", "rules": []}, "no rules"),
    ],
)
def test_what_cannot_be_evaluated_is_false_with_a_reason(broken: Any, reason: str) -> None:
    evaluation = evaluate([{"operator": "AND", "rules": [broken]}], CONTEXT)
    assert not evaluation.result
    assert reason in evaluation.trace[0]["rules"][0]["reason"]
    assert not holds([{"operator": "AND", "rules": [broken]}], CONTEXT)


@pytest.mark.parametrize("conditions", [None, "x", 5, {}, ["x"], [None], [[]], [{}], object()])
def test_what_is_no_condition_list_is_false_and_never_an_error(conditions: Any) -> None:
    if conditions == {}:
        conditions = {"rules": []}
    assert evaluate(conditions, CONTEXT).result is False


def test_datetimes_in_the_context_compare_like_their_text() -> None:
    context = {"start_time": datetime(2026, 3, 29, 7, 30, tzinfo=UTC)}
    for operator, value, expected in [
        ("after", "2026-03-29T07:29:59Z", True),
        ("after", "2026-03-29T09:30:00+02:00", False),
        ("equals", "2026-03-29T09:30:00+02:00", True),
        ("before", "2026-03-30", True),
        ("between", ["2026-03-29", "2026-03-30"], True),
        ("before", {"expr": "start_time + minutes(1)"}, True),
    ]:
        evaluation = evaluate([group("AND", rule("start_time", operator, value))], context)
        assert evaluation.result is expected, (operator, value)
        json.dumps(evaluation.trace)


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """2:30 in summer time and 2:30 in winter time look alike on the wall in Berlin."""
    context = {"start_time": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))}
    for operator, value, expected in [
        ("equals", {"expr": "start_time + hours(1)"}, False),
        ("not_equals", {"expr": "start_time + hours(1)"}, True),
        ("before", {"expr": "start_time + hours(1)"}, True),
        ("between", {"expr": "[start_time + minutes(1), start_time + hours(1)]"}, False),
        ("equals", {"expr": "start_time + hours(1) - hours(1)"}, True),
        ("equals", "2026-10-25T02:30:00+02:00", True),
        ("equals", "2026-10-25T02:30:00+01:00", False),
    ]:
        assert holds([group("AND", rule("start_time", operator, value))], context) is expected, (operator, value)


def test_a_day_begins_where_the_meeting_is() -> None:
    context = {"start_time": "2026-03-30T00:30:00+02:00"}
    assert holds([group("AND", rule("start_time", "after", "2026-03-30"))], context)
    assert not holds([group("AND", rule("start_time", "before", "2026-03-30"))], context)


def test_accents_typed_in_two_ways_are_the_same() -> None:
    assert holds([group("AND", rule("invitee_name", "contains", "a\u0301lva"))], CONTEXT)


def nested(depth: int) -> list[Any]:
    node: dict[str, Any] = rule("attendee_count", "equals", 3)
    for _ in range(depth):
        node = group("AND", node)
    return [node]


def test_ten_levels_hold_and_eleven_do_not() -> None:
    assert evaluate(nested(10), CONTEXT).result
    assert not evaluate(nested(11), CONTEXT).result
    assert not evaluate(nested(500), CONTEXT).result
    assert not evaluate(nested(100_000), CONTEXT).result


@pytest.mark.parametrize("hostile", ["\x00", "a\x00b", "\ud800", "\udfff" * 5, "x" * 1_000_000])
def test_hostile_text_is_harmless_and_its_trace_can_be_stored(hostile: str) -> None:
    for operator in OPERATORS:
        evaluation = evaluate([group("AND", rule("custom_x", operator, hostile))], {"custom_x": hostile})
        stored = json.dumps(evaluation.trace, ensure_ascii=False).encode("utf-8")
        assert b"\\u0000" not in stored
        assert len(stored) < 5_000


def test_a_pattern_that_backtracks_elsewhere_is_linear_here() -> None:
    context = {"custom_x": "a" * 50_000 + "!"}
    for pattern in (r"(a+)+$", r"(a|aa)+$", r"(.*a){20}x", r"^(([a-z])+.)+[A-Z]([a-z])+$"):
        started = time.thread_time()
        assert holds([group("AND", rule("custom_x", "not_regex_match", pattern))], context)
        assert time.thread_time() - started < 1


def test_a_search_that_would_take_long_is_not_begun() -> None:
    conditions = [group("AND", rule("custom_x", "regex_match", "a.{900}b"))]
    started = time.thread_time()
    evaluation = evaluate(conditions, {"custom_x": "a" * 1_000_000})
    assert time.thread_time() - started < 0.2
    assert "characters" in evaluation.trace[0]["rules"][0]["reason"]
    assert holds(conditions, {"custom_x": "a" * 1_000 + "b"})


def test_a_large_answer_is_read_once_however_much_is_looked_for() -> None:
    many = [f"needle {number}" for number in range(1_000)]
    context = {"custom_text": "é" * 1_000_000, "custom_list": ["é" * 200] * 5_000, "custom_one": "é" * 100_000}
    conditions = [
        group("OR", rule("custom_text", "contains_any", many), rule("custom_list", "contains_all", many)),
        group("OR", rule("custom_list", "contains", "é" * 9_000)),
        group("OR", rule("is_weekend", "equals", {"expr": "custom_one in custom_list"})),
    ]
    started = time.thread_time()
    assert not evaluate(conditions, context).result
    assert time.thread_time() - started < 5  # some 0.5 s; folded for each needle, a minute


# --- a second reading of the contract, kept as simple as possible -----------------------------------------------

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([0.5, 2.0, -1.25]),
    st.sampled_from(["", " ", "a", "A", "ab", "3", "-1", "0.5", "true", "False", "x,y", "a,b", "1e400", "nan"]),
    st.lists(st.sampled_from(["a", "B", "3", 3, "ab"]), max_size=3),
)
NAIVE = [
    "equals",
    "not_equals",
    "greater_than",
    "less_than",
    "greater_than_or_equal",
    "less_than_or_equal",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "is_empty",
    "is_not_empty",
    "in_list",
    "not_in_list",
]


def naive_number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or isinstance(value, list):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def naive_text(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def naive_rule(actual: Any, operator: str, expected: Any) -> bool:
    if operator in ("not_equals", "is_not_empty"):
        return not naive_rule(actual, {"not_equals": "equals", "is_not_empty": "is_empty"}[operator], expected)
    if operator == "equals":
        if actual is None or expected is None:
            return actual is None and expected is None
        plain = (int, float)
        if type(actual) is type(expected) or (type(actual) in plain and type(expected) in plain):
            return bool(actual == expected)
        return naive_text(actual).lower() == naive_text(expected).lower()
    if operator == "is_empty":
        return actual is None or actual == [] or (isinstance(actual, str) and actual.strip() == "")
    if operator in ("contains", "not_contains"):
        if expected is None or isinstance(expected, list):
            return False
        needle = naive_text(expected).lower()
        if actual is None or needle == "":
            found = False
        elif isinstance(actual, list):
            found = needle in [naive_text(item).lower() for item in actual]
        else:
            found = needle in naive_text(actual).lower()
        return found is (operator == "contains")
    if operator in ("starts_with", "ends_with"):
        if actual is None or expected is None or isinstance(actual, list) or isinstance(expected, list):
            return False
        text, affix = naive_text(actual).lower(), naive_text(expected).lower()
        return affix != "" and (text.startswith(affix) if operator == "starts_with" else text.endswith(affix))
    if operator in ("in_list", "not_in_list"):
        if isinstance(expected, str):
            expected = [part.strip() for part in expected.split(",") if part.strip()]
        if not isinstance(expected, list) or isinstance(actual, list):
            return False
        found = actual is not None and naive_text(actual).lower() in [naive_text(item).lower() for item in expected]
        return found is (operator == "in_list")
    left, right = naive_number(actual), naive_number(expected)
    if left is None or right is None:
        return False
    return {
        "greater_than": left > right,
        "less_than": left < right,
        "greater_than_or_equal": left >= right,
        "less_than_or_equal": left <= right,
    }[operator]


def naive(node: dict[str, Any], context: dict[str, Any]) -> bool:
    if "rules" in node:
        results = [naive(member, context) for member in node["rules"]]
        return all(results) if node["operator"] == "AND" else any(results)
    return naive_rule(context.get(node["field"]), node["operator"], node["value"])


rules = st.builds(rule, st.sampled_from(["custom_a", "custom_b"]), st.sampled_from(NAIVE), values)
trees = st.recursive(
    rules,
    lambda members: st.builds(
        lambda operator, found: group(operator, *found),
        st.sampled_from(["AND", "OR"]),
        st.lists(members, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.builds(lambda node: group("AND", node), trees), max_size=3), values, values)
def test_it_agrees_with_a_naive_evaluator(conditions: list[Any], a: Any, b: Any) -> None:
    context = {"custom_a": a, "custom_b": b}
    expected = all(naive(node, context) for node in conditions)
    evaluation = evaluate(conditions, context)
    assert evaluation.result is expected
    assert holds(conditions, context) is expected
    json.dumps(evaluation.trace, allow_nan=False)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["field", "operator", "value", "rules", "expr", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(anything, anything)
def test_no_json_makes_it_raise(conditions: Any, value: Any) -> None:
    evaluation = evaluate(conditions, {"duration": value, "custom_x": value})
    assert isinstance(evaluation.result, bool)
    json.dumps(evaluation.trace, allow_nan=False)
