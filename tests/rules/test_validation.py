"""What is refused when conditions are saved, and what the message says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings

from automation.rules.conditions import holds
from automation.rules.fields import FIELDS, FieldType
from automation.rules.operators import OPERATORS, ValueKind
from automation.rules.validation import MAX_PATTERNS, MAX_RULES, validate_conditions
from tests.rules.facts import TABLE, group, rule
from tests.rules.test_conditions import anything, nested


@pytest.mark.parametrize("row", TABLE["invalid"], ids=lambda row: row["why"][:40])
def test_it_refuses_and_names_the_place(row: dict[str, Any]) -> None:
    problems = validate_conditions(row["conditions"])
    assert problems
    assert problems[0].path.startswith("conditions")
    assert problems[0].message


@pytest.mark.parametrize("row", TABLE["groups"], ids=lambda row: row.get("why", "group"))
def test_it_accepts_what_is_evaluated(row: dict[str, Any]) -> None:
    assert validate_conditions(row["conditions"]) == []


@pytest.mark.parametrize(
    ("member", "path", "suggestion"),
    [
        (rule("atendee_count", "equals", 1), "conditions[0].rules[0].field", "attendee_count"),
        (rule("attendee_count", "grater_than", 1), "conditions[0].rules[0].operator", "greater_than"),
        (rule("duration", "equals", {"expr": "event_type_duratoin * 2"}), "conditions[0].rules[0].value", ""),
        (rule("invitee_email", "regex_match", r"(a)\1"), "conditions[0].rules[0].value", ""),
        (rule("start_time", "before", "tomorrow"), "conditions[0].rules[0].value", ""),
        (rule("attendee_count", "greater_than", "many"), "conditions[0].rules[0].value", ""),
        (rule("attendee_count", "greater_than", float("nan")), "conditions[0].rules[0].value", ""),
        (rule("attendee_count", "equals", {"expression": "1"}), "conditions[0].rules[0].value", ""),
        (rule("attendee_count", "in_list", [[1]]), "conditions[0].rules[0].value", ""),
        ({"field": "duration", "operator": "equals"}, "conditions[0].rules[0].value", ""),
        (rule("invitee_name", "equals", "a\x00"), "conditions[0].rules[0].value", ""),
        (rule("invitee_name", "equals", "\ud800"), "conditions[0].rules[0].value", ""),
        (rule("invitee_name", "regex_match", "x" * 5_000), "conditions[0].rules[0].value", ""),
        (rule("invitee_name", "regex_match", "(a{1,900}){1,900}"), "conditions[0].rules[0].value", ""),
        ("x", "conditions[0].rules[0]", ""),
    ],
)
def test_a_problem_has_a_path_and_the_nearest_name(member: Any, path: str, suggestion: str) -> None:
    problems = validate_conditions([{"operator": "AND", "rules": [member]}])
    assert [problem.path for problem in problems] == [path]
    assert problems[0].suggestion == suggestion


def test_an_expression_names_the_nearest_field() -> None:
    problems = validate_conditions([group("AND", rule("duration", "equals", {"expr": "event_type_duratoin * 2"}))])
    assert "event_type_duration" in problems[0].message


def test_custom_fields_are_those_of_the_form() -> None:
    conditions = [group("AND", rule("custom_budgt", "equals", 1))]
    assert validate_conditions(conditions) == []
    assert validate_conditions(conditions, custom_keys={"budget"})[0].suggestion == "custom_budget"
    assert validate_conditions([group("AND", rule("custom_budget", "equals", 1))], custom_keys={"budget"}) == []
    assert validate_conditions([group("AND", rule("custom_", "equals", 1))])


VALUES = {
    ValueKind.NONE: None,
    ValueKind.SCALAR: "x",
    ValueKind.TEXT: "x",
    ValueKind.LIST: ["x"],
    ValueKind.PATTERN: "x",
    ValueKind.TIME: "2026-03-29",
}


def fitting_value(kind: ValueKind, field_type: FieldType) -> Any:
    ordered = 1 if field_type in (FieldType.NUMBER, FieldType.ANY) else "2026-03-29"
    if kind is ValueKind.ORDERED:
        return ordered
    return [ordered, ordered] if kind is ValueKind.PAIR else VALUES[kind]


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_every_field_takes_the_operators_of_its_type_and_no_others(field: Any) -> None:
    for operator in OPERATORS.values():
        value = fitting_value(operator.value_kind, field.type)
        problems = validate_conditions([group("AND", rule(field.name, operator.name, value))])
        assert bool(problems) is not operator.fits(field.type), (field.name, operator.name)


def test_a_lot_is_refused_quickly() -> None:
    ten_megabytes = [
        [group("AND", rule("invitee_name", "equals", "x" * 10_000_000))],
        [group("AND", rule("x" * 10_000_000, "equals", 1))],
        [group("AND", rule("invitee_name", "y" * 10_000_000, 1))],
        [group("AND", *[rule("attendee_count", "equals", 1)] * 200_000)],
        [group("AND", rule("attendee_count", "in_list", list(range(1_000_000))))],
        [group("AND", rule("duration", "equals", {"expr": "1+" * 5_000_000 + "1"}))],
        [group("AND", rule("duration", "equals", 10**100_000))],
        ["x"] * 1_000_000,
        nested(100_000),
        "x" * 10_000_000,
    ]
    started = time.thread_time()
    for conditions in ten_megabytes:
        problems = validate_conditions(conditions)
        assert problems
        assert all(len(problem.message) < 1_000 and len(problem.path) < 1_000 for problem in problems)
    assert time.thread_time() - started < 5


def test_patterns_are_counted() -> None:
    patterns = [rule("invitee_name", "regex_match", f"a{n}") for n in range(MAX_PATTERNS + 1)]
    assert validate_conditions([group("AND", *patterns[:-1])]) == []
    assert [p.path for p in validate_conditions([group("AND", *patterns)])] == [
        f"conditions[0].rules[{MAX_PATTERNS}].value"
    ]


def test_as_many_rules_as_allowed_are_accepted() -> None:
    assert validate_conditions([group("AND", *[rule("attendee_count", "equals", 1)] * (MAX_RULES - 1))]) == []
    assert validate_conditions([group("AND", *[rule("attendee_count", "equals", 1)] * MAX_RULES)])


@settings(max_examples=300, deadline=None)
@given(anything)
def test_no_json_makes_it_raise_and_what_it_accepts_is_evaluated(conditions: Any) -> None:
    if validate_conditions(conditions) == []:
        assert holds(conditions, TABLE["context"]) in (True, False)
        assert isinstance(conditions, list)
