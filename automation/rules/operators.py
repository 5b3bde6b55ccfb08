"""The condition operators, each registered once with the field types it fits and the kind of value it takes.

An operator binds an expected value once and yields a test of actual values, so that compiled conditions parse lists
and patterns only once. Both steps raise `Unevaluable` when there is no answer; the rule is then false, negated or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from automation.rules.fields import FieldType
from automation.rules.patterns import PatternError, searcher
from automation.rules.values import (
    Unevaluable,
    compare,
    fold,
    instants,
    is_blank,
    items,
    moment,
    number,
    preview,
    same,
    text,
)

Test = Callable[[Any], bool]
Bind = Callable[[Any], Test]


class ValueKind(StrEnum):
    """What an operator expects in a rule's `value`."""

    NONE = "none"
    """Nothing; the value is ignored."""
    SCALAR = "scalar"
    """Text, a number, a boolean or null."""
    TEXT = "text"
    """Text to look for."""
    ORDERED = "ordered"
    """A number or a time."""
    TIME = "time"
    """A day or an instant in ISO 8601."""
    PAIR = "pair"
    """Two numbers or two times, both ends included."""
    LIST = "list"
    """A list, a JSON list in text, or text split at commas."""
    PATTERN = "pattern"
    """An RE2 pattern."""


@dataclass(frozen=True, slots=True)
class Operator:
    name: str
    label: str
    value_kind: ValueKind
    types: frozenset[FieldType]
    bind: Bind
    negates: str = ""
    """The operator of which this is the opposite."""

    def fits(self, field_type: FieldType) -> bool:
        return field_type in self.types


OPERATORS: dict[str, Operator] = {}

_TEXTUAL = frozenset(
    {
        FieldType.TEXT,
        FieldType.EMAIL,
        FieldType.PHONE,
        FieldType.URL,
        FieldType.TIMEZONE,
        FieldType.ID,
        FieldType.NUMBER,
        FieldType.DATE,
        FieldType.ANY,
    }
)
_TIMES = frozenset({FieldType.DATETIME, FieldType.DATE, FieldType.ANY})
_ORDERED = _TIMES | {FieldType.NUMBER}
_SEARCHED = _TEXTUAL | {FieldType.LIST}
_TRUTH = frozenset({FieldType.BOOLEAN, FieldType.ANY})
_EVERY = frozenset(FieldType)

_TRUE_WORDS = frozenset({"true", "yes", "on"})
_FALSE_WORDS = frozenset({"false", "no", "off"})


def _register(
    name: str,
    label: str,
    kind: ValueKind,
    types: frozenset[FieldType],
    bind: Bind,
    *,
    opposite: tuple[str, str] | None = None,
) -> None:
    OPERATORS[name] = Operator(name, label, kind, types, bind)
    if opposite is not None:
        negated, negated_label = opposite
        OPERATORS[negated] = Operator(negated, negated_label, kind, types, _negate(bind), negates=name)


def _negate(bind: Bind) -> Bind:
    def bind_opposite(expected: Any) -> Test:
        test = bind(expected)
        return lambda actual: not test(actual)

    return bind_opposite


def _equals(expected: Any) -> Test:
    return lambda actual: same(actual, expected)


def _ordering(holds: Callable[[int], bool]) -> Bind:
    def bind(expected: Any) -> Test:
        bound = number(expected)
        if bound is None and moment(expected) is None:
            raise Unevaluable(f"{preview(expected)} is neither a number nor a time")

        def test(actual: Any) -> bool:
            # The everyday case, a number against a number, without the general comparison's parsing.
            if bound is not None and type(actual) is int:
                return holds((actual > bound) - (actual < bound))
            return holds(compare(actual, expected))

        return test

    return bind


def _timed(holds: Callable[[int], bool]) -> Bind:
    def bind(expected: Any) -> Test:
        then = moment(expected)
        if then is None:
            raise Unevaluable(f"{preview(expected)} is no day and no time in ISO 8601")

        def test(actual: Any) -> bool:
            when = moment(actual)
            if when is None:
                raise Unevaluable(f"the field's value {preview(actual)} is no day and no time")
            left, right = instants(when, then)
            return holds((left > right) - (left < right))

        return test

    return bind


def _needle(expected: Any) -> str:
    if expected is None or isinstance(expected, (list, tuple, dict)):
        raise Unevaluable(f"{preview(expected)} is no text to look for")
    return fold(text(expected))


