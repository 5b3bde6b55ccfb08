"""A step's options: its time limits and retry policy, as they stand in its row."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automation.durable import payloads
from automation.durable.common import RetryPolicy

DEFAULT_START_TO_CLOSE = 600.0
"""Seconds for an attempt of which nobody said how long it may take."""


AGAIN = "again:"
"""What the output of a local activity's failed attempt begins with that is tried again after a timer; the time follows,
and the number of the next attempt."""


@dataclass(frozen=True)
class StepOptions:
    """Times in seconds; None where not limited.

    start_to_close: one attempt. schedule_to_close: all attempts together, from the step's creation.
    schedule_to_start: waiting in the queue, per attempt. heartbeat: the longest silence of an attempt.
    start_delay: waited before the first attempt, from when the step's turn comes.
    stop: its failure skips what follows in its chain.
    cancellation: what cancelling it means, a name of ActivityCancellationType.
    activity_id: the code's own name for it, by which it can be completed from outside.
    threshold: a wait before the next attempt that is shorter is waited for in the visit. attempt, first, since: the
    number of the attempt, and the seq and time (seconds since the epoch) of the first, where timers lie between them.
    alone: it travels in a message of its own, so that Celery's rate limit counts it.
    """

    start_to_close: float | None = None
    schedule_to_close: float | None = None
    schedule_to_start: float | None = None
    heartbeat: float | None = None
    start_delay: float = 0.0
    stop: bool = True
    alone: bool = False
    retry: RetryPolicy | None = None
    cancellation: str = "TRY_CANCEL"
    summary: str = ""
    activity_id: str = ""
    # Of a local activity.
    attempt: int = 1
    first: int = 0
    since: float = 0.0
    threshold: float | None = None

    def attempt_seconds(self) -> float:
        """How long one attempt may take."""
        limits = [limit for limit in (self.start_to_close, self.schedule_to_close) if limit is not None]
        return min(limits) if limits else DEFAULT_START_TO_CLOSE

    def closes_at(self, created_at: dt.datetime) -> dt.datetime | None:
        """The end of schedule_to_close."""
        if self.schedule_to_close is None:
            return None
        return created_at + dt.timedelta(seconds=self.schedule_to_close + self.start_delay)

    def deadline(
        self, created_at: dt.datetime, started_at: dt.datetime, heartbeat_at: dt.datetime | None
    ) -> dt.datetime:
        """When the attempt that began at `started_at` has taken too long, by whichever limit comes first."""
        limits = [started_at + dt.timedelta(seconds=self.attempt_seconds())]
        if (closes := self.closes_at(created_at)) is not None:
            limits.append(closes)
        if self.heartbeat is not None:
            limits.append(max(started_at, heartbeat_at or started_at) + dt.timedelta(seconds=self.heartbeat))
        return min(limits)

    def dump(self) -> str:
        """As JSON text, defaults left out."""
        return _dump(self)


DEFAULTS = StepOptions()


@functools.lru_cache(maxsize=4096)
def _dump_cached(options: StepOptions) -> str:
    data: dict[str, object] = {
        name: getattr(options, name)
        for name in StepOptions.__dataclass_fields__
        if name != "retry" and getattr(options, name) != getattr(DEFAULTS, name)
    }
    if options.retry is not None:
        data["retry"] = dump_policy(options.retry)
    return payloads.encode_plain(data, "options") if data else ""


def _dump(options: StepOptions) -> str:
    try:
        return _dump_cached(options)
    except TypeError:  # a policy with a list in it does not hash
        return _dump_cached.__wrapped__(options)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> StepOptions:
    """What `dump` wrote."""
    if not text:
        return DEFAULTS
    data = payloads.decode(text)
    raw = data.pop("retry", None)
    return StepOptions(retry=load_policy(raw) if raw is not None else None, **data)


def dump_policy(policy: RetryPolicy) -> list[object]:
    """A retry policy as it stands in a row."""
    return [
        policy.initial_interval.total_seconds(),
        policy.backoff_coefficient,
        policy.maximum_interval.total_seconds() if policy.maximum_interval is not None else None,
        policy.maximum_attempts,
        list(policy.non_retryable_error_types or ()),
    ]


def load_policy(raw: Sequence[Any]) -> RetryPolicy:
    """What `dump_policy` wrote."""
    first, factor, longest, attempts, types = raw
    return RetryPolicy(
        initial_interval=dt.timedelta(seconds=first),
        backoff_coefficient=factor,
        maximum_interval=dt.timedelta(seconds=longest) if longest is not None else None,
        maximum_attempts=attempts,
        non_retryable_error_types=tuple(types) or None,
    )
