"""A date and a time as somebody reads them off the clock on the wall, and the moment that they mean."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

from automation.errors import InvalidInput
from automation.rules.values import preview

FORMAT = "%Y-%m-%dT%H:%M"
"""What a `datetime-local` field holds."""

_WRITTEN = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{1,2}:\d{2})(?::\d{2}(?:\.\d+)?)?", re.ASCII)
_YEARS = range(2000, 2200)


class Twin(NamedTuple):
    """One of the two moments of a time that comes twice: `fold` is 0 for the first, 1 for the second."""

    fold: int
    label: str


def read(text: str, zone: dt.tzinfo, fold: int | None = None) -> dt.datetime:
    """The moment that `text` (`2026-03-29T09:30`; seconds do not count) names in a zone, in UTC.

    fold: which of the two is meant where a time comes twice, because clocks are put back. Raises InvalidInput: about
    `start` for a text that names no moment there, about `fold` for one that names two.
    """
    wall = _wall(text)
    first, second = (wall.replace(tzinfo=zone, fold=which) for which in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(dt.UTC)
    where = f"{wall:%H:%M} on {wall.day} {wall:%B %Y}"
    if not _exists(first):
        before, after = (moment.astimezone(dt.UTC).astimezone(zone) for moment in (second, first))
        raise _refused(
            "start",
            f"{where} does not exist in {name_of(zone)}: the clocks are put forward then. "
            f"Choose {before:%H:%M} or {after:%H:%M}, for example.",
        )
    if fold not in (0, 1):
        raise _refused(
            "fold", f"{where} comes twice in {name_of(zone)}, because the clocks are put back. Say which one you mean."
        )
    return (second if fold else first).astimezone(dt.UTC)


def twins(text: str, zone: dt.tzinfo) -> list[Twin]:
    """The two moments of a time that comes twice; none for every other text."""
    try:
        wall = _wall(text)
    except InvalidInput:
        return []
    both = [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    if both[0].utcoffset() == both[1].utcoffset() or not _exists(both[0]):
        return []
    return [
        Twin(moment.fold, f"the {order} {moment:%H:%M} ({offset_of(moment)})")
        for order, moment in zip(("first", "second"), both, strict=True)
    ]


def name_of(zone: dt.tzinfo) -> str:
    """`Europe/Madrid`, `UTC`."""
    return getattr(zone, "key", None) or str(zone)


def offset_of(moment: dt.datetime) -> str:
    """`CEST, UTC+2`, `UTC+5:30`, `UTC`: a zoned moment's name for its zone, where it has one, and its offset."""
    minutes = round((moment.utcoffset() or dt.timedelta(0)).total_seconds() / 60)
    hours, left = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    offset = f"UTC{sign}{hours}{f':{left:02}' if left else ''}" if minutes else "UTC"
    name = moment.tzname() or ""
    return f"{name}, {offset}" if name.isalpha() and name != offset else offset


def _wall(text: str) -> dt.datetime:
    text = text.strip()
    if not text:
        raise _refused("start", "Choose a date and a time.")
    found = _WRITTEN.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        wall = dt.datetime.strptime(f"{found[1]}T{found[2]}", FORMAT)  # noqa: DTZ007  # the caller knows the zone
    except ValueError:
        raise _refused(
            "start", f"{preview(text)} is no date with a time: write it like 2026-03-29 09:30, on a day that there is."
        ) from None
    if wall.year not in _YEARS:
        raise _refused("start", f"The year {wall.year} is out of range: choose a time within the next year.")
    return wall


def _exists(moment: dt.datetime) -> bool:
    """Whether the clocks of its zone ever show that time."""
    there = moment.astimezone(dt.UTC).astimezone(moment.tzinfo)
    return there.replace(tzinfo=None) == moment.replace(tzinfo=None)


def _refused(field: str, problem: str) -> InvalidInput:
    return InvalidInput(problem, {field: [problem]})