def _contains(expected: Any) -> Test:
    needle = _needle(expected)
    return lambda actual: bool(needle) and needle in _searched(actual)


def _searched(actual: Any) -> str | list[str]:
    """Where texts are looked for: in a text, or among several values. Folded once, however many are looked for."""
    if isinstance(actual, (list, tuple, dict)):
        return [fold(text(item)) for item in actual if item is not None]
    return "" if actual is None else fold(text(actual))


def _affix(holds: Callable[[str, str], bool]) -> Bind:
    def bind(expected: Any) -> Test:
        needle = _needle(expected)

        def test(actual: Any) -> bool:
            if isinstance(actual, (list, tuple, dict)):
                raise Unevaluable("the field holds several values")
            return bool(needle) and actual is not None and holds(fold(text(actual)), needle)

        return test

    return bind


def _is_empty(expected: Any) -> Test:
    return is_blank


def _in_list(expected: Any) -> Test:
    wanted = {fold(text(item)) for item in items(expected) if item is not None}

    def test(actual: Any) -> bool:
        if isinstance(actual, (list, tuple, dict)):
            raise Unevaluable("the field holds several values; contains_any compares those")
        return actual is not None and fold(text(actual)) in wanted

    return test


def _regex_match(expected: Any) -> Test:
    if not isinstance(expected, str):
        raise Unevaluable(f"{preview(expected)} is no pattern")
    try:
        found = searcher(expected)
    except PatternError as error:
        raise Unevaluable(f"the pattern cannot be used: {error}") from None
    return lambda actual: actual is not None and found(text(actual))


def _between(expected: Any) -> Test:
    ends = items(expected)
    if len(ends) != 2:
        raise Unevaluable(f"a range takes two values, not {len(ends)}")
    low, high = ends
    return lambda actual: compare(actual, low) >= 0 and compare(actual, high) <= 0


def _truth(value: bool, words: frozenset[str]) -> Bind:
    def bind(expected: Any) -> Test:
        return lambda actual: actual is value or (isinstance(actual, str) and actual.strip().lower() in words)

    return bind


def _contains_each(combine: Callable[[list[bool]], bool]) -> Bind:
    def bind(expected: Any) -> Test:
        needles = [_needle(item) for item in items(expected)]

        def test(actual: Any) -> bool:
            searched = _searched(actual)
            return bool(needles) and combine([bool(needle) and needle in searched for needle in needles])

        return test

    return bind


_K = ValueKind
_register("equals", "is", _K.SCALAR, _EVERY, _equals, opposite=("not_equals", "is not"))
_register("greater_than", "is more than", _K.ORDERED, _ORDERED, _ordering(lambda c: c > 0))
_register("less_than", "is less than", _K.ORDERED, _ORDERED, _ordering(lambda c: c < 0))
_register("greater_than_or_equal", "is at least", _K.ORDERED, _ORDERED, _ordering(lambda c: c >= 0))
_register("less_than_or_equal", "is at most", _K.ORDERED, _ORDERED, _ordering(lambda c: c <= 0))
_register("contains", "contains", _K.TEXT, _SEARCHED, _contains, opposite=("not_contains", "does not contain"))
_register("starts_with", "starts with", _K.TEXT, _TEXTUAL, _affix(str.startswith))
_register("ends_with", "ends with", _K.TEXT, _TEXTUAL, _affix(str.endswith))
_register("is_empty", "is empty", _K.NONE, _EVERY, _is_empty, opposite=("is_not_empty", "is not empty"))
_register("in_list", "is one of", _K.LIST, _TEXTUAL, _in_list, opposite=("not_in_list", "is none of"))
_register("regex_match", "matches", _K.PATTERN, _TEXTUAL, _regex_match, opposite=("not_regex_match", "does not match"))
_register("between", "is between", _K.PAIR, _ORDERED, _between, opposite=("not_between", "is not between"))
_register("before", "is before", _K.TIME, _TIMES, _timed(lambda c: c < 0))
_register("after", "is after", _K.TIME, _TIMES, _timed(lambda c: c > 0))
_register("is_true", "is true", _K.NONE, _TRUTH, _truth(True, _TRUE_WORDS))
_register("is_false", "is false", _K.NONE, _TRUTH, _truth(False, _FALSE_WORDS))
_register("contains_any", "contains any of", _K.LIST, _SEARCHED, _contains_each(any))
_register("contains_all", "contains all of", _K.LIST, _SEARCHED, _contains_each(all))
