"""Which moments a schedule's spec means: pure functions of a spec and a time."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from automation.durable.schedules.specs import (
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
)

HORIZON_DAYS = 366 * 41
"""So far ahead a calendar's next moment is looked for: any of them comes again within forty years, or never."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def check(spec: ScheduleSpec) -> None:
    """Raises ValueError for what no schedule can be made of, naming it."""
    _zone(spec.time_zone_name)
    for expression in spec.cron_expressions:
        parse_cron(expression)
    if not (spec.calendars or spec.intervals or spec.cron_expressions):
        raise ValueError("the spec has no calendars, no intervals and no cron expressions: it would never start")
    for name in ("start_at", "end_at"):
        moment = getattr(spec, name)
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name}={moment} needs a time zone")


def next_after(spec: ScheduleSpec, after: dt.datetime) -> dt.datetime | None:
    """The first moment later than `after`, in UTC; None where there is none any more. Jitter is not in it."""
    if spec.start_at is not None and after < spec.start_at:
        after = spec.start_at - dt.timedelta(seconds=1)
    while True:
        moment = min((found for found in _candidates(spec, after) if found is not None), default=None)
        if moment is None or (spec.end_at is not None and moment > spec.end_at):
            return None
        if not _is_skipped(spec, moment):
            return moment
        after = moment


def between(spec: ScheduleSpec, after: dt.datetime, until: dt.datetime) -> Iterator[dt.datetime]:
    """The moments later than `after`, up to `until`."""
    moment = next_after(spec, after)
    while moment is not None and moment <= until:
        yield moment
        moment = next_after(spec, moment)


def jitter(spec: ScheduleSpec, key: str, moment: dt.datetime) -> dt.timedelta:
    """By how much the start for a moment is put off: the same whoever asks."""
    if spec.jitter is None:
        return dt.timedelta(0)
    digest = hashlib.sha256(f"{key} {moment.isoformat()}".encode()).digest()
    return spec.jitter * (int.from_bytes(digest[:8], "big") / 2**64)


def next_cron(expression: str, now: dt.datetime) -> dt.datetime:
    """When a `cron_schedule` comes next, in UTC. Raises ValueError for one that cannot be read, or never comes."""
    found = next_after(ScheduleSpec(cron_expressions=[expression]), now)
    if found is None:
        raise ValueError(f"cron_schedule {expression!r} never comes")
    return found


# -- candidates --------------------------------------------------------------------------------------------------------


def _candidates(spec: ScheduleSpec, after: dt.datetime) -> Iterator[dt.datetime | None]:
    zone = _zone(spec.time_zone_name)
    for interval in spec.intervals:
        yield _next_interval(interval, after)
    for calendar in spec.calendars:
        yield _next_calendar(calendar, after, zone)
    for expression in spec.cron_expressions:
        cron = parse_cron(expression)
        for interval in cron.intervals:
            yield _next_interval(interval, after)
        for calendar in cron.calendars:
            yield _next_calendar(calendar, after, _zone(cron.time_zone_name) if cron.time_zone_name else zone)


