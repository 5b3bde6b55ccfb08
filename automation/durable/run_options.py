"""An execution's options: its time limits, retry policy and what ties it to others, as they stand in its row."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass, fields, replace

from automation.durable import payloads
from automation.durable.common import RetryPolicy
from automation.durable.options import dump_policy, load_policy


@dataclass(frozen=True)
class RunOptions:
    """Times in seconds; None where not limited.

    execution_timeout: the whole chain of runs (continue-as-new, retry, cron). run_timeout: one run. task_timeout: kept
    and shown; an advance is bounded by its lease. closes_at: the end of execution_timeout, in seconds since the epoch.
    retry: for the execution as a whole. attempt: from 1. cron: starts the next run when one ends.
    parent_close: what the end of the parent means, a name of ParentClosePolicy. restart_of: the execution whose first
    steps it began with. schedule: the row of the schedule that started it.
    """

    execution_timeout: float | None = None
    run_timeout: float | None = None
    task_timeout: float | None = None
    closes_at: float | None = None
    retry: RetryPolicy | None = None
    attempt: int = 1
    cron: str = ""
    parent_close: str = ""
    summary: str = ""
    details: str = ""
    restart_of: str = ""
    schedule: str = ""

    def dump(self) -> str:
        """As JSON text, defaults left out; empty where all are."""
        data: dict[str, object] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "retry" and getattr(self, field.name) != field.default
        }
        if self.retry is not None:
            data["retry"] = dump_policy(self.retry)
        return payloads.encode_plain(data, "options") if data else ""

    def begun_at(self, start: dt.datetime) -> RunOptions:
        """These, with the end of the whole chain fixed by its first run's start."""
        if self.execution_timeout is None or self.closes_at is not None:
            return self
        return replace(self, closes_at=start.timestamp() + self.execution_timeout)

    def deadline(self, start: dt.datetime) -> dt.datetime | None:
        """When a run that may begin at `start` has taken too long."""
        limits = [] if self.run_timeout is None else [start + dt.timedelta(seconds=self.run_timeout)]
        if self.closes_at is not None:
            limits.append(dt.datetime.fromtimestamp(self.closes_at, dt.UTC))
        return min(limits, default=None)


NONE = RunOptions()


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> RunOptions:
    """What `dump` wrote."""
    if not text:
        return NONE
    data = payloads.decode(text)
    retry = data.pop("retry", None)
    return RunOptions(retry=load_policy(retry) if retry is not None else None, **data)
