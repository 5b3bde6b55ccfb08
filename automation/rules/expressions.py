"""`{"expr": "…"}`: a small expression language over the context.

Python's grammar, a whitelist of its nodes: numbers, text, context fields, arithmetic, comparison, `and` / `or` / `not`,
`a if b else c`, lists, and the functions of `FUNCTIONS`. There are no attributes, subscripts, assignments or calls of
anything else, so there is nothing to escape through; every size is bounded. Durations are exact: `days(1)` is 24 hours,
also across a daylight-saving change. Numeric text counts as a number, so `custom_budget * 2` does what it says.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from automation.rules.fields import DATETIME_FIELDS
from automation.rules.problems import nearest
from automation.rules.values import Unevaluable, compare, fold, moment, number, preview, same, text

MAX_SOURCE = 1_000
"""Characters of an expression."""
MAX_NODES = 200
MAX_TEXT = 10_000
"""Characters of any text that an expression makes."""
MAX_NUMBER = 10**30
MAX_EXPONENT = 64

Evaluate = Callable[[Mapping[str, Any]], Any]


class ExpressionError(ValueError):
    """The expression is not of this language. The message names the part at fault."""


@dataclass(frozen=True, slots=True)
class Expression:
    source: str
    names: frozenset[str]
    """The context fields that it reads."""
    run: Evaluate

    def __call__(self, context: Mapping[str, Any]) -> Any:
        """The value in `context`. Raises `Unevaluable` when there is none: 1 / 0, text minus a number, a bound."""
        try:
            return self.run(context)
        except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise Unevaluable(f"the expression {preview(self.source)} has no value here: {error}") from None


@lru_cache(maxsize=1024)
def compile_expression(source: str) -> Expression:
    """Parse `source` once. Raises `ExpressionError` naming what the language does not have."""
    if len(source) > MAX_SOURCE:
        raise ExpressionError(f"the expression has {len(source)} characters; at most {MAX_SOURCE} are allowed")
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except SyntaxError as error:
        raise ExpressionError(f"the expression is not well formed: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):  # a NUL, a lone surrogate, nesting
        raise ExpressionError("the expression is not well formed, or nested too deeply") from None
    count = sum(1 for _ in ast.walk(tree))
    if count > MAX_NODES:
        raise ExpressionError(f"the expression has {count} parts; at most {MAX_NODES} are allowed")
    compiler = _Compiler(source.strip())
    run = compiler.visit(tree.body)
    return Expression(source, frozenset(compiler.names), run)


def _numeric(value: Any) -> int | float:
    found = number(value) if not isinstance(value, timedelta) else None
    if found is None:
        raise Unevaluable(f"{preview(value)} is no number")
    return found


def _bounded(value: Any) -> Any:
    if isinstance(value, complex):
        raise Unevaluable("the result is no real number")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unevaluable("the result is not finite")
    if isinstance(value, (int, float)) and abs(value) > MAX_NUMBER:
        raise Unevaluable(f"the result is beyond {MAX_NUMBER:.0e}")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise Unevaluable(f"the text is longer than {MAX_TEXT} characters")
    return value


def _shift(when: datetime, by: timedelta) -> datetime:
    # Adding to a zoned datetime moves the clock on the wall; instants move by real hours.
    if when.tzinfo is None:
        return when + by
    return (when.astimezone(UTC) + by).astimezone(when.tzinfo)


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return _shift(left, right)
    if isinstance(left, timedelta) and isinstance(right, datetime):
        return _shift(right, left)
    if isinstance(left, timedelta) and isinstance(right, timedelta):
        return left + right
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return _numeric(left) + _numeric(right)


def _subtract(left: Any, right: Any) -> Any:
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return _shift(left, -right)
    if isinstance(left, datetime) and isinstance(right, datetime):
        if (left.tzinfo is None) != (right.tzinfo is None):
            raise Unevaluable("one of the times has a zone and the other has none")
        if left.tzinfo is None:
            return left - right
        return left.astimezone(UTC) - right.astimezone(UTC)
    if isinstance(left, timedelta) and isinstance(right, timedelta):
        return left - right
    return _numeric(left) - _numeric(right)


def _multiply(left: Any, right: Any) -> Any:
    if isinstance(left, timedelta):
        return left * _numeric(right)
    if isinstance(right, timedelta):
        return right * _numeric(left)
    return _numeric(left) * _numeric(right)


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, timedelta):
        return left / (right if isinstance(right, timedelta) else _numeric(right))
    return _numeric(left) / _numeric(right)


def _power(left: Any, right: Any) -> Any:
    base, exponent = _numeric(left), _numeric(right)
    if abs(exponent) > MAX_EXPONENT:
        raise Unevaluable(f"the exponent is beyond {MAX_EXPONENT}")
    return base**exponent


def _duration(unit: timedelta) -> Callable[[Any], timedelta]:
    return lambda count: unit * _numeric(count)


def _date(value: Any) -> datetime:
    found = moment(value)
    if found is None:
        raise Unevaluable(f"{preview(value)} is no day and no time in ISO 8601")
    return found


def _extreme(sign: int) -> Callable[..., Any]:
    def pick(*values: Any) -> Any:
        pool = list(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else list(values)
        if not pool:
            raise Unevaluable("there is no largest or smallest of nothing")
        best = pool[0]
        for value in pool:
            if compare(value, best) * sign > 0:
                best = value
        return best

    return pick


def _length(value: Any) -> int:
    if not isinstance(value, (str, list, tuple, dict)):
        raise Unevaluable(f"{preview(value)} has no length")
    return len(value)


def _round(value: Any, digits: Any = 0) -> int | float:
    places = int(_numeric(digits))
    if abs(places) > 15:
        raise Unevaluable("rounding takes at most 15 digits")
    return round(_numeric(value), places) if places else round(_numeric(value))


FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    # name: (function, fewest arguments, most arguments)
    "minutes": (_duration(timedelta(minutes=1)), 1, 1),
    "hours": (_duration(timedelta(hours=1)), 1, 1),
    "days": (_duration(timedelta(days=1)), 1, 1),
    "weeks": (_duration(timedelta(weeks=1)), 1, 1),
    "date": (_date, 1, 1),
    "min": (_extreme(-1), 1, 20),
    "max": (_extreme(1), 1, 20),
    "abs": (lambda value: abs(value) if isinstance(value, timedelta) else abs(_numeric(value)), 1, 1),
    "round": (_round, 1, 2),
    "len": (_length, 1, 1),
    "lower": (lambda value: text(value).lower(), 1, 1),
    "upper": (lambda value: text(value).upper(), 1, 1),
}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _divide,
    ast.FloorDiv: lambda left, right: _numeric(left) // _numeric(right),
    ast.Mod: lambda left, right: _numeric(left) % _numeric(right),
    ast.Pow: _power,
}


def _among(item: Any, pool: Any) -> bool:
    if isinstance(pool, (list, tuple)):
        wanted = fold(text(item))
        return item is not None and any(member is not None and fold(text(member)) == wanted for member in pool)
    if isinstance(pool, str):
        return bool(text(item)) and fold(text(item)) in fold(pool)
    raise Unevaluable(f"{preview(pool)} is neither a list nor text")


_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: same,
    ast.NotEq: lambda left, right: not same(left, right),
    ast.Lt: lambda left, right: compare(left, right) < 0,
    ast.LtE: lambda left, right: compare(left, right) <= 0,
    ast.Gt: lambda left, right: compare(left, right) > 0,
    ast.GtE: lambda left, right: compare(left, right) >= 0,
    ast.In: _among,
    ast.NotIn: lambda left, right: not _among(left, right),
}


class _Compiler:
    """Turns each whitelisted node into a closure; refuses every other by name."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.names: set[str] = set()

    def refuse(self, node: ast.AST, why: str) -> ExpressionError:
        part = ast.get_source_segment(self.source, node) if isinstance(node, ast.expr) else None
        return ExpressionError(f"{preview(part or self.source)} {why}")

    def visit(self, node: ast.expr) -> Evaluate:
        visitor: Callable[[Any], Evaluate] | None = getattr(self, f"visit_{type(node).__name__.lower()}", None)
        if visitor is None:
            raise self.refuse(node, f"is not allowed: an expression has no {type(node).__name__.lower()}")
        return visitor(node)

    def visit_constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if not isinstance(value, (str, int, float, type(None))):
            raise self.refuse(node, "is neither text, a number, true, false nor none")
        try:
            _bounded(value)
        except Unevaluable as error:
            raise self.refuse(node, f"is refused: {error}") from None
        return lambda context: value

    def visit_name(self, node: ast.Name) -> Evaluate:
        name = node.id
        constants = {"true": True, "false": False, "null": None, "none": None}
        if name in constants:
            constant = constants[name]
            return lambda context: constant
        self.names.add(name)
        if name in DATETIME_FIELDS:
            return lambda context: moment(context.get(name))
        return lambda context: context.get(name)

    def visit_binop(self, node: ast.BinOp) -> Evaluate:
        apply = _BINARY.get(type(node.op))
        if apply is None:
            raise self.refuse(node, f"is not allowed: there is no operator {type(node.op).__name__}")
        left, right = self.visit(node.left), self.visit(node.right)
        return lambda context: _bounded(apply(left(context), right(context)))

    def visit_unaryop(self, node: ast.UnaryOp) -> Evaluate:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda context: not operand(context)
        if isinstance(node.op, ast.Invert):
            raise self.refuse(node, "is not allowed: there is no operator ~")
        sign: Callable[[Any], Any] = operator.neg if isinstance(node.op, ast.USub) else operator.pos

        def signed(context: Mapping[str, Any]) -> Any:
            value = operand(context)
            return sign(value if isinstance(value, timedelta) else _numeric(value))

        return signed

    def visit_boolop(self, node: ast.BoolOp) -> Evaluate:
        parts = [self.visit(value) for value in node.values]
        wants = isinstance(node.op, ast.Or)

        def combined(context: Mapping[str, Any]) -> Any:
            value: Any = None
            for part in parts:
                value = part(context)
                if bool(value) is wants:
                    break
            return value

        return combined

    def visit_compare(self, node: ast.Compare) -> Evaluate:
        steps = []
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            holds = _COMPARE.get(type(op))
            if holds is None:
                raise self.refuse(node, "is not allowed: compare with == or !=")
            steps.append((holds, self.visit(comparator)))
        first = self.visit(node.left)

        def chained(context: Mapping[str, Any]) -> bool:
            left = first(context)
            for holds, follow in steps:
                right = follow(context)
                if not holds(left, right):
                    return False
                left = right
            return True

        return chained

    def visit_ifexp(self, node: ast.IfExp) -> Evaluate:
        test, body, orelse = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return lambda context: body(context) if test(context) else orelse(context)

    def visit_list(self, node: ast.List | ast.Tuple) -> Evaluate:
        members = [self.visit(member) for member in node.elts]
        return lambda context: [member(context) for member in members]

    visit_tuple = visit_list

    def visit_call(self, node: ast.Call) -> Evaluate:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            meant = nearest(name, FUNCTIONS) if name else ""
            hint = f"; did you mean {meant}?" if meant else f"; the functions are {', '.join(FUNCTIONS)}"
            raise self.refuse(node.func, f"is no function of this language{hint}")
        function, fewest, most = FUNCTIONS[node.func.id]
        if node.keywords or not fewest <= len(node.args) <= most:
            expected = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise self.refuse(node, f"is not well formed: {node.func.id} takes {expected} plain argument(s)")
        arguments = [self.visit(argument) for argument in node.args]
        return lambda context: _bounded(function(*[argument(context) for argument in arguments]))
