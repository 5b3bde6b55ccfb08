"""What must hold between an execution's row and its steps, whatever happened."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from automation.models import (
    ENDED_STATUSES,
    ENDED_STEP_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    WorkflowExecution,
)

_WAITING = (ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
"""Not ended for good: their steps may wait."""


def assert_consistent(executions: Iterable[uuid.UUID] | None = None, *, swept: bool = True) -> None:
    """No row contradicts another. `swept`: what has ended had its steps' `due` cleared by a sweep since."""
    rows = WorkflowExecution.objects.all()
    if executions is not None:
        rows = rows.filter(id__in=list(executions))
    steps: dict[uuid.UUID, list[ExecutionStep]] = {}
    for step in ExecutionStep.objects.filter(execution__in=rows).order_by("execution_id", "seq"):
        steps.setdefault(step.execution_id, []).append(step)
    problems = [
        f"{row.definition} {row.id} ({row.status}): {problem}"
        for row in rows
        for problem in (*_of_execution(row, steps.get(row.id, []), swept), *_of_steps(row, steps.get(row.id, [])))
    ]
    assert not problems, "\n".join(problems)


def _of_execution(row: WorkflowExecution, steps: Sequence[ExecutionStep], swept: bool) -> Iterable[str]:
    over = row.status in ENDED_STATUSES and row.status not in _WAITING
    if over:
        if row.due is not None or row.worker:
            yield f"has ended, and is due {row.due}, held by {row.worker!r}"
        if row.completed_at is None:
            yield "has ended, and says not when"
        for step in steps:
            if step.status == StepStatus.PENDING:
                yield f"has ended, and {step} is pending"
            if step.status == StepStatus.RUNNING and not step.cancel_requested:
                yield f"has ended, and {step} runs on without having been asked to stop"
            if swept and step.due is not None:
                yield f"has ended, and {step} is due {step.due}"
    elif row.completed_at is not None and row.status not in _WAITING:
        yield f"is open, and completed at {row.completed_at}"
    if row.status == ExecutionStatus.COMPLETED and not row.result:
        yield "has completed without a result"
    if row.status == ExecutionStatus.FAILED and not row.failure:
        yield "has failed without a failure"
    going = row.status in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING) and row.paused_at is None
    waits = any(step.kind == StepKind.CHILD and step.status == StepStatus.PENDING for step in steps)
    if going and row.due is None and not waits and all(step.due is None for step in steps):
        yield "is open, and nothing of it is due: nobody will ever look at it"
    if row.status == ExecutionStatus.PENDING and any(step.seq > 0 for step in steps):
        yield "has not begun, and has steps"
    if row.status == ExecutionStatus.RUNNING and row.started_at is None:
        yield "runs, and says not since when"


def _of_steps(row: WorkflowExecution, steps: Sequence[ExecutionStep]) -> Iterable[str]:
    orders = sorted(step.resolved_seq for step in steps if step.resolved_seq)
    if orders != list(range(1, len(orders) + 1)):
        yield f"its outcomes were seen in the order {orders}"
    for step in steps:
        ended = step.status in ENDED_STEP_STATUSES
        if step.status == StepStatus.COMPLETED and step.kind == StepKind.ACTIVITY and not step.output:
            yield f"{step} has completed without an output"
        if step.status == StepStatus.COMPLETED and step.kind == StepKind.ACTIVITY and step.attempt < 1:
            yield f"{step} has completed without an attempt"
        if step.status in (StepStatus.FAILED, StepStatus.SKIPPED) and not step.failure:
            yield f"{step} is {step.status} without a failure"
        if ended and step.status != StepStatus.DEAD_LETTER and step.completed_at is None:
            yield f"{step} is {step.status} and says not since when"
        if not ended and step.completed_at is not None:
            yield f"{step} is {step.status} and completed at {step.completed_at}"
        if (step.status == StepStatus.RUNNING) != bool(step.worker) and not ended:
            yield f"{step} is {step.status}, held by {step.worker!r}"
        if step.resolved_seq and not ended and not row.reopened and step.canvas is None:
            yield f"{step} is {step.status}, and its outcome was seen"
    canvases = {step.canvas for step in steps if step.canvas is not None}
    for head in canvases:
        yield from _of_canvas([step for step in steps if step.canvas == head])


def _of_canvas(members: Sequence[ExecutionStep]) -> Iterable[str]:
    for step in members:
        before = [other for other in members if other.stage < step.stage]
        if step.attempt and any(other.status not in ENDED_STEP_STATUSES for other in before):
            yield f"{step} of stage {step.stage} was begun before {before} had ended"
