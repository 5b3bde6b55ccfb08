"""Static checks: rules that can never hold together, and rules of which one always holds.

Every rule is judged by the operators themselves, never by a second reading of their meaning: the values that one rule
fixes are tried on the others, ranges are intersected, opposites are matched. What is found is true; not everything
that is true is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Any

from automation.rules.conditions import MAX_DEPTH
from automation.rules.fields import FieldType, find
from automation.rules.operators import OPERATORS, Test, ValueKind
from automation.rules.values import Unevaluable, instants, is_blank, items, moment, number, preview

MAX_RULES_COMPARED = 50
"""Rules on one field that are compared with each other."""
MAX_ITEMS_COMPARED = 50
"""Items of a rule that is compared with others: what is compared grows with the product of both."""

_BLANKS: tuple[Any, ...] = (None, "", " ", [])


class Verdict(StrEnum):
    NEVER = "never"
    """What is at `path` cannot hold for any booking."""
    ALWAYS = "always"
    """What is at `path` holds for every booking whose field has a value."""


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    verdict: Verdict
    message: str


@dataclass(frozen=True, slots=True)
class _Rule:
    path: str
    field: str
    operator: str
    value: Any
    test: Test | None
    """None where the rule cannot be evaluated, and so never holds."""

    def holds_for(self, actual: Any) -> bool | None:
        """Whether the rule holds for a known value; None when that cannot be said."""
        try:
            return self.test is not None and self.test(actual)
        except Unevaluable:
            return False
        except RecursionError:
            return None

    def __str__(self) -> str:
        operator = OPERATORS[self.operator]
        if operator.value_kind == "none":
            return f"{self.field} {operator.label}"
        if isinstance(self.value, (list, tuple)) and len(self.value) <= 5:
            return f"{self.field} {operator.label} {', '.join(preview(item) for item in self.value)}"
        return f"{self.field} {operator.label} {preview(self.value)}"


def analyse(conditions: Any) -> list[Finding]:
    """Contradictions and tautologies in a valid condition list. Expressions are not computed, so never judged."""
    if not isinstance(conditions, (list, tuple)):
        return []
    findings: list[Finding] = []
    conjuncts: list[_Rule] = []
    for index, group in enumerate(conditions):
        if isinstance(group, Mapping):
            path = f"conditions[{index}]"
            findings.extend(_group(path, group, 1))
            conjuncts.extend(_conjuncts(path, group, 1))
    # All groups must hold, so rules of different AND groups meet as well.
    known = {finding.message for finding in findings}
    findings.extend(f for f in _together("conditions", conjuncts) if f.message not in known)
    return findings


def _group(path: str, group: Mapping[str, Any], depth: int) -> Iterator[Finding]:
    members = group.get("rules")
    if not isinstance(members, (list, tuple)) or depth > MAX_DEPTH:
        return
    rules: list[_Rule] = []
    for index, member in enumerate(members):
        here = f"{path}.rules[{index}]"
        if isinstance(member, Mapping) and "rules" in member:
            yield from _group(here, member, depth + 1)
        elif (rule := _rule(here, member)) is not None:
            rules.append(rule)
            yield from _alone(rule)
    yield from _together(path, rules) if group.get("operator") == "AND" else _either(path, rules)


def _conjuncts(path: str, group: Mapping[str, Any], depth: int) -> Iterator[_Rule]:
    """The rules that must all hold for the group to hold."""
    members = group.get("rules")
    if not isinstance(members, (list, tuple)) or depth > MAX_DEPTH:
        return
    if group.get("operator") != "AND" and len(members) != 1:
        return
    for index, member in enumerate(members):
        here = f"{path}.rules[{index}]"
        if isinstance(member, Mapping) and "rules" in member:
            yield from _conjuncts(here, member, depth + 1)
        elif (rule := _rule(here, member)) is not None:
            yield rule


def _rule(path: str, member: Any) -> _Rule | None:
    if not isinstance(member, Mapping):
        return None
    field, operator, value = member.get("field"), member.get("operator"), member.get("value")
    if not isinstance(field, str) or not isinstance(operator, str) or operator not in OPERATORS:
        return None
    if isinstance(value, Mapping):
        return None
    try:
        test = OPERATORS[operator].bind(value)
    except (Unevaluable, RecursionError):
        test = None
    return _Rule(path, field, operator, value, test)


def _alone(rule: _Rule) -> Iterator[Finding]:
    try:
        OPERATORS[rule.operator].bind(rule.value)
    except (Unevaluable, RecursionError) as error:
        yield Finding(rule.path, Verdict.NEVER, f"{rule} never holds: {error}")
        return
    field = find(rule.field)
    outcomes = {rule.holds_for(choice) for choice in field.choices} if field is not None else set()
    if rule.operator in ("in_list", "contains_any", "contains_all") and not items(rule.value):
        yield Finding(rule.path, Verdict.NEVER, f"{rule} never holds: the list is empty")
    elif rule.operator in ("contains", "starts_with", "ends_with") and rule.value == "":
        yield Finding(rule.path, Verdict.NEVER, f"{rule} never holds: there is no text to look for")
    elif rule.operator == "between" and _reversed(rule.value):
        yield Finding(rule.path, Verdict.NEVER, f"{rule} never holds: the range ends before it begins")
    elif outcomes == {False} and field is not None and not is_blank(rule.value):
        yield Finding(
            rule.path, Verdict.NEVER, f"{rule} never holds: {rule.field} is one of {', '.join(field.choices)}"
        )
    elif (
        field is not None
        and field.type is FieldType.BOOLEAN
        and rule.operator == "equals"
        and rule.value is not None
        and not (rule.holds_for(True) or rule.holds_for(False))
    ):
        yield Finding(rule.path, Verdict.NEVER, f"{rule} never holds: {rule.field} is true or false")


def _reversed(value: Any) -> bool:
    low, high = items(value)
    return _below(high, low)


def _by_field(rules: Sequence[_Rule]) -> Iterator[tuple[str, list[_Rule]]]:
    fields: dict[str, list[_Rule]] = {}
    for rule in rules:
        if not _is_long(rule):
            fields.setdefault(rule.field, []).append(rule)
    return ((name, members[:MAX_RULES_COMPARED]) for name, members in fields.items() if len(members) > 1)


def _is_long(rule: _Rule) -> bool:
    takes_items = OPERATORS[rule.operator].value_kind in (ValueKind.LIST, ValueKind.PAIR)
    return takes_items and rule.test is not None and len(items(rule.value)) > MAX_ITEMS_COMPARED


def _together(path: str, rules: Sequence[_Rule]) -> Iterator[Finding]:
    """Rules that must all hold: for each field, is there a value for which they do?"""
    for name, members in _by_field(rules):
        for left, right in combinations(members, 2):
            if _exclude(left, right):
                message = f"{left} and {right} never hold together"
                yield Finding(path, Verdict.NEVER, message)
                break
        else:
            candidates = next((fixed for rule in members if (fixed := _fixed(rule, members)) is not None), None)
            if candidates and not any(all(r.holds_for(c) for r in members) for c in candidates):
                yield Finding(path, Verdict.NEVER, f"no value of {name} satisfies all {len(members)} rules about it")


def _either(path: str, rules: Sequence[_Rule]) -> Iterator[Finding]:
    """Rules of which one must hold: is there a pair that leaves nothing out?"""
    for _, members in _by_field(rules):
        for left, right in combinations(members, 2):
            if _opposite(left, right) or _cover(left, right):
                yield Finding(path, Verdict.ALWAYS, f"{left} or {right}: one of them always holds")
                break


def _exclude(left: _Rule, right: _Rule) -> bool:
    """Whether no value satisfies both."""
    if _opposite(left, right) or {left.operator, right.operator} == {"is_true", "is_false"}:
        return True
    for one, other in ((left, right), (right, left)):
        if one.operator == "is_empty" and all(other.holds_for(blank) is False for blank in _BLANKS):
            return True
        fixed = _fixed(one, (other,))
        if fixed and all(other.holds_for(candidate) is False for candidate in fixed):
            return True
    first, second = _range(left), _range(right)
    return first is not None and second is not None and (_apart(first, second) or _apart(second, first))


def _opposite(left: _Rule, right: _Rule) -> bool:
    """Whether one is the negation of the other. Ordering negations both fail on a missing value, hence `between`."""
    for one, other in ((left, right), (right, left)):
        if OPERATORS[one.operator].negates == other.operator:
            return OPERATORS[one.operator].value_kind == "none" or _json(one.value) == _json(other.value)
    return False


def _fixed(rule: _Rule, others: Sequence[_Rule]) -> list[Any] | None:
    """The only values for which the rule holds, as a field of its type would hold them; None when there are others.

    `in_list` ignores case, so its values stand for all their spellings only where no other rule minds the spelling.
    """
    field = find(rule.field)
    if field is None or field.type in (FieldType.ANY, FieldType.LIST, FieldType.DATETIME, FieldType.DATE):
        return None
    if rule.operator == "equals" and not isinstance(rule.value, (list, tuple)):
        return [_typed(rule.value, field.type)]
    if rule.operator == "in_list" and not any(other.operator in ("equals", "not_equals") for other in others):
        return [_typed(item, field.type) for item in items(rule.value)] or None
    return None


def _typed(value: Any, field_type: FieldType) -> Any:
    if field_type is FieldType.NUMBER:
        found = number(value)
        return value if found is None else found
    if field_type is FieldType.BOOLEAN and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


@dataclass(frozen=True, slots=True)
class _Range:
    """From `low` to `high`, None for open; the flags say whether the ends belong to it."""

    low: Any = None
    high: Any = None
    low_in: bool = True
    high_in: bool = True


def _range(rule: _Rule) -> _Range | None:
    value = rule.value
    match rule.operator:
        case "greater_than" | "after":
            return _Range(low=value, low_in=False)
        case "greater_than_or_equal":
            return _Range(low=value)
        case "less_than" | "before":
            return _Range(high=value, high_in=False)
        case "less_than_or_equal":
            return _Range(high=value)
        case "between":
            try:
                low, high = items(value)
            except (Unevaluable, ValueError):
                return None
            return _Range(low, high)
    return None


def _apart(lower: _Range, upper: _Range) -> bool:
    """Whether `lower` ends before `upper` begins."""
    if lower.high is None or upper.low is None:
        return False
    return _below(lower.high, upper.low) or (
        not (lower.high_in and upper.low_in) and _order(lower.high, upper.low) == 0
    )


def _cover(left: _Rule, right: _Rule) -> bool:
    """Whether two open ranges leave no value out."""
    for one, other in ((_range(left), _range(right)), (_range(right), _range(left))):
        if one is None or other is None or one.low is not None or other.high is not None:
            continue
        order = _order(one.high, other.low)
        if order is not None and (order > 0 or (order == 0 and (one.high_in or other.low_in))):
            return True
    return False


def _below(left: Any, right: Any) -> bool:
    order = _order(left, right)
    return order is not None and order < 0


def _order(left: Any, right: Any) -> int | None:
    """How two bounds compare, or None. Times without a zone depend on the meeting's, so only like is compared."""
    first, second = number(left), number(right)
    if first is not None and second is not None:
        return (first > second) - (first < second)
    when, then = moment(left), moment(right)
    if not isinstance(when, datetime) or not isinstance(then, datetime):
        return None
    if (when.tzinfo is None) != (then.tzinfo is None):
        return None
    try:
        when, then = instants(when, then)
    except Unevaluable:
        return None
    return (when > then) - (when < then)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
