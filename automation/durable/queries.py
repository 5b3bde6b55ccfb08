"""Queries: what an execution's code says of its state, asked without changing anything.

The asking process replays the history and calls the handler. Nothing is written, the code can ask for nothing, and what
has arrived but was not seen by an advance yet is fed as it would be: an answer knows of every signal sent before.
"""

from __future__ import annotations

import uuid
from typing import Any

from automation import clock
from automation.durable import registry, statements
from automation.durable.endings import Parked
from automation.durable.exceptions import NondeterminismError, TemporalError
from automation.durable.records import ExecutionRecord
from automation.durable.registry import UnknownName
from automation.durable.replay import Run
from automation.errors import Conflict, NotFound
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution


class QueryFailed(TemporalError):
    """The query has no handler, or its handler raised; `cause` says what."""


def ask(execution: uuid.UUID, name: str, text: str) -> str:
    """Answer a query by name, with encoded arguments; returns the encoded result.

    Raises NotFound; Conflict where the code cannot be asked (it is parked, unknown here, has not begun, or does not fit
    its history); and QueryFailed.
    """
    row = WorkflowExecution.objects.filter(id=execution).first()
    if row is None:
        raise NotFound(f"there is no execution {execution}")
    run = replayed(row)
    try:
        return run.messages.ask(name, text)
    except NondeterminismError:
        raise
    except Exception as error:
        raise QueryFailed(f"query {name!r} of {row.definition} {row.id}: {error}") from error
    finally:
        run.close()


def replayed(row: WorkflowExecution) -> Run:
    """The run of an execution, up to now, to be looked at and closed. Raises Conflict where that cannot be."""
    if row.status == ExecutionStatus.PARKED:
        raise Conflict(
            f"execution {row.id} is parked ({row.error_message}), so its code cannot answer: mend the code, then "
            f"`executions retry {row.id}`"
        )
    now = clock.now()
    if row.started_at is None and (row.status not in OPEN_STATUSES or (row.scheduled_for or now) > now):
        planned = f" before {row.scheduled_for:%Y-%m-%d %H:%M:%S} UTC" if row.scheduled_for else ""
        raise Conflict(f"execution {row.id} ({row.status}) has not begun{planned}: there is no state to ask for")
    row.started_at = row.started_at or now
    steps = statements.current().load_steps([row.id])
    registry.know(row.definition)
    try:
        run = Run(record_of(row))
    except UnknownName as error:
        raise Conflict(f"execution {row.id} cannot be asked here: {error}") from error
    try:
        run.look(steps, ended=row.status not in OPEN_STATUSES, paused=row.paused_at is not None)
    except (NondeterminismError, Parked) as error:
        run.close()
        raise Conflict(f"execution {row.id} cannot be asked: its code does not fit its history: {error}") from error
    except BaseException:
        run.close()
        raise
    return run


def record_of(row: WorkflowExecution) -> ExecutionRecord:
    """A row as the engine's hot paths carry it."""
    values: dict[str, Any] = {field: getattr(row, field) for field in ExecutionRecord._fields if field != "steps"}
    return ExecutionRecord(**values, steps=1)
