"""How a value of any type is read as a number, as an instant and as text.

Answers and webhook bodies arrive as whatever JSON their sender chose, so every comparison goes through here: numeric
text is a number, a boolean is none, infinity and NaN are refused, times compare as instants.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

Number = int | float

_NUMERIC = re.compile(r"\s*[+-]?(?:[0-9]+(?P<fraction>\.[0-9]*)?|(?P<bare>\.[0-9]+))(?P<exponent>[eE][+-]?[0-9]+)?\s*")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?")
_SURROGATES = re.compile("[\ud800-\udfff]")
_MAX_NUMERIC_TEXT = 400
"""Characters. Longer digits are an identifier, not an amount."""


class Unevaluable(Exception):
    """A rule that has no answer for these values. The message completes "it is false because …"."""


@lru_cache(maxsize=1024)
def zone(name: str | None) -> tzinfo:
    """The time zone of that IANA name, or UTC when there is none of that name."""
    try:
        return ZoneInfo(name or "UTC")
    except (OSError, ValueError, LookupError, TypeError):  # absent; a path or NUL in the name; a folder of zones
        return UTC


def number(value: Any) -> Number | None:
    """`value` as a finite number, or None. Numeric text counts, booleans do not, a timedelta counts in minutes."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        match = _NUMERIC.fullmatch(value) if len(value) <= _MAX_NUMERIC_TEXT else None
        if match is None:
            return None
        if match["fraction"] is None and match["bare"] is None and match["exponent"] is None:
            return int(value)
        parsed = float(value)
        return parsed if math.isfinite(parsed) else None
    if isinstance(value, Decimal):
        return number(float(value)) if value.is_finite() else None
    if isinstance(value, timedelta):
        return value / timedelta(minutes=1)
    return None


def moment(value: Any) -> datetime | None:
    """`value` as a datetime, or None. A day is its midnight; without a zone in the value the result is naive."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    if isinstance(value, str) and len(value) <= 64:
        text = value.strip()
        if _ISO_DATE.fullmatch(text):
            try:
                return datetime.fromisoformat(text)
            except ValueError:
                return None
    return None


def instants(left: datetime, right: datetime) -> tuple[datetime, datetime]:
    """Both in UTC. One that names no zone is read in the other's, so that a day starts where the meeting is."""
    if left.tzinfo is None:
        left = left.replace(tzinfo=right.tzinfo or UTC)
    if right.tzinfo is None:
        right = right.replace(tzinfo=left.tzinfo)
    try:
        return left.astimezone(UTC), right.astimezone(UTC)
    except OverflowError:
        raise Unevaluable("a time lies outside the calendar") from None


def compare(actual: Any, expected: Any) -> int:
    """-1, 0 or 1 as `actual` is below, equal to or above `expected`, as numbers or else as instants.

    Raises `Unevaluable` when the two are neither.
    """
    left, right = number(actual), number(expected)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    when, then = moment(actual), moment(expected)
    if when is not None and then is not None:
        when, then = instants(when, then)
        return (when > then) - (when < then)
    if actual is None:
        raise Unevaluable("the field is empty, so there is nothing to compare")
    culprit = actual if left is None and when is None else expected
    raise Unevaluable(f"{preview(culprit)} is neither a number nor a time that the other side could be compared with")


def same(actual: Any, expected: Any) -> bool:
    """Whether two values are equal: exactly within a type, as text across types; null equals null only."""
    if actual is None or expected is None:
        return actual is expected
    if isinstance(actual, str) and isinstance(expected, str):
        return actual == expected
    # Not times of one zone, which Python compares by the clock on the wall: the hour that comes twice is two.
    if isinstance(actual, (datetime, date)) or isinstance(expected, (datetime, date)):
        when, then = moment(actual), moment(expected)
        if when is None or then is None:
            return False
        when, then = instants(when, then)
        return when == then
    if _kind(actual) == _kind(expected):
        return bool(actual == expected)
    return fold(text(actual)) == fold(text(expected))


def text(value: Any) -> str:
    """`value` as text: `true`, `3`, `0.5`, ISO 8601, JSON for lists and objects, empty for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple, dict)):
        try:
            return json.dumps(value, default=str, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            raise Unevaluable("the value is nested too deeply to be read as text") from None
    if isinstance(value, int) and value.bit_length() > 4096:  # beyond Python's own limit for digits
        raise Unevaluable("the number has too many digits")
    return str(value)


def fold(value: str) -> str:
    """Text for comparing without regard to case, nor to how an accent was typed."""
    return value.lower() if value.isascii() else unicodedata.normalize("NFC", value.casefold())


def is_blank(value: Any) -> bool:
    """Null, blank text and empty collections are blank; 0 and false are not."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, (list, tuple, dict, set, frozenset)) and not value)


def items(value: Any) -> list[Any]:
    """A list from a list, from a JSON list in text, or from text split at commas.

    Raises `Unevaluable` for anything else.
    """
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str):
        raise Unevaluable(f"{preview(value)} is not a list")
    stripped = value.strip()
    if stripped.startswith("["):
        try:
            parsed = json.loads(stripped)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            return parsed
    return [part.strip() for part in stripped.split(",") if part.strip()]


def storable(value: str) -> str:
    """`value` without NUL and lone surrogates, which neither PostgreSQL nor UTF-8 can carry: U+FFFD in their place."""
    if "\x00" in value:
        value = value.replace("\x00", "\ufffd")
    return value if value.isascii() else _SURROGATES.sub("\ufffd", value)


def has_unstorable(value: str) -> bool:
    """Whether `value` holds a NUL or a lone surrogate."""
    return "\x00" in value or (not value.isascii() and _SURROGATES.search(value) is not None)


def preview(value: Any, limit: int = 60) -> str:
    """A short, storable rendering of `value` for reasons and error messages."""
    if isinstance(value, (list, tuple, dict)):
        return f"a {'list' if not isinstance(value, dict) else 'JSON object'} of {len(value)}"
    if isinstance(value, str):
        value = value[: limit + 1]
    elif isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 77 digits"
    shown = storable(repr(value))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float, Decimal)):
        return "number"
    if isinstance(value, (list, tuple)):
        return "list"
    return type(value).__name__
