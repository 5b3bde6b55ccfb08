"""Times of sweeps: when a row is looked at, how its waits grow, and which rows share a message.

A timer is a row with an absolute time, written before waiting. A short wait travels as a countdown at once; for a long
one nothing is sent until a sweep, looking ahead, finds it near and hands it over together with its neighbours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TypeVar

from django.conf import settings

Item = TypeVar("Item")

MAX_BATCHES = 100
"""Batches of one kind in one sweep; what is left waits for the next."""

BUCKET = dt.timedelta(milliseconds=250)
"""Rows whose times lie this close together travel in one message."""


def sweep_time(run_at: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    """When a sweep looks at a row that is to run at `run_at` (None: now): long waits are the sweep's to send, for the
    rest it steps in where the message seems lost."""
    if run_at is not None and run_at > now + dt.timedelta(seconds=settings.DURABLE_COUNTDOWN_HORIZON):
        return run_at
    return max(run_at or now, now) + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)


def backoff(age: dt.timedelta | None) -> dt.timedelta:
    """The wait before a row that is `age` old is published again: as long again as it has waited, within the bounds."""
    low, high = settings.DURABLE_REPUBLISH_MIN, settings.DURABLE_REPUBLISH_MAX
    seconds = age.total_seconds() if age is not None else low
    return dt.timedelta(seconds=round(min(max(seconds, low), high)))


def buckets(
    items: Sequence[Item], time_of: Callable[[Item], dt.datetime | None], now: dt.datetime
) -> list[tuple[float | None, list[Item]]]:
    """Items by their time, together where they lie within BUCKET of each other; with the seconds until the last of
    each bucket, None where that is now."""
    result: list[tuple[dt.datetime, list[Item]]] = []
    for item in sorted(items, key=lambda item: time_of(item) or now):
        time = max(time_of(item) or now, now)
        if result and time - result[-1][0] <= BUCKET:
            result[-1][1].append(item)
        else:
            result.append((time, [item]))
    waits = [max(time_of(item) or now for item in members) - now for _, members in result]
    return [(max(0.0, wait.total_seconds()) or None, members) for wait, (_, members) in zip(waits, result, strict=True)]
