"""Evaluation of a workflow's conditions: groups of rules over one context, with a trace of why.

A list of groups, all of which must hold; each is `{"operator": "AND" | "OR", "rules": [rule | group, …]}`, nested up to
`MAX_DEPTH`; a rule is `{"field", "operator", "value"}`. Nothing here raises: what cannot be evaluated is false, and the
trace says why. A list of conditions is compiled once and kept by its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from automation.rules.expressions import ExpressionError, compile_expression
from automation.rules.operators import OPERATORS, Operator, Test
from automation.rules.tracing import traced
from automation.rules.values import Unevaluable, preview

MAX_DEPTH = 10
"""Groups within groups, the outermost counted as 1."""
_MAX_CACHED = 100_000
"""Characters of JSON; larger condition lists are compiled each time rather than kept in memory."""

Context = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`trace` has one entry per group, JSON-able: a group's `operator`, `result` and `rules`; a rule's `field`,
    `operator`, `expected`, `actual`, `result`, and a `reason` where it could not be evaluated."""

    result: bool
    trace: list[dict[str, Any]] = field(default_factory=list)


class Node(Protocol):
    """A compiled rule or group."""

    def holds(self, context: Context) -> bool: ...

    def trace(self, context: Context) -> dict[str, Any]: ...


def evaluate(conditions: Any, context: Context) -> Evaluation:
    """Evaluate every rule, so that the trace is complete, and say whether all groups hold. An empty list holds."""
    trace = [node.trace(context) for node in compiled(conditions)]
    return Evaluation(all(entry["result"] for entry in trace), trace)


def holds(conditions: Any, context: Context) -> bool:
    """The result of `evaluate` without its trace; stops at the first rule that decides."""
    return all(node.holds(context) for node in compiled(conditions))


def compiled(conditions: Any) -> tuple[Node, ...]:
    """The compiled groups of a condition list, from the cache when it is of ordinary size."""
    try:
        key = json.dumps(conditions)
    except RecursionError:
        return (_Broken(conditions, "the conditions are nested too deeply"),)
    except (TypeError, ValueError):  # not JSON: values such as datetimes, from code
        return _compile(conditions)
    return _compiled_json(key) if len(key) <= _MAX_CACHED else _compile(conditions)


@lru_cache(maxsize=512)
def _compiled_json(key: str) -> tuple[Node, ...]:
    return _compile(json.loads(key))


def _compile(conditions: Any) -> tuple[Node, ...]:
    if not isinstance(conditions, (list, tuple)):
        return (_Broken(conditions, f"expected a list of groups, found {preview(conditions)}"),)
    return tuple(_compile_group(group, 1) for group in conditions)


