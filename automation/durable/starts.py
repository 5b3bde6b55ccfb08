"""Starting executions: rows first, in the caller's transaction; messages after its commit."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import attributes, canvas, gathering, memos, payloads, run_options, statements, texts, timers
from automation.durable.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from automation.durable.run_options import NONE, RunOptions
from automation.models import ExecutionStatus, WorkflowExecution
from automation.models.ids import uuid7


@dataclass(frozen=True)
class NewExecution:
    """What to start. `definition` names a registered workflow class, `args` are its run method's arguments.

    business_id: the caller's own id, one open execution each; the row's id where empty.
    organizer_id: whose it is to see.
    booking_sequence: with workflow, booking and trigger, the key that a repeated event cannot start again.
    scheduled_for: not before this time; None is now. start_delay: the same, from now.
    id: the row's; a new one where None. memo, search_attributes: name → value.
    options: time limits, retry policy and the like.
    id_reuse_policy, id_conflict_policy: of a business id that is known already; obeyed by `id_policies.start`.
    parent_id, parent_seq: the step that waits for it. first_run_id, previous_run_id: the chain of runs it goes on with.
    raw_input: the arguments as they stand in a row, in place of `args`. id_is_ours: nobody else knows the business id.
    """

    definition: str
    args: tuple[Any, ...] = ()
    queue: str = ""
    priority: int = 0
    business_id: str = ""
    workflow_id: uuid.UUID | None = None
    version_id: uuid.UUID | None = None
    booking_id: uuid.UUID | None = None
    organizer_id: int | None = None
    trigger: str = ""
    booking_sequence: int | None = None
    depth: int = 0
    scheduled_for: dt.datetime | None = None
    start_delay: dt.timedelta | None = None
    id: uuid.UUID | None = None
    memo: Mapping[str, Any] | None = None
    search_attributes: Mapping[str, Any] | None = None
    options: RunOptions = NONE
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE
    id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED
    parent_id: uuid.UUID | None = None
    parent_seq: int | None = None
    first_run_id: uuid.UUID | None = None
    previous_run_id: uuid.UUID | None = None
    raw_input: str | None = None
    id_is_ours: bool = False


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
        row.status, row.due, row.completed_at = ExecutionStatus.CANCELLED, None, now
        row.error_message = texts.shown(reason)
    return [row.id for row in _insert(rows)]


def check(new: NewExecution) -> None:
    """Raise InvalidInput for what no row can hold."""
    texts.check("the name of a workflow", new.definition, texts.NAME)
    texts.check("a workflow id", new.business_id, texts.ID)
    texts.check("the name of a queue", new.queue, texts.QUEUE)


def _row(new: NewExecution, now: dt.datetime) -> WorkflowExecution:
    check(new)
    if not new.definition:
        raise ValueError("a dynamic workflow is started by a name: the one that it is to take")
    if new.start_delay is not None:
        new = replace(new, scheduled_for=max(new.scheduled_for or now, now) + new.start_delay)
    start = max(new.scheduled_for or now, now)
    options = NONE if new.options is NONE else new.options.begun_at(start)
    return WorkflowExecution(
        id=new.id or uuid7(),
        namespace=settings.WORKFLOW_NAMESPACE,
        business_id=new.business_id,
        definition=new.definition,
        workflow_id=new.workflow_id,
        version_id=new.version_id,
        booking_id=new.booking_id,
        organizer_id=new.organizer_id,
        trigger=new.trigger,
        booking_sequence=new.booking_sequence,
        depth=new.depth,
        status=ExecutionStatus.PENDING,
        queue=new.queue or settings.WORKFLOW_TASK_QUEUE,
        priority=new.priority,
        due=timers.sweep_time(new.scheduled_for, now),
        input=_input(new),
        result="",
        failure="",
        error_message="",
        scheduled_for=new.scheduled_for,
        created_at=now,
        parent_id=new.parent_id,
        parent_seq=new.parent_seq,
        first_run_id=new.first_run_id,
        previous_run_id=new.previous_run_id,
        options=options.dump(),
        deadline=options.deadline(start),
        memo=payloads.encode(dict(new.memo), "memo") if new.memo else "",
        search_attributes=attributes.to_row(new.search_attributes),
    )


def _input(new: NewExecution) -> str:
    if new.raw_input is not None:
        return new.raw_input
    return payloads.encode(list(new.args), f"arguments of workflow {new.definition!r}")


def again(row: WorkflowExecution) -> NewExecution:
    """What begins like this execution did, as the next run of its chain."""
    return NewExecution(
        row.definition,
        raw_input=row.input,
        queue=row.queue,
        priority=row.priority,
        business_id=row.workflow_id_of_caller,
        workflow_id=row.workflow_id,
        version_id=row.version_id,
        booking_id=row.booking_id,
        organizer_id=row.organizer_id,
        trigger=row.trigger,
        depth=row.depth,
        memo=memos.decode(row.memo),
        search_attributes=row.search_attributes,
        options=run_options.parse(row.options),
        parent_id=row.parent_id,
        parent_seq=row.parent_seq,
        first_run_id=row.first_run_id or row.id,
        previous_run_id=row.id,
    )


def insert(new: Sequence[NewExecution], now: dt.datetime) -> list[WorkflowExecution]:
    """Write executions of which it is sure that nothing collides with them, in the caller's transaction, and send them
    after its commit."""
    rows = WorkflowExecution.objects.bulk_create([_row(one, now) for one in new], batch_size=500)
    transaction.on_commit(lambda: _publish(rows, now))
    return rows


def _insert(rows: Sequence[WorkflowExecution]) -> list[WorkflowExecution]:
    first = rows[0] if len(rows) == 1 and rows[0].status == ExecutionStatus.PENDING else None
    if first is not None and not _is_special(first):
        statements.current().start(first)
        return [first]
    WorkflowExecution.objects.bulk_create(rows, ignore_conflicts=True)
    there = set(WorkflowExecution.objects.filter(id__in=[row.id for row in rows]).values_list("id", flat=True))
    return [row for row in rows if row.id in there]


def _is_special(row: WorkflowExecution) -> bool:
    """Whether a row can collide with another one, or has more columns than the hot statement writes."""
    return bool(
        (row.workflow_id or row.version_id or row.booking_id or row.organizer_id or row.business_id)
        or (row.options or row.memo or row.search_attributes or row.parent_id or row.first_run_id)
    )


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
