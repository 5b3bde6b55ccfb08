"""Jinja2's immutable sandbox, narrowed to what messages need and paid for at every step.

Jinja guards what a template may touch; this adds what it may cost, and says no to what a template of one's own could
use to undo the escaping of somebody else's words. Attributes are allowed by type, not forbidden by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, NoReturn

from jinja2 import nodes
from jinja2.runtime import Context, LoopContext, Macro, Undefined, markup_join
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Cycler, Namespace, _PassArg, missing, pass_context
from markupsafe import EscapeFormatter, Markup

from automation.rules import template_text
from automation.rules.fields import FALLBACKS
from automation.rules.template_bounds import FILTER_CHECKS, MAX_WIDTH, STRING_METHOD_CHECKS, percent, power, times
from automation.rules.template_budget import MAX_OUTPUT, Watched, current, materialize, weigh
from automation.rules.template_errors import TemplateBoundError, TemplateRenderError, TemplateSecurityError
from automation.rules.template_guard import guard
from automation.rules.values import preview

MAX_RANGE = 100_000

_STRING = (
    "capitalize casefold center count endswith find format index isalnum isalpha isascii isdecimal isdigit islower "
    "isnumeric isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace rfind "
    "rindex rjust rpartition rsplit rstrip split splitlines startswith strip striptags swapcase title upper zfill"
)
_MOMENT = (
    "astimezone ctime date day fold hour isocalendar isoformat isoweekday microsecond minute month second "
    "strftime time timestamp toordinal tzname utcoffset weekday year"
)
_LOOP = "cycle changed depth depth0 first index index0 last length nextitem previtem revindex revindex0"

ALLOWED_ATTRIBUTES: tuple[tuple[type | tuple[type, ...], frozenset[str]], ...] = (
    (str, frozenset(_STRING.split())),
    (dict, frozenset(("get", "items", "keys", "values"))),
    (tuple, frozenset(("count", "index", "grouper", "list"))),
    (list, frozenset(("count", "index"))),
    ((datetime, date, time), frozenset(_MOMENT.split())),
    (timedelta, frozenset(("days", "seconds", "microseconds", "total_seconds"))),
    (float, frozenset(("is_integer",))),
    (LoopContext, frozenset(_LOOP.split())),
    (Macro, frozenset(("arguments", "caller", "catch_kwargs", "catch_varargs", "name"))),
    (Cycler, frozenset(("current", "next", "reset"))),
)


class Missing(Undefined):
    """A variable without a value: writes its documented fallback, is false, empty, and above or below nothing."""

    __slots__ = ()

    def __str__(self) -> str:
        name = self._undefined_name
        if not isinstance(name, str):
            return ""
        current().fallbacks_used[name] = None
        return FALLBACKS.get(name, "") if self._undefined_obj is missing else ""

    def __eq__(self, other: object) -> bool:
        return other is None or other == "" or isinstance(other, Undefined)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash("")

    def _incomparable(self, other: Any) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _incomparable  # type: ignore[assignment]

    def _no_number(self) -> NoReturn:
        raise TypeError(self._undefined_message)  # what the int and float filters answer with their default

    __int__ = __float__ = _no_number


class _Namespace(Namespace):
    """Jinja's namespace, without a text form that could recurse through itself."""

    def __repr__(self) -> str:
        return "<namespace>"