def _next_interval(interval: ScheduleIntervalSpec, after: dt.datetime) -> dt.datetime:
    every = round(interval.every.total_seconds() * 1_000_000)
    offset = round(interval.offset.total_seconds() * 1_000_000) if interval.offset else 0
    since = round((after - _EPOCH) / dt.timedelta(microseconds=1)) - offset
    return _EPOCH + dt.timedelta(microseconds=(since // every + 1) * every + offset)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _next_calendar(calendar: ScheduleCalendarSpec, after: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
    local = after.astimezone(zone)
    times = _times_of_day(tuple(calendar.hour), tuple(calendar.minute), tuple(calendar.second))
    day = local.date()
    last_year = max((one.end or one.start for one in calendar.year), default=9998)
    for _ in range(HORIZON_DAYS):
        if day.year > last_year:
            return None
        if not _in(calendar.month, day.month):
            day = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
            continue
        if _is_day(calendar, day):
            for time in times:
                moment = dt.datetime.combine(day, time, zone)
                utc = moment.astimezone(dt.UTC)
                # A local time that does not exist comes back from UTC as another one.
                if utc > after and utc.astimezone(zone).replace(tzinfo=None) == moment.replace(tzinfo=None):
                    return utc
        day += dt.timedelta(days=1)
    return None


def _is_day(calendar: ScheduleCalendarSpec, day: dt.date) -> bool:
    weekday = (day.weekday() + 1) % 7
    return (
        (not calendar.year or _in(calendar.year, day.year))
        and _in(calendar.month, day.month)
        and _in(calendar.day_of_month, day.day)
        and _in(calendar.day_of_week, weekday)
    )


def _is_skipped(spec: ScheduleSpec, moment: dt.datetime) -> bool:
    local = moment.astimezone(_zone(spec.time_zone_name))
    return any(
        _is_day(calendar, local.date())
        and _in(calendar.hour, local.hour)
        and _in(calendar.minute, local.minute)
        and _in(calendar.second, local.second)
        for calendar in spec.skip
    )


def _in(ranges: Sequence[ScheduleRange], value: int) -> bool:
    return any(value in one for one in ranges)


@functools.lru_cache(maxsize=256)
def _times_of_day(
    hours: tuple[ScheduleRange, ...], minutes: tuple[ScheduleRange, ...], seconds: tuple[ScheduleRange, ...]
) -> tuple[dt.time, ...]:
    return tuple(
        dt.time(hour, minute, second)
        for hour in range(24)
        if _in(hours, hour)
        for minute in range(60)
        if _in(minutes, minute)
        for second in range(60)
        if _in(seconds, second)
    )


@functools.lru_cache(maxsize=64)
def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; expected an IANA name such as 'Europe/Paris'") from None


# -- cron expressions --------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def parse_cron(expression: str) -> ScheduleSpec:
    """`minute hour day-of-month month day-of-week`, with a year as sixth field, or seconds before and a year after as
    seven; `@daily` and its kin; `@every 90m`; a zone before it as `CRON_TZ=Europe/Paris`; a comment after `#`.

    As everywhere in cron, where both the day of month and the day of week are narrowed, either of them suffices.
    Raises ValueError.
    """
    text = expression.partition("#")[0].strip()
    zone = None
    if match := re.match(r"(?:CRON_)?TZ=(\S+)\s+", text):
        zone, text = match[1], text[match.end() :]
        _zone(zone)
    if text.startswith("@every"):
        return ScheduleSpec(intervals=[_every(expression, text.removeprefix("@every").strip())])
    if text.startswith("@") and text not in _SHORTHANDS:
        raise ValueError(f"cron expression {expression!r}: expected one of {', '.join(_SHORTHANDS)}, or @every 90m")
    parts = _SHORTHANDS.get(text, text).split()
    if len(parts) not in (5, 6, 7):
        raise ValueError(f"cron expression {expression!r} has {len(parts)} fields, expected 5 (or 6 with a year, or 7)")
    second = parts.pop(0) if len(parts) == 7 else "0"
    year = parts.pop() if len(parts) == 6 else "*"
    minute, hour, day, month, weekday = parts

    def field(name: str, part: str, low: int, high: int, names: Sequence[str] = ()) -> tuple[ScheduleRange, ...]:
        return _cron_field(expression, name, part, low, high, names)

    make: Callable[..., ScheduleCalendarSpec] = functools.partial(
        ScheduleCalendarSpec,
        second=field("second", second, 0, 59),
        minute=field("minute", minute, 0, 59),
        hour=field("hour", hour, 0, 23),
        month=field("month", month, 1, 12, _MONTHS),
        year=() if year == "*" else field("year", year, 1970, 9998),
    )
    days = field("day of month", day, 1, 31)
    weekdays = field("day of week", weekday, 0, 7, _WEEKDAYS)
    if any(7 in one for one in weekdays):
        weekdays = (*weekdays, ScheduleRange(0))  # Sunday has two numbers
    if day[0] not in "*?" and weekday[0] not in "*?":
        return ScheduleSpec(calendars=[make(day_of_month=days), make(day_of_week=weekdays)], time_zone_name=zone)
    return ScheduleSpec(calendars=[make(day_of_month=days, day_of_week=weekdays)], time_zone_name=zone)


def _cron_field(
    expression: str, name: str, part: str, low: int, high: int, names: Sequence[str]
) -> tuple[ScheduleRange, ...]:
    def number(text: str) -> int:
        if text.lower() in names:
            return names.index(text.lower()) + low
        if not text.isdigit() or not low <= int(text) <= high:
            known = f", or {', '.join(names)}" if names else ""
            raise ValueError(f"cron expression {expression!r}: {text!r} is no {name}; expected {low} to {high}{known}")
        return int(text)

    found = []
    for item in part.split(","):
        span, slash, step = item.partition("/")
        if slash and (not step.isdigit() or int(step) < 1):
            raise ValueError(f"cron expression {expression!r}: {step!r} is no step of the {name}; expected 1 or more")
        if span in ("*", "?"):
            first, last = low, high
        elif "-" in span:
            first, last = (number(text) for text in span.split("-", 1))
            if last < first:
                raise ValueError(f"cron expression {expression!r}: the {name} {span!r} ends before it begins")
        else:
            first = number(span)
            last = high if slash else first
        found.append(ScheduleRange(first, last, int(step) if slash else 0) if last else ScheduleRange(first))
    return tuple(found)


def _every(expression: str, text: str) -> ScheduleIntervalSpec:
    interval, _, phase = text.partition("/")
    try:
        return ScheduleIntervalSpec(_duration(interval), _duration(phase) if phase else None)
    except ValueError as error:
        raise ValueError(f"cron expression {expression!r}: {error}") from error


def _duration(text: str) -> dt.timedelta:
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no length of time such as 90s, 5m or 1h30m")
    return dt.timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
