"""What people and programs do to executions from outside. Each raises `Conflict` when the state does not allow it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from automation import clock
from automation.durable import canvas, closing, inbox, options, payloads, states, texts, timers
from automation.errors import Conflict, NotFound
from automation.models import (
    OPEN_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    WorkflowExecution,
)

RETRIED = (StepKind.ACTIVITY, StepKind.LOCAL_ACTIVITY, StepKind.CHILD)
"""Whose failure a retry can mend."""

UNSUCCESSFUL = (StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.SKIPPED, StepStatus.DEAD_LETTER)


def cancel(execution: uuid.UUID, reason: str = "") -> int | None:
    """Ask an execution to end: its code gets a CancelledError and may clean up. One that has not begun ends at once.
    Returns the seq of the request, None where it has ended."""
    now = clock.now()
    with transaction.atomic():
        row = _locked(execution)
        if row.status == ExecutionStatus.PENDING and row.started_at is None:
            closing.end(row, ExecutionStatus.CANCELLED, reason, now)
            return None
        if row.status in (ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER):
            closing.end(row, ExecutionStatus.CANCELLED, reason, now)  # its code cannot be asked
            return None
        if row.status not in OPEN_STATUSES:
            raise Conflict(f"execution {execution} has ended already ({row.status}); it cannot be cancelled")
        return deliver(row, StepKind.CANCEL, "cancel", payloads.encode({"reason": reason}), now)


def terminate(execution: uuid.UUID, reason: str = "") -> None:
    """End an execution at once; its code is not asked."""
    with transaction.atomic():
        row = _locked(execution)
        if row.status not in (*OPEN_STATUSES, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER):
            raise Conflict(f"execution {execution} has ended already ({row.status}); it cannot be terminated")
        closing.end(row, ExecutionStatus.TERMINATED, reason, clock.now())


def pause(execution: uuid.UUID) -> None:
    """Start nothing new; what runs finishes. Timers that come due fire on resume."""
    with transaction.atomic():
        row = _locked(execution)
        if row.status not in OPEN_STATUSES:
            raise Conflict(f"execution {execution} has ended ({row.status}); it cannot be paused")
        if row.paused_at is not None:
            raise Conflict(f"execution {execution} is paused already")
        # The new epoch keeps the visit that carries it from writing a further step.
        WorkflowExecution.objects.filter(id=row.id).update(
            paused_at=clock.now(), epoch=F("epoch") + 1, due=None, worker=""
        )


def resume(execution: uuid.UUID) -> None:
    """Let a paused execution go on."""
    now = clock.now()
    with transaction.atomic():
        row = _locked(execution)
        if row.paused_at is None:
            raise Conflict(f"execution {execution} is not paused")
        row.paused_at = None
        _set_going(row, now, status=row.status)


def retry(execution: uuid.UUID) -> None:
    """Run a failed execution again from its failed steps; what succeeded is kept."""
    now = clock.now()
    with transaction.atomic():
        row = _locked(execution)
        if row.status == ExecutionStatus.PARKED:
            _set_going(row, now)
            return
        if row.status not in (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT):
            raise Conflict(f"execution {execution} is {row.status}; only a failed or parked one can be retried")
        _check_id_is_free(row)
        asked_for = ExecutionStep.objects.filter(execution=row, seq__gt=0)
        failed = asked_for.filter(status=StepStatus.FAILED).exclude(output__startswith=options.AGAIN)
        if not failed.filter(kind__in=RETRIED).exists():
            raise Conflict(f"execution {execution} has no failed step to go on from; start it anew")
        cut_off = Q(status=StepStatus.CANCELLED, resolved_seq=None)  # by the end, not by the code
        failed.filter(kind=StepKind.LOCAL_ACTIVITY).delete()  # the code asks again, and the visit runs it
        unfinished = asked_for.filter(cut_off | Q(status__in=(StepStatus.FAILED, StepStatus.SKIPPED)))
        _make_ready(row, unfinished.exclude(kind=StepKind.LOCAL_ACTIVITY), now)
        asked_for.filter(status=StepStatus.RUNNING).update(cancel_requested=False, due=now)
        row.reopened += 1
        _set_going(row, now)


def redrive(execution: uuid.UUID) -> None:
    """Bring a dead letter back into the game."""
    now = clock.now()
    with transaction.atomic():
        row = _locked(execution)
        if row.status != ExecutionStatus.DEAD_LETTER:
            raise Conflict(f"execution {execution} is {row.status}; only a dead letter can be re-driven")
        _make_ready(row, ExecutionStep.objects.filter(execution=row, status=StepStatus.DEAD_LETTER), now)
        _set_going(row, now)


def cancel_planned(executions: QuerySet[WorkflowExecution], reason: str) -> int:
    """Cancel those of `executions` that have not begun, in one statement; returns how many."""
    return executions.filter(status=ExecutionStatus.PENDING, started_at=None).update(
        status=ExecutionStatus.CANCELLED,
        error_message=texts.shown(reason),
        completed_at=clock.now(),
        due=None,
        epoch=F("epoch") + 1,
    )


def move_planned(moves: Sequence[tuple[uuid.UUID, dt.datetime, int]]) -> int:
    """Move executions that have not begun: (id, new time, new booking sequence); returns how many were moved."""
    now = clock.now()
    targets = {id_: (at, sequence) for id_, at, sequence in moves}
    with transaction.atomic():
        rows = list(
            WorkflowExecution.objects.select_for_update()
            .filter(id__in=targets, status=ExecutionStatus.PENDING, started_at=None)
            .order_by("id")
        )
        for row in rows:
            row.scheduled_for, row.booking_sequence = targets[row.id]
            row.due = timers.sweep_time(row.scheduled_for, now)
            row.epoch += 1  # a message that was sent for the old time does nothing
        WorkflowExecution.objects.bulk_update(
            rows, ["scheduled_for", "booking_sequence", "due", "epoch"], batch_size=500
        )
        _send_soon(rows, now)
    return len(rows)


def revive_planned(moves: Sequence[tuple[uuid.UUID, dt.datetime, uuid.UUID | None]]) -> int:
    """Plan executions again that were cancelled before they began: (id, time, version); returns how many."""
    now = clock.now()
    targets = {id_: (at, version) for id_, at, version in moves}
    with transaction.atomic():
        rows = list(
            WorkflowExecution.objects.select_for_update()
            .filter(id__in=targets, status=ExecutionStatus.CANCELLED, started_at=None)
            .order_by("id")
        )
        for row in rows:
            row.scheduled_for, version = targets[row.id]
            row.version_id = version or row.version_id
            row.due = timers.sweep_time(row.scheduled_for, now)
            row.status, row.error_message, row.completed_at, row.counted = ExecutionStatus.PENDING, "", None, False
            row.epoch += 1
        WorkflowExecution.objects.bulk_update(
            rows,
            ["scheduled_for", "version", "due", "status", "error_message", "completed_at", "counted", "epoch"],
            batch_size=500,
        )
        _send_soon(rows, now)
    return len(rows)


def rebase_planned(executions: QuerySet[WorkflowExecution], version: uuid.UUID, args: tuple[Any, ...]) -> int:
    """Have those of `executions` that have not begun run this version, with these arguments; returns how many will."""
    return executions.filter(status=ExecutionStatus.PENDING, started_at=None).update(
        version_id=version, input=payloads.encode(list(args), "arguments of a planned workflow")
    )


def deliver(row: WorkflowExecution, kind: str, name: str, text: str, now: dt.datetime) -> int:
    """Put a message from outside into an execution's inbox, under its lock, and wake it; returns the message's seq."""
    return inbox.put(row, kind, name, text, now)


def _locked(execution: uuid.UUID) -> WorkflowExecution:
    row = states.lock(execution)
    if row is None:
        raise NotFound(f"there is no execution {execution}")
    return row


def _check_id_is_free(row: WorkflowExecution) -> None:
    """Another execution may have been started under the same id since, or follow on this one."""
    same = WorkflowExecution.objects.filter(namespace=row.namespace, business_id=row.workflow_id_of_caller)
    other = same.filter(status__in=OPEN_STATUSES).exclude(id=row.id).first()
    if other is not None:
        raise Conflict(f"workflow id {row.workflow_id_of_caller!r} is in use by execution {other.id}, which is open")


def _make_ready(row: WorkflowExecution, steps: QuerySet[ExecutionStep], now: dt.datetime) -> None:
    """Give steps that ended badly another chance. They keep their place in the order of outcomes, so that the replay
    waits for them there. Of a canvas the first unfinished stage is made ready; the rest follows by itself."""
    first_stage: dict[int, int] = {}
    rows = list(steps.order_by("seq"))
    for step in rows:
        if step.canvas is not None:
            first_stage[step.canvas] = min(first_stage.get(step.canvas, step.stage), step.stage)
    for step in rows:
        ready = step.canvas is None or step.stage == first_stage[step.canvas]
        step.status, step.failure, step.output, step.attempt = StepStatus.PENDING, "", "", step.attempt
        step.recoveries, step.worker, step.completed_at, step.cancel_requested = 0, "", None, False
        step.created_at = now  # schedule_to_close begins anew
        step.run_at = step.run_at if step.kind == StepKind.TIMER else None
        step.due = (step.run_at or now) if ready else None
    ExecutionStep.objects.bulk_update(
        rows,
        [
            *("status", "failure", "output", "recoveries", "worker", "completed_at"),
            *("cancel_requested", "run_at", "created_at", "due"),
        ],
    )
    # The first member watches over its canvas again.
    ExecutionStep.objects.filter(execution=row, seq__in=first_stage, due=None).update(due=now)


def _set_going(row: WorkflowExecution, now: dt.datetime, status: str = ExecutionStatus.RUNNING) -> None:
    if row.started_at is None:
        status = ExecutionStatus.PENDING
    due = timers.sweep_time(row.scheduled_for, now) if row.started_at is None else now
    WorkflowExecution.objects.filter(id=row.id).update(
        status=status,
        paused_at=None,
        reopened=row.reopened,
        recoveries=0,
        worker="",
        error_message="",
        failure="",
        completed_at=None,
        counted=False,
        due=due,
        epoch=F("epoch") + 1,
    )
    unfinished = ExecutionStep.objects.filter(execution=row, status__in=states.UNFINISHED, due__isnull=False)
    unfinished.update(due=now)
    unfinished.filter(run_at__gt=now).update(due=F("run_at"))
    states.close_alerts(row.id, now)
    row.epoch += 1
    row.due = due
    transaction.on_commit(lambda: _go_on(row))


def _go_on(row: WorkflowExecution) -> None:
    """Wake it, and send the steps that are ready: nothing waits for the next sweep."""
    now = clock.now()
    if row.started_at is not None or row.scheduled_for is None or row.scheduled_for <= now:
        canvas.visit([(row.id, row.epoch)], row.queue, priority=row.priority)
    ready = ExecutionStep.objects.filter(
        execution_id=row.id, kind=StepKind.ACTIVITY, status=StepStatus.PENDING, due__lte=now
    )
    canvas.parallel(row.id, list(ready), now)
    # A stage that came to its end while nothing new might start.
    heads = ExecutionStep.objects.filter(
        execution_id=row.id, status=StepStatus.PENDING, canvas__isnull=False, due=None
    ).values_list("canvas", flat=True)
    for head in {head for head in heads if head is not None}:
        canvas.join(row.id, head, row.queue)


def _send_soon(rows: Sequence[WorkflowExecution], now: dt.datetime) -> None:
    """Publish after commit what is to run within the horizon."""
    horizon = now + dt.timedelta(seconds=settings.DURABLE_COUNTDOWN_HORIZON)
    soon = [row for row in rows if row.scheduled_for is None or row.scheduled_for <= horizon]

    def publish() -> None:
        for row in soon:
            wait = (row.scheduled_for - now).total_seconds() if row.scheduled_for is not None else 0.0
            canvas.visit([(row.id, row.epoch)], row.queue, countdown=max(0.0, wait) or None, priority=row.priority)

    transaction.on_commit(publish)
