"""What is refused when conditions are saved: each problem with its path and what was probably meant.

Everything is bounded before it is looked at, so that ten megabytes of JSON cost no more than finding out that they are
too much.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from automation.rules.conditions import MAX_DEPTH
from automation.rules.expressions import ExpressionError, compile_expression
from automation.rules.fields import CUSTOM_PREFIX, Field, FieldType, find, known_names
from automation.rules.operators import OPERATORS, Operator, ValueKind
from automation.rules.patterns import PatternError, searcher
from automation.rules.problems import Problem, nearest
from automation.rules.values import Unevaluable, has_unstorable, items, moment, number, preview

MAX_RULES = 500
"""Rules and groups of one condition list."""
MAX_TEXT = 10_000
"""Characters of a rule's value."""
MAX_NAME = 200
"""Characters of a field's name."""
MAX_ITEMS = 1_000
"""Items of a rule's list."""
MAX_PATTERNS = 50
"""Patterns of one condition list."""
MAX_PROBLEMS = 50
"""Problems reported at once."""


def validate_conditions(conditions: Any, custom_keys: Collection[str] | None = None) -> list[Problem]:
    """Everything wrong with `conditions`, in order; empty when they can be saved.

    `custom_keys` are the keys of the event type's questions; None accepts every `custom_{key}` field.
    """
    return _Validator(custom_keys).run(conditions)


class _Validator:
    def __init__(self, custom_keys: Collection[str] | None) -> None:
        self.custom_keys = custom_keys
        self.seen = 0
        self.patterns = 0

    def run(self, conditions: Any) -> list[Problem]:
        if not isinstance(conditions, list):
            return [Problem("conditions", f"Expected a list of groups, found {preview(conditions)}")]
        problems: list[Problem] = []
        for problem in self.members("conditions", conditions, depth=1, top=True):
            problems.append(problem)
            if len(problems) >= MAX_PROBLEMS:
                break
        return problems

    def members(self, path: str, members: list[Any], depth: int, *, top: bool = False) -> Iterator[Problem]:
        for index, member in enumerate(members):
            self.seen += 1
            if self.seen > MAX_RULES:
                if self.seen == MAX_RULES + 1:
                    yield Problem(path, f"There are more than {MAX_RULES} rules and groups; split the workflow")
                return
            here = f"{path}[{index}]"
            if not isinstance(member, Mapping):
                kind = "group" if top else "rule or a group"
                yield Problem(here, f"Expected a {kind} as an object, found {preview(member)}")
            elif top or "rules" in member:
                yield from self.group(here, member, depth)
            else:
                yield from self.rule(here, member)

    def group(self, path: str, group: Mapping[str, Any], depth: int) -> Iterator[Problem]:
        if depth > MAX_DEPTH:
            yield Problem(path, f"Groups are nested deeper than {MAX_DEPTH}")
            return
        operator = group.get("operator")
        if operator not in ("AND", "OR"):
            meant = operator.upper() if isinstance(operator, str) and operator.upper() in ("AND", "OR") else ""
            found = f"found {preview(operator)}" if "operator" in group else "found none"
            yield Problem(f"{path}.operator", f"A group's operator is AND or OR, {found}", meant)
        rules = group.get("rules")
        if not isinstance(rules, list):
            found = f"found {preview(rules)}" if "rules" in group else "found none"
            yield Problem(f"{path}.rules", f"A group has a list of rules, {found}")
        elif not rules:
            yield Problem(f"{path}.rules", "A group has at least one rule; this one is empty")
        else:
            yield from self.members(f"{path}.rules", rules, depth + 1)

    def rule(self, path: str, rule: Mapping[str, Any]) -> Iterator[Problem]:
        name = rule.get("field")
        field = find(name, self.custom_keys) if isinstance(name, str) and len(name) <= MAX_NAME else None
        if field is None or has_unstorable(field.name):
            yield self.unknown_field(f"{path}.field", name)
        operator_name = rule.get("operator")
        operator = OPERATORS.get(operator_name) if isinstance(operator_name, str) else None
        if operator is None:
            meant = nearest(operator_name, OPERATORS) if isinstance(operator_name, str) else ""
            message = f"There is no operator {preview(operator_name)}"
            if not meant:
                usable = [one.name for one in OPERATORS.values() if field is None or one.fits(field.type)]
                message += f"; use one of {', '.join(usable)}"
            yield Problem(f"{path}.operator", _ask(message, meant), meant)
            return
        if field is not None and not operator.fits(field.type):
            fitting = ", ".join(o.name for o in OPERATORS.values() if o.fits(field.type))
            message = (
                f"{operator.name} does not fit {field.name}, which is of type {field.type.value}; use one of {fitting}"
            )
            yield Problem(f"{path}.operator", message)
            return
        if operator.value_kind is ValueKind.NONE:
            return
        if "value" not in rule:
            yield Problem(f"{path}.value", f"{operator.name} needs a value")
            return
        message = self.value(rule["value"], operator, field)
        if message:
            yield Problem(f"{path}.value", message)

    def unknown_field(self, path: str, name: Any) -> Problem:
        if not isinstance(name, str):
            return Problem(path, f"A rule names its field as text, found {preview(name)}")
        meant = nearest(name, known_names(self.custom_keys))
        if name.startswith(CUSTOM_PREFIX) and not meant and self.custom_keys:
            keys = ", ".join(sorted(self.custom_keys)[:10])
            return Problem(path, f"There is no answer {preview(name)}; the form asks for {keys}")
        return Problem(path, _ask(f"There is no field {preview(name)}", meant), meant)

    def value(self, value: Any, operator: Operator, field: Field | None) -> str:
        """What is wrong with a rule's value, or the empty string."""
        if operator.value_kind is ValueKind.PATTERN:
            self.patterns += 1
            if self.patterns > MAX_PATTERNS:
                return f"There are more than {MAX_PATTERNS} patterns; join some with |"
        if isinstance(value, Mapping):
            return self.expression(value)
        message = _oversized(value)
        if message:
            return message
        return _CHECKS[operator.value_kind](value, operator, field)

    def expression(self, value: Mapping[str, Any]) -> str:
        source = value.get("expr")
        if set(value) != {"expr"} or not isinstance(source, str):
            return 'An object as a value must be {"expr": "…"}'
        try:
            expression = compile_expression(source)
        except ExpressionError as error:
            return f"The expression is refused: {error}"
        for name in sorted(expression.names):
            if find(name, self.custom_keys) is None:
                meant = nearest(name, known_names(self.custom_keys))
                return _ask(f"The expression names {preview(name)}, which is no field", meant)
        return ""


