"""The live runs of waiting executions that a worker process keeps, so that the next outcome needs no replay."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable

from django.conf import settings

from automation.durable.records import ExecutionRecord
from automation.durable.replay import Run

_cache: OrderedDict[uuid.UUID, Run] = OrderedDict()
"""Live runs of waiting executions. One is used only if nobody has taken its execution over since."""


def take(row: ExecutionRecord) -> Run | None:
    """The live run of an execution that has just been taken over, if this process has it and nobody else has decided
    anything for the execution since."""
    run = _cache.pop(row.id, None)
    if run is not None and run.execution.epoch + 1 != row.epoch:
        run.close()  # somebody took the execution over in between: this run does not know what it decided
        return None
    return run


def keep(run: Run) -> None:
    """Keep a run; the one that has not been used for longest goes where there are too many."""
    _cache[run.execution_id] = run
    while len(_cache) > settings.DURABLE_CACHED_WORKFLOWS:
        _, oldest = _cache.popitem(last=False)
        oldest.close()


def drop(executions: Iterable[uuid.UUID]) -> None:
    """Close the runs of these executions, if they are kept."""
    for execution in executions:
        if (run := _cache.pop(execution, None)) is not None:
            run.close()


def forget() -> None:
    """Close every live run that this process keeps."""
    while _cache:
        _, run = _cache.popitem()
        run.close()