class _Formatter(SandboxedFormatter):
    """`str.format` with bounded widths."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        if any(int(digits[:9]) > MAX_WIDTH for digits in re.findall("[0-9]+", format_spec)):
            raise TemplateBoundError(f"a width of more than {MAX_WIDTH:,} is asked for")
        field = super().format_field(value, format_spec)
        current().allocate(len(field))
        return field


class _EscapeFormatter(_Formatter, EscapeFormatter):
    """The same for markup, escaping what it inserts."""


def bounded_range(*args: int) -> range:
    """`range`, of at most `MAX_RANGE` numbers."""
    numbers = range(*args)
    if numbers[MAX_RANGE:]:
        raise TemplateBoundError(f"a range of more than {MAX_RANGE:,} numbers is asked for")
    return numbers


def settle(result: Any) -> Any:
    """What an operation made: lazy items made now, the whole weighed and paid for."""
    if isinstance(result, Iterator):
        return materialize(result)
    current().allocate(weigh(result))
    return result


class MessageEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox for text messages."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))
    removed_filters: ClassVar[tuple[str, ...]] = ("pprint",)

    def __init__(self, *, autoescape: bool = False) -> None:
        # Nothing is folded at compile time: constants are computed where costs are counted.
        super().__init__(
            autoescape=autoescape,
            undefined=Missing,
            finalize=_written,
            keep_trailing_newline=True,
            optimized=False,
            cache_size=0,
        )
        self.globals.update(range=bounded_range, namespace=_Namespace)
        del self.globals["lipsum"]
        for name in self.removed_filters:
            del self.filters[name]
        self.filters.update(
            in_tz=template_text.in_tz,
            datetime=template_text.format_datetime,
            date=template_text.format_date,
            time=template_text.format_time,
            duration=template_text.format_duration,
            currency=template_text.format_currency,
            sum=_sum,
        )
        self.tests["none"] = lambda value: value is None or isinstance(value, Undefined)
        filters: Mapping[str, Any] = self.filters
        tests: Mapping[str, Any] = self.tests
        self.filters = {name: _paid(function, FILTER_CHECKS.get(name)) for name, function in filters.items()}
        self.tests = {name: _paid(function, None) for name, function in tests.items()}
        self.known_filters = frozenset(self.filters)
        self.filters.update(_each=_each, _admit=_admit, _concat=_concat)
        self.concat = _joined  # type: ignore[method-assign]

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(guard(source, self), *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        current().tick()
        if isinstance(obj, Undefined):
            return self._missing_member(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        current().tick()
        if isinstance(obj, Undefined):
            return self._missing_member(obj, str(argument))
        return super().getitem(obj, argument)

    def _missing_member(self, obj: Undefined, attribute: str) -> Undefined:
        if attribute.startswith("_"):
            return self.unsafe_undefined(obj, attribute)
        return self.undefined(name=f"{obj._undefined_name}.{attribute}")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kinds) and attr in allowed for kinds, allowed in ALLOWED_ATTRIBUTES)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        raise TemplateSecurityError(
            f"{attribute[:50]!r} of a {type(obj).__name__} is outside of what templates may use"
        )

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None or value.__name__ != "format":
            return wrapped if wrapped is None else _no_format_map
        template: str = value.__self__
        formatter = _EscapeFormatter(self, escape=template.escape) if isinstance(template, Markup) else _Formatter(self)
        return lambda *args, **kwargs: type(template)(formatter.vformat(template, args, kwargs))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        current().tick()
        weigh(args, [value for key, value in kwargs.items() if not key.startswith("_")])
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str) and name in STRING_METHOD_CHECKS:
            STRING_METHOD_CHECKS[name](owner, *args, **kwargs)
        elif isinstance(owner, (date, time)) and name == "strftime":
            template_text.check_pattern(args[0] if args else kwargs.get("format"))
        elif isinstance(__obj, LoopContext) and args:
            args = (Watched(args[0]), *args[1:])
        return settle(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        current().tick()
        if operator == "+":
            # A missing name in a sentence reads as its fallback.
            if isinstance(left, str) and isinstance(right, Undefined):
                right = str(right)
            elif isinstance(left, Undefined) and isinstance(right, str):
                left = str(left)
        elif operator == "*":
            times(left, right)
        elif operator == "**":
            power(left, right)
        elif operator == "%":
            percent(left, right)
        elif operator == "-" and isinstance(left, datetime) and isinstance(right, datetime):
            # Datetimes of one zone subtract by the clock on the wall; a meeting lasts by instants.
            left, right = (when.astimezone(UTC) if when.tzinfo else when for when in (left, right))
        return settle(super().call_binop(context, operator, left, right))


class HtmlEnvironment(MessageEnvironment):
    """The sandbox for HTML bodies: what is inserted is escaped, and no filter can say otherwise."""

    removed_filters = (*MessageEnvironment.removed_filters, "safe")

    def __init__(self) -> None:
        super().__init__(autoescape=True)


def _paid(function: Callable[..., Any], check: Callable[..., None] | None) -> Callable[..., Any]:
    """A filter or test that weighs its arguments, is checked before it runs, and pays for what it makes."""
    wants = _PassArg.from_obj(function)

    # Taking the context also keeps Jinja from running it at compile time, where nothing is counted.
    @pass_context
    def paid(context: Context, *args: Any, **kwargs: Any) -> Any:
        current().tick()
        weigh(args, kwargs)
        if check is not None:
            check(*args, **kwargs)
        if wants is None:
            return settle(function(*args, **kwargs))
        first = {
            _PassArg.context: context,
            _PassArg.eval_context: context.eval_ctx,
            _PassArg.environment: context.environment,
        }[wants]
        return settle(function(first, *args, **kwargs))

    return paid


@pass_context
def _written(context: Context, value: Any) -> str:
    """What `{{ value }}` writes."""
    budget = current()
    budget.tick()
    if not isinstance(value, str):
        weigh(value)
        value = template_text.readable(value)
    budget.allocate(len(value))
    return value  # type: ignore[no-any-return]


@pass_context
def _each(context: Context, value: Any) -> Watched:
    """What a `for` loop runs over. A value that is null runs over nothing."""
    current().tick()
    return Watched(() if value is None else value)


@pass_context
def _admit(context: Context, value: Any) -> Any:
    """A list, a slice or the left side of a comparison."""
    current().tick()
    current().allocate(weigh(value))
    return value


@pass_context
def _concat(context: Context, parts: list[Any]) -> str:
    """`a ~ b`."""
    current().tick()
    weigh(parts)
    texts = [part if hasattr(part, "__html__") else template_text.readable(part) for part in parts]
    current().allocate(weigh(texts))
    return markup_join(texts) if context.eval_ctx.autoescape else "".join(str(text) for text in texts)


def _joined(parts: Iterable[str]) -> str:
    """What a macro or a block has written."""
    pieces = list(parts)
    size = sum(map(len, pieces))
    if size > MAX_OUTPUT:
        raise TemplateBoundError(f"a macro or block writes more than {MAX_OUTPUT:,} characters")
    budget = current()
    budget.tick()
    budget.allocate(size)
    return "".join(pieces)


def _sum(iterable: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    """Jinja's `sum`, of numbers only: adding up lists takes time that grows with the square of their number."""
    total = start
    for item in iterable:
        value = item[attribute] if attribute is not None and isinstance(item, Mapping) else item
        if isinstance(value, bool) or not isinstance(value, (int, float, timedelta)):
            raise TemplateRenderError(f"sum adds numbers, and {preview(value)} is none")
        total += value
    return total


def _no_format_map(*args: Any, **kwargs: Any) -> NoReturn:
    raise TemplateSecurityError("'format_map' is outside of what templates may use; use format")
