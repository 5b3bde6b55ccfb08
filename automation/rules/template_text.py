"""How values read in a message: times with their zone, durations in words, amounts with their currency."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from jinja2.runtime import Undefined

from automation.rules.template_errors import TemplateRenderError
from automation.rules.values import has_unstorable, moment, number, preview, zone

MAX_FORMAT = 100
"""Characters of a strftime format."""

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "ILS": "₪", "BRL": "R$"}
_NO_CENTS = frozenset({"JPY", "KRW", "CLP", "VND", "ISK", "HUF"})


def readable(value: Any) -> str:
    """A value as `{{ value }}` writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, datetime):
        return str(format_datetime(value))
    if isinstance(value, date):
        return str(format_date(value))
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if isinstance(value, timedelta):
        return str(format_duration(value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(readable(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{readable(key)}: {readable(item)}" for key, item in value.items())
    return str(value)


def in_tz(value: Any, name: Any = "UTC") -> Any:
    """The same instant in the zone of that IANA name; an unknown name counts as UTC. A missing value stays missing."""
    when = _moment(value)
    if when is None:
        return value
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    try:
        return when.astimezone(zone(str(name).strip()))
    except OverflowError:
        raise TemplateRenderError(f"in_tz: {preview(value)} leaves the calendar") from None


def format_datetime(value: Any, pattern: str | None = None) -> Any:
    """`Sunday, 29 March 2026, 09:30 CEST`, or by a strftime pattern."""
    when = _moment(value)
    if when is None:
        return value
    if pattern is not None:
        return _strftime(when, pattern)
    return f"{when:%A}, {when.day} {when:%B} {when.year}, {when:%H:%M}{_zone_suffix(when)}"


def format_date(value: Any, pattern: str | None = None) -> Any:
    """`29 March 2026`, or by a strftime pattern."""
    when = _moment(value)
    if when is None:
        return value
    return _strftime(when, pattern) if pattern is not None else f"{when.day} {when:%B} {when.year}"


def format_time(value: Any, pattern: str | None = None) -> Any:
    """`09:30`, or by a strftime pattern."""
    if isinstance(value, time):
        value = datetime.combine(date(2000, 1, 1), value)
    when = _moment(value)
    if when is None:
        return value
    return _strftime(when, pattern if pattern is not None else "%H:%M")


def format_duration(value: Any) -> Any:
    """Minutes, or a timedelta, in words: `1 hour 30 minutes`."""
    if _absent(value):
        return value
    minutes = number(value)
    if minutes is None or abs(minutes) > 10**9:
        raise TemplateRenderError(f"duration: {preview(value)} is no number of minutes")
    total = round(abs(minutes))
    hours, left = divmod(total, 60)
    days, hours = divmod(hours, 24)
    parts = [_count(days, "day"), _count(hours, "hour"), _count(left, "minute")]
    words = " ".join(part for part in parts if part) or "0 minutes"
    return f"-{words}" if minutes < 0 and total else words


def format_currency(value: Any, code: str = "USD", decimals: int | None = None) -> Any:
    """`$1,234.50`, `€1,234.50`, `CHF 1,234.50`. Halves round away from zero; yen and their like have no cents."""
    if _absent(value):
        return value
    code = str(code).strip().upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise TemplateRenderError(f"currency: {preview(code)} is no ISO 4217 code such as EUR")
    amount = number(value)
    if amount is None or abs(amount) >= 10**15:
        raise TemplateRenderError(f"currency: {preview(value)} is no amount")
    places = decimals if decimals is not None else 0 if code in _NO_CENTS else 2
    if not isinstance(places, int) or not 0 <= places <= 6:
        raise TemplateRenderError(f"currency: decimals is {preview(places)}; expected 0 to 6")
    try:
        # The decimal digits as written: 2.675 is meant as 2.675, not as the nearest binary fraction.
        exact = Decimal(value) if isinstance(value, Decimal) else Decimal(str(amount))
        rounded = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    except InvalidOperation:
        raise TemplateRenderError(f"currency: {preview(value)} is no amount") from None
    sign = "-" if rounded < 0 else ""
    return f"{sign}{_SYMBOLS.get(code, f'{code} ')}{abs(rounded):,.{places}f}"


def _absent(value: Any) -> bool:
    return isinstance(value, Undefined) or value is None or (isinstance(value, str) and not value.strip())


def _moment(value: Any) -> datetime | None:
    """The datetime meant, or None for a missing value, which keeps its fallback. Raises `TemplateRenderError`."""
    if _absent(value):
        return None
    found = moment(value)
    if found is None:
        raise TemplateRenderError(f"{preview(value)} is no day and no time in ISO 8601")
    return found


def check_pattern(pattern: Any) -> None:
    """Refuse a strftime pattern that is none, or has widths: %999999999d is a C library's way to fill the memory."""
    if not isinstance(pattern, str) or len(pattern) > MAX_FORMAT or re.search(r"%[^a-zA-Z%]*[0-9]", pattern):
        raise TemplateRenderError(f"{preview(pattern)} is no format such as '%d.%m.%Y %H:%M'")
    if has_unstorable(pattern):
        raise TemplateRenderError("the format holds a NUL or a lone surrogate")


def _strftime(when: datetime, pattern: Any) -> str:
    check_pattern(pattern)
    return when.strftime(pattern)


def _zone_suffix(when: datetime) -> str:
    name = when.tzname()
    if not name:
        return ""
    return f" UTC{name}" if name[0] in "+-" else f" {name}"


def _count(count: int, unit: str) -> str:
    return "" if not count else f"{count} {unit}" if count == 1 else f"{count} {unit}s"
