"""When and how a workflow is started again and again; named as in the Temporal Python SDK."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automation.durable import registry
from automation.durable.common import Priority, RetryPolicy


@dataclass(frozen=True)
class ScheduleRange:
    """The whole numbers from `start` to `end` (0: `start` alone), each `step` (0: 1) of them."""

    start: int
    end: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        if min(self.start, self.end, self.step) < 0:
            raise ValueError(f"{self}: start, end and step must not be negative")
        if self.end and self.end < self.start:
            raise ValueError(f"{self}: end comes before start")

    def __contains__(self, value: int) -> bool:
        return self.start <= value <= (self.end or self.start) and (value - self.start) % (self.step or 1) == 0


@dataclass(frozen=True)
class ScheduleCalendarSpec:
    """The moments that every field matches; a field matches where one of its ranges does. By default midnight of every
    day. day_of_week: 0 is Sunday. year: every one where empty."""

    second: Sequence[ScheduleRange] = (ScheduleRange(0),)
    minute: Sequence[ScheduleRange] = (ScheduleRange(0),)
    hour: Sequence[ScheduleRange] = (ScheduleRange(0),)
    day_of_month: Sequence[ScheduleRange] = (ScheduleRange(1, 31),)
    month: Sequence[ScheduleRange] = (ScheduleRange(1, 12),)
    year: Sequence[ScheduleRange] = ()
    day_of_week: Sequence[ScheduleRange] = (ScheduleRange(0, 6),)
    comment: str | None = None


@dataclass(frozen=True)
class ScheduleIntervalSpec:
    """Every `every` since the Unix epoch, `offset` later."""

    every: dt.timedelta
    offset: dt.timedelta | None = None

    def __post_init__(self) -> None:
        if self.every < dt.timedelta(seconds=1):
            raise ValueError(f"every={self.every} is too short: a schedule starts at most once a second")
        if self.offset is not None and not dt.timedelta(0) <= self.offset < self.every:
            raise ValueError(f"offset={self.offset} must be from 0 to less than every={self.every}")


@dataclass
class ScheduleSpec:
    """The moments of all calendars, intervals and cron expressions together, without those of `skip`.

    jitter: each start is put off by up to that much, always the same for the same moment. time_zone_name: of calendars
    and cron expressions, an IANA name; UTC where None. A local time that a change of clocks leaves out does not occur;
    one that occurs twice is its first.
    """

    calendars: Sequence[ScheduleCalendarSpec] = ()
    intervals: Sequence[ScheduleIntervalSpec] = ()
    cron_expressions: Sequence[str] = ()
    skip: Sequence[ScheduleCalendarSpec] = ()
    start_at: dt.datetime | None = None
    end_at: dt.datetime | None = None
    jitter: dt.timedelta | None = None
    time_zone_name: str | None = None


class ScheduleOverlapPolicy(enum.IntEnum):
    """What happens at a moment at which the run before is still going on."""

    SKIP = 1
    """Nothing."""
    BUFFER_ONE = 2
    """One start waits for its end; others are dropped."""
    BUFFER_ALL = 3
    """Every start waits for the one before."""
    CANCEL_OTHER = 4
    """It is cancelled, and the start waits for its end."""
    TERMINATE_OTHER = 5
    """It is terminated, and the next begins at once."""
    ALLOW_ALL = 6
    """Both run."""


@dataclass
class SchedulePolicy:
    """catchup_window: a moment that was missed by more (nothing was running at all) is left out. pause_on_failure:
    after a run that failed or timed out, the schedule waits for a person."""

    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP
    catchup_window: dt.timedelta = dt.timedelta(days=365)
    pause_on_failure: bool = False

    def __post_init__(self) -> None:
        if self.catchup_window < dt.timedelta(seconds=10):
            raise ValueError(f"catchup_window={self.catchup_window} must be at least 10 seconds")


@dataclass
class ScheduleState:
    """limited_actions: after `remaining_actions` starts it starts nothing more."""

    note: str | None = None
    paused: bool = False
    limited_actions: bool = False
    remaining_actions: int = 0

    def __post_init__(self) -> None:
        if self.remaining_actions < 0:
            raise ValueError(f"remaining_actions={self.remaining_actions} must not be negative")
        if self.remaining_actions and not self.limited_actions:
            raise ValueError("remaining_actions is given, and limited_actions is not True")


class ScheduleAction:
    """What a schedule does: `ScheduleActionStartWorkflow` is the one kind there is."""


@dataclass
class ScheduleActionStartWorkflow(ScheduleAction):
    """Starts a workflow; the options are those of `Client.start_workflow`. Each start has an id of its own: `id` and
    the moment that it is for."""

    workflow: str | type | Callable[..., Any]
    arg: Any = registry._Missing
    args: Sequence[Any] = field(default=(), kw_only=True)
    id: str = field(default="", kw_only=True)
    task_queue: str = field(default="", kw_only=True)
    execution_timeout: dt.timedelta | None = field(default=None, kw_only=True)
    run_timeout: dt.timedelta | None = field(default=None, kw_only=True)
    task_timeout: dt.timedelta | None = field(default=None, kw_only=True)
    retry_policy: RetryPolicy | None = field(default=None, kw_only=True)
    memo: Mapping[str, Any] | None = field(default=None, kw_only=True)
    typed_search_attributes: Any = field(default=None, kw_only=True)
    untyped_search_attributes: Any = field(default=None, kw_only=True)
    static_summary: str | None = field(default=None, kw_only=True)
    static_details: str | None = field(default=None, kw_only=True)
    headers: Any = field(default=None, kw_only=True)
    raw_info: Any = field(default=None, kw_only=True)
    priority: Priority = field(default_factory=Priority, kw_only=True)


@dataclass
class Schedule:
    """A whole schedule."""

    action: ScheduleAction
    spec: ScheduleSpec
    policy: SchedulePolicy = field(default_factory=SchedulePolicy)
    state: ScheduleState = field(default_factory=ScheduleState)


@dataclass
class ScheduleBackfill:
    """The moments from `start_at` to `end_at`, both included, as if it were those times now. overlap: the schedule's
    where None."""

    start_at: dt.datetime
    end_at: dt.datetime
    overlap: ScheduleOverlapPolicy | None = None

    def __post_init__(self) -> None:
        if self.start_at.tzinfo is None or self.end_at.tzinfo is None:
            raise ValueError("start_at and end_at need a time zone")
        if self.end_at < self.start_at:
            raise ValueError(f"end_at={self.end_at} comes before start_at={self.start_at}")
