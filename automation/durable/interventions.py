"""What people do about one step of an execution that has begun, while the step waits for its time: have it run at
another one, or not at all.

Only a step whose turn has come can be stepped in for: it is pending, it is due, and it has a time (a delay, or the wait
before another attempt). A worker that claims it at the same moment comes first or second, never both: the claim and the
updates here ask for a pending step of the same attempt, and a message that was sent for an earlier time finds a step
that is not to run yet, or that has ended.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import canvas, payloads, states, timers
from automation.durable.options import parse
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution


def move(execution: uuid.UUID, seq: int, at: dt.datetime) -> None:
    """Have the waiting activity run at `at`; at once where that has passed. Raises NotFound, and Conflict where the
    step does not wait, or would then be later than its own time limits allow."""
    with transaction.atomic():
        row, step = _waiting(execution, seq)
        now = clock.now()
        step.run_at = max(at, now)
        step.due = timers.sweep_time(step.run_at, now)
        limits = parse(step.options)
        closes = limits.closes_at(step.created_at)
        if closes is not None and step.run_at >= closes:
            raise Conflict(f"{_name(step)} has to end before {closes:%F %T} UTC: it cannot run at {step.run_at:%F %T}")
        if limits.schedule_to_start is not None:
            step.due = min(step.due, step.run_at + dt.timedelta(seconds=limits.schedule_to_start))
        _write(step, run_at=step.run_at, due=step.due)
        states.watch_canvas(step, step.due)
        transaction.on_commit(lambda: canvas.parallel(row.id, [step], now))


def settle(execution: uuid.UUID, seq: int, result: Any) -> None:
    """Have the waiting activity not run: `result` is what it has come to. Raises as `move` does."""
    with transaction.atomic():
        row, step = _waiting(execution, seq)
        now = clock.now()
        lease = now + dt.timedelta(seconds=settings.DURABLE_LEASE)
        watched = step.canvas is None or step.canvas == step.seq
        _write(
            step,
            status=StepStatus.COMPLETED,
            attempt=step.attempt + 1,  # made by whoever settles it; what was sent for an earlier one is too late
            started_at=now,
            output=payloads.encode(result, f"result of activity {step.name!r}"),
            failure="",
            completed_at=now,
            due=lease if watched else None,
        )
        states.watch_canvas(step, lease)
        transaction.on_commit(lambda: _go_on(row, step))


def _waiting(execution: uuid.UUID, seq: int) -> tuple[WorkflowExecution, ExecutionStep]:
    """The execution and its waiting step, under their locks."""
    row = states.lock(execution)
    if row is None:
        raise NotFound(f"there is no execution {execution}")
    if row.status != ExecutionStatus.RUNNING:
        raise Conflict(f"execution {execution} is {row.status}: nothing of it waits")
    if row.paused_at is not None:
        raise Conflict(f"execution {execution} is paused: resume it first")
    step = ExecutionStep.objects.select_for_update().filter(execution=row, seq=seq, kind=StepKind.ACTIVITY).first()
    if step is None:
        raise NotFound(f"execution {execution} has no activity #{seq}")
    if step.status != StepStatus.PENDING or step.due is None or step.run_at is None:
        raise Conflict(f"{_name(step)} of execution {execution} does not wait for a time: it is {step.status}")
    return row, step


def _write(step: ExecutionStep, **changes: Any) -> None:
    """Raises Conflict where a worker was quicker."""
    mine = ExecutionStep.objects.filter(id=step.id, status=StepStatus.PENDING, attempt=step.attempt)
    if not mine.update(**changes):
        raise Conflict(f"{_name(step)} has begun meanwhile")


def _go_on(row: WorkflowExecution, step: ExecutionStep) -> None:
    if step.canvas is None:
        canvas.visit([(row.id, None)], row.queue, priority=row.priority)
    else:
        canvas.join(row.id, step.canvas, row.queue)


def _name(step: ExecutionStep) -> str:
    return f"step #{step.seq} {step.name!r}"
