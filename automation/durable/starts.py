"""Starting executions: rows first, in the caller's transaction; messages after its commit."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import canvas, gathering, payloads, statements, timers
from automation.models import ExecutionStatus, WorkflowExecution
from automation.models.ids import uuid7


@dataclass(frozen=True)
class NewExecution:
    """What to start. `definition` names a registered workflow class, `args` are its run method's arguments.

    business_id: the caller's own id, one open execution each; the row's id where empty.
    booking_sequence: with workflow, booking and trigger, the key that a repeated event cannot start again.
    scheduled_for: not before this time; None is now.
    """

    definition: str
    args: tuple[Any, ...] = ()
    queue: str = ""
    priority: int = 0
    business_id: str = ""
    workflow_id: uuid.UUID | None = None
    version_id: uuid.UUID | None = None
    booking_id: uuid.UUID | None = None
    trigger: str = ""
    booking_sequence: int | None = None
    depth: int = 0
    scheduled_for: dt.datetime | None = None


def start_many(new: Sequence[NewExecution]) -> list[uuid.UUID]:
    """Write executions and, after the caller's transaction commits, send those whose time is near.

    An execution that exists already (same workflow, booking, trigger and booking sequence; or an open one with the same
    business id) is left alone. Returns the ids of those written.
    """
    now = clock.now()
    rows = [_row(one, now) for one in new]
    written = _insert(rows)
    transaction.on_commit(lambda: _publish(written, now))
    return [row.id for row in written]


def record_cancelled(new: NewExecution, reason: str) -> uuid.UUID | None:
    """Write an execution that is not to run, as cancelled with its reason; None when it exists already."""
    written = record_all_cancelled([(new, reason)])
    return written[0] if written else None


def record_all_cancelled(new: Sequence[tuple[NewExecution, str]]) -> list[uuid.UUID]:
    """`record_cancelled` for many, each with its reason; returns the ids of those written."""
    now = clock.now()
    rows = [_row(one, now) for one, _ in new]
    for row, (_, reason) in zip(rows, new, strict=True):
        row.status, row.due, row.error_message, row.completed_at = ExecutionStatus.CANCELLED, None, reason, now
    return [row.id for row in _insert(rows)]


def _row(new: NewExecution, now: dt.datetime) -> WorkflowExecution:
    return WorkflowExecution(
        id=uuid7(),
        namespace=settings.WORKFLOW_NAMESPACE,
        business_id=new.business_id,
        definition=new.definition,
        workflow_id=new.workflow_id,
        version_id=new.version_id,
        booking_id=new.booking_id,
        trigger=new.trigger,
        booking_sequence=new.booking_sequence,
        depth=new.depth,
        status=ExecutionStatus.PENDING,
        queue=new.queue or settings.WORKFLOW_TASK_QUEUE,
        priority=new.priority,
        due=timers.sweep_time(new.scheduled_for, now),
        input=payloads.encode(list(new.args), f"arguments of workflow {new.definition!r}"),
        result="",
        failure="",
        error_message="",
        scheduled_for=new.scheduled_for,
        created_at=now,
    )


def _insert(rows: Sequence[WorkflowExecution]) -> list[WorkflowExecution]:
    first = rows[0] if len(rows) == 1 and rows[0].status == ExecutionStatus.PENDING else None
    if first is not None and not (first.workflow_id or first.version_id or first.booking_id or first.business_id):
        statements.current().start(first)
        return [first]
    WorkflowExecution.objects.bulk_create(rows, ignore_conflicts=True)
    there = set(WorkflowExecution.objects.filter(id__in=[row.id for row in rows]).values_list("id", flat=True))
    return [row for row in rows if row.id in there]


def _publish(rows: Sequence[WorkflowExecution], now: dt.datetime) -> None:
    """Send what is to run within the horizon, a batch to a message; the rest is due rows."""
    horizon = dt.timedelta(seconds=settings.DURABLE_COUNTDOWN_HORIZON)
    batches: dict[tuple[str, int, float | None], list[tuple[uuid.UUID, int | None]]] = {}
    for row in rows:
        wait = max(dt.timedelta(0), row.scheduled_for - now) if row.scheduled_for is not None else dt.timedelta(0)
        if wait <= horizon:
            countdown = wait.total_seconds() or None
            batches.setdefault((row.queue, row.priority, countdown), []).append((row.id, 0))
    for (queue, priority, countdown), executions in batches.items():
        if countdown is None and len(executions) < gathering.FULL:
            _gathering.add(executions, queue, priority)
        else:
            canvas.visit(executions, queue, countdown=countdown, priority=priority)


_gathering = gathering.start(lambda batch, queue, priority: canvas.visit(batch, queue, priority=priority))
