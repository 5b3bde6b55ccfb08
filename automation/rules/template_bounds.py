"""Bounds on the operations that turn small values into large ones, checked before they run.

Each check takes the arguments of the Jinja filter or string method that it guards. What is not listed makes at most a
small multiple of what it is given, and that is bounded already (`template_budget`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sized
from typing import Any

from automation.rules.template_budget import MAX_BITS, product, weigh
from automation.rules.template_errors import TemplateBoundError

MAX_WIDTH = 10_000
"""Columns, rows or digits that an argument may ask for."""
MAX_SLOW_TEXT = 50_000
"""Characters for filters whose time grows faster than their text."""

_PERCENT = re.compile(r"[#0\- +]*(\*|[0-9]*)(?:\.(\*|[0-9]*))?[hlL]?")
"""What stands between a conversion's `%(key)` and its letter: flags, width and precision."""
_PARENTHESIS = re.compile("[()]")


def width(value: Any, most: int = MAX_WIDTH) -> int:
    """A width that was asked for; 0 for what is no number, which the operation itself will refuse."""
    if not isinstance(value, int):
        return 0
    if abs(value) > most:
        raise TemplateBoundError(f"a width of more than {most:,} is asked for")
    return value


def percent(template: Any, arguments: Any) -> None:
    """Bound `template % arguments`."""
    if not isinstance(template, str):
        return
    widest = 0
    for digits in _percent_widths(template):
        if digits == "*":
            raise TemplateBoundError("a format's width cannot be '*'; write the number")
        widest = max(widest, width(int(digits[:9])))
    product(template.count("%"), weigh(arguments) + widest, "the format")


def _percent_widths(template: str) -> Iterator[str]:
    """Width and precision of every conversion, as `%` itself reads them, each character looked at once: an expression
    that searches for them anywhere takes time that grows with the square of a text of digits."""
    at = template.find("%")
    while at >= 0:
        found = _PERCENT.match(template, _after_key(template, at + 1))
        assert found is not None  # all of its parts are optional
        yield from filter(None, found.groups())
        at = template.find("%", found.end() + 1)  # the letter, which may be a % itself


def _after_key(template: str, at: int) -> int:
    """Where a conversion goes on after its `(key)`; parentheses nest in it."""
    if not template.startswith("(", at):
        return at
    depth = 0
    for found in _PARENTHESIS.finditer(template, at):
        depth += 1 if found[0] == "(" else -1
        if not depth:
            return found.end()
    return len(template)


def power(base: Any, exponent: Any) -> None:
    """Bound `base ** exponent`."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_BITS:
        raise TemplateBoundError(f"the power has more than {MAX_BITS} bits")


def times(left: Any, right: Any) -> None:
    """Bound `left * right` where one of them is text or a list."""
    for repeated, count in ((left, right), (right, left)):
        if isinstance(repeated, (str, list, tuple)) and isinstance(count, int):
            product(weigh(repeated), count, "the repetition")


def _slow(value: Any, *args: Any, **kwargs: Any) -> None:
    if isinstance(value, str) and len(value) > MAX_SLOW_TEXT:
        raise TemplateBoundError(f"the filter takes at most {MAX_SLOW_TEXT:,} characters, not {len(value):,}")


def _padded(value: Any, width_: Any = 0, *args: Any, **kwargs: Any) -> None:
    width(kwargs.get("width", width_))


def _replace(value: Any, old: Any = "", new: Any = "", *args: Any, **kwargs: Any) -> None:
    text, needle, substitute = str(value), str(kwargs.get("old", old)), str(kwargs.get("new", new))
    product(text.count(needle), len(substitute), "the replacement")


def _join_filter(value: Any, d: Any = "", *args: Any, **kwargs: Any) -> None:
    if isinstance(value, Sized):
        product(len(value), len(str(kwargs.get("d", d))), "the joined text")


def _join_method(separator: str, value: Any = (), *args: Any) -> None:
    _join_filter(value, separator)


def _indent(value: Any, width_: Any = 4, *args: Any, **kwargs: Any) -> None:
    margin = kwargs.get("width", width_)
    product(len(str(value).splitlines()), len(margin) if isinstance(margin, str) else width(margin), "the indent")


def _wordwrap(
    value: Any, width_: Any = 79, break_long_words: Any = True, wrapstring: Any = None, *args: Any, **kwargs: Any
) -> None:
    _slow(value)
    columns = max(width(kwargs.get("width", width_)), 1)
    separator = str(kwargs.get("wrapstring", wrapstring) or "")
    # Breaking at spaces and hyphens can leave lines shorter than the width, down to one character.
    product(len(str(value)) if columns < 3 else len(str(value)) * 2 // columns + 1, len(separator), "the wrapped text")


def _grid(value: Any, count: Any = 1, *args: Any, **kwargs: Any) -> None:
    width(kwargs.get("linecount", kwargs.get("slices", count)))


def _round(value: Any, precision: Any = 0, *args: Any, **kwargs: Any) -> None:
    width(kwargs.get("precision", precision), 100)


def _tojson(value: Any, indent: Any = None, *args: Any, **kwargs: Any) -> None:
    width(kwargs.get("indent", indent), 16)


def _format(value: Any, *args: Any, **kwargs: Any) -> None:
    percent(str(value), kwargs or args)


Check = Callable[..., None]

FILTER_CHECKS: dict[str, Check] = {
    "batch": _grid,
    "center": _padded,
    "format": _format,
    "indent": _indent,
    "join": _join_filter,
    "replace": _replace,
    "round": _round,
    "slice": _grid,
    "striptags": _slow,
    "title": _slow,
    "tojson": _tojson,
    "truncate": _slow,
    "urlize": _slow,
    "wordwrap": _wordwrap,
}

STRING_METHOD_CHECKS: dict[str, Check] = {
    "center": _padded,
    "join": _join_method,
    "ljust": _padded,
    "replace": _replace,
    "rjust": _padded,
    "striptags": _slow,
    "zfill": _padded,
}