def _compile_group(group: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        return _Broken(None, f"groups are nested deeper than {MAX_DEPTH}")
    if not isinstance(group, Mapping) or group.get("operator") not in ("AND", "OR"):
        return _Broken(group, 'expected a group {"operator": "AND" or "OR", "rules": […]}')
    rules = group.get("rules")
    if not isinstance(rules, (list, tuple)) or not rules:
        return _Broken(group, "the group has no rules")
    nodes = tuple(
        _compile_group(rule, depth + 1) if isinstance(rule, Mapping) and "rules" in rule else _compile_rule(rule)
        for rule in rules
    )
    return _Group(group["operator"], nodes)


def _compile_rule(rule: Any) -> Node:
    if not isinstance(rule, Mapping) or not isinstance(rule.get("field"), str):
        return _Broken(rule, 'expected a rule {"field", "operator", "value"}')
    name = rule.get("operator")
    operator = OPERATORS.get(name) if isinstance(name, str) else None
    if operator is None:
        return _Broken(rule, f"there is no operator {preview(name)}")
    value = rule.get("value")
    if isinstance(value, Mapping) and "expr" in value:
        return _compile_computed(rule, operator, value["expr"])
    try:
        return _Rule(rule["field"], operator.name, value, operator.bind(value))
    except (Unevaluable, RecursionError) as error:
        return _Broken(rule, str(error))


def _compile_computed(rule: Mapping[str, Any], operator: Operator, source: Any) -> Node:
    try:
        if not isinstance(source, str):
            raise ExpressionError(f"expr is {preview(source)}; expected text")
        expression = compile_expression(source)
    except ExpressionError as error:
        return _Broken(rule, str(error))
    return _ComputedRule(rule["field"], operator, source, expression)


class _Group:
    __slots__ = ("_all", "_nodes", "_operator")

    def __init__(self, operator: str, nodes: tuple[Node, ...]) -> None:
        self._operator = operator
        self._nodes = nodes
        self._all = operator == "AND"

    def holds(self, context: Context) -> bool:
        if self._all:
            return all(node.holds(context) for node in self._nodes)
        return any(node.holds(context) for node in self._nodes)

    def trace(self, context: Context) -> dict[str, Any]:
        rules = [node.trace(context) for node in self._nodes]
        results = [entry["result"] for entry in rules]
        return {"operator": self._operator, "result": all(results) if self._all else any(results), "rules": rules}


class _Rule:
    """A rule whose value is known: the operator has bound it already."""

    __slots__ = ("_expected", "_field", "_operator", "_test")

    def __init__(self, field_name: str, operator: str, expected: Any, test: Test) -> None:
        self._field = field_name
        self._operator = operator
        self._expected = traced(expected)
        self._test = test

    def holds(self, context: Context) -> bool:
        try:
            return self._test(context.get(self._field))
        except (Unevaluable, RecursionError):
            return False

    def trace(self, context: Context) -> dict[str, Any]:
        actual = context.get(self._field)
        entry = {
            "field": self._field,
            "operator": self._operator,
            "expected": self._expected,
            "actual": traced(actual),
            "result": False,
        }
        try:
            entry["result"] = self._test(actual)
        except Unevaluable as reason:
            entry["reason"] = str(reason)
        except RecursionError:
            entry["reason"] = "the value is nested too deeply"
        return entry


class _ComputedRule:
    """A rule whose value is an expression: computed, then bound, for each context."""

    __slots__ = ("_expression", "_field", "_operator", "_source")

    def __init__(self, field_name: str, operator: Operator, source: str, expression: Any) -> None:
        self._field = field_name
        self._operator = operator
        self._source = source
        self._expression = expression

    def holds(self, context: Context) -> bool:
        try:
            return self._operator.bind(self._expression(context))(context.get(self._field))
        except (Unevaluable, RecursionError):
            return False

    def trace(self, context: Context) -> dict[str, Any]:
        try:
            value = self._expression(context)
        except Unevaluable as reason:
            return _entry(self._field, self._operator.name, {"expr": self._source}, context, str(reason))
        expected = {"expr": self._source, "value": traced(value)}
        try:
            test = self._operator.bind(value)
        except (Unevaluable, RecursionError) as reason:
            return _entry(self._field, self._operator.name, expected, context, str(reason))
        entry = _Rule(self._field, self._operator.name, None, test).trace(context)
        entry["expected"] = expected
        return entry


class _Broken:
    """What is no rule and no group: never true."""

    __slots__ = ("_entry", "_field")

    def __init__(self, source: Any, reason: str) -> None:
        rule = source if isinstance(source, Mapping) else {}
        self._field = rule.get("field") if isinstance(rule.get("field"), str) else None
        self._entry = {
            "field": traced(rule.get("field")),
            "operator": traced(rule.get("operator")),
            "expected": traced(rule.get("value")),
            "actual": None,
            "result": False,
            "reason": reason,
        }

    def holds(self, context: Context) -> bool:
        return False

    def trace(self, context: Context) -> dict[str, Any]:
        return {**self._entry, "actual": traced(context.get(self._field) if self._field else None)}


def _entry(name: str, operator: str, expected: Any, context: Context, reason: str) -> dict[str, Any]:
    return {
        "field": name,
        "operator": operator,
        "expected": expected,
        "actual": traced(context.get(name)),
        "result": False,
        "reason": reason,
    }