def _ask(message: str, meant: str) -> str:
    return f"{message}; did you mean {meant}?" if meant else message


def _oversized(value: Any) -> str:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"The text has {len(value)} characters; at most {MAX_TEXT} are allowed"
        return "The text holds a NUL or a lone surrogate, which are no characters" if has_unstorable(value) else ""
    if isinstance(value, int) and value.bit_length() > 1024:
        return "The number has too many digits"
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            return f"The list has {len(value)} items; at most {MAX_ITEMS} are allowed"
        for item in value:
            if isinstance(item, (list, dict)):
                return "A list's items are text, numbers or booleans; one of these is a list or an object"
            message = _oversized(item)
            if message:
                return message
    return ""


def _check_scalar(value: Any, operator: Operator, field: Field | None) -> str:
    if isinstance(value, list) and (field is None or field.type not in (FieldType.LIST, FieldType.ANY)):
        return f"{operator.name} compares with one value; in_list compares with several"
    return ""


def _check_text(value: Any, operator: Operator, field: Field | None) -> str:
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return ""
    return f"{operator.name} takes text to look for, found {preview(value)}"


def _check_ordered(value: Any, operator: Operator, field: Field | None) -> str:
    as_number, as_time = number(value) is not None, moment(value) is not None
    if field is not None and field.type is FieldType.NUMBER and not as_number:
        return f"{field.name} is a number, and {preview(value)} is none"
    if field is not None and field.type in (FieldType.DATETIME, FieldType.DATE) and not as_time:
        return f"{field.name} is a time, and {preview(value)} is none in ISO 8601 (2026-03-29T09:30:00+02:00)"
    return "" if as_number or as_time else f"{operator.name} takes a number or a time, found {preview(value)}"


def _check_time(value: Any, operator: Operator, field: Field | None) -> str:
    if moment(value) is not None:
        return ""
    return f"{operator.name} takes a time in ISO 8601 (2026-03-29 or 2026-03-29T09:30:00+02:00), found {preview(value)}"


def _check_pair(value: Any, operator: Operator, field: Field | None) -> str:
    try:
        ends = items(value)
    except Unevaluable:
        ends = []
    if len(ends) != 2:
        return f"{operator.name} takes two values, [from, to]"
    return next((message for end in ends if (message := _check_ordered(end, operator, field))), "")


def _check_list(value: Any, operator: Operator, field: Field | None) -> str:
    try:
        items(value)
    except Unevaluable:
        return f"{operator.name} takes a list, or text split at commas, found {preview(value)}"
    return ""


def _check_pattern(value: Any, operator: Operator, field: Field | None) -> str:
    if not isinstance(value, str):
        return f"{operator.name} takes a pattern as text, found {preview(value)}"
    try:
        searcher(value)
    except PatternError as error:
        return f"The pattern cannot be used: {error} (RE2 syntax: no backreferences, no look-around)"
    return ""


_CHECKS = {
    ValueKind.SCALAR: _check_scalar,
    ValueKind.TEXT: _check_text,
    ValueKind.ORDERED: _check_ordered,
    ValueKind.TIME: _check_time,
    ValueKind.PAIR: _check_pair,
    ValueKind.LIST: _check_list,
    ValueKind.PATTERN: _check_pattern,
}
