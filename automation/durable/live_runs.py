"""The live runs of waiting executions that a worker process keeps, so that the next outcome needs no replay. One that
others have gone past since is caught up: it needs what they have seen, and not its whole history."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable

from django.conf import settings

from automation.durable.records import ExecutionRecord
from automation.durable.replay import Run

_cache: OrderedDict[uuid.UUID, Run] = OrderedDict()
"""Live runs of waiting executions, as they were after a decision of theirs was written."""

_lock = threading.Lock()
"""Of the cache, which the threads of an in-process worker share. Nobody holds it while a run is closed: that runs the
workflow's code."""

WORTH_KEEPING = 50
"""A run that has been fed so much is kept however long it waits: to replay it would cost more than its memory."""


def take(row: ExecutionRecord) -> Run | None:
    """The live run of an execution that has just been taken over, if this process has it."""
    with _lock:
        run = _cache.pop(row.id, None)
    if run is not None and run.execution.reopened != row.reopened:
        run.close()  # a retry has changed the history that it knows
        return None
    return run


def is_worth(run: Run) -> bool:
    """Whether to keep a run that waits for a distant time."""
    return run.fed >= WORTH_KEEPING


def keep(run: Run) -> None:
    """Keep a run; the one that has not been used for longest goes where there are too many."""
    drop([run.execution_id])  # where workers are threads, another one may have kept it
    with _lock:
        _cache[run.execution_id] = run
        excess = len(_cache) - settings.DURABLE_CACHED_WORKFLOWS
        dropped = [_cache.popitem(last=False)[1] for _ in range(excess)]
    for oldest in dropped:
        oldest.close()


def drop(executions: Iterable[uuid.UUID]) -> None:
    """Close the runs of these executions, if they are kept."""
    with _lock:
        dropped = [run for execution in executions if (run := _cache.pop(execution, None)) is not None]
    for run in dropped:
        run.close()


def forget() -> None:
    """Close every live run that this process keeps."""
    with _lock:
        dropped = list(_cache.values())
        _cache.clear()
    for run in dropped:
        run.close()
