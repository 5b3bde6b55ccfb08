"""Executions that other executions have started: how one begins, how its end reaches the parent, and what the parent's
end means for it.

A child is a row of its own and a step of its parent: kind `child`, pending while the child is under way. The child is
inserted in the transaction that appends the step. An execution that has to tell its parent, or its children, of its end
keeps a `due` after it, until that has been done; a sweep finds it there, should the process die in between. Nothing
here holds the locks of two executions at once.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from automation import clock
from automation.durable import canvas, deliveries, failures, id_policies, inbox, payloads, run_options, starts
from automation.durable.exceptions import CancelledError, TerminatedError, WorkflowAlreadyStartedError
from automation.durable.outcomes import Fed
from automation.durable.records import Decision, ExecutionRecord, NewStep
from automation.models import ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution

if TYPE_CHECKING:
    from automation.durable.replay import Run

OPEN = (ExecutionStatus.PENDING, ExecutionStatus.RUNNING, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
"""A child in one of these may still go on; its parent waits."""

PARENT_CLOSED = "the parent has ended"

_OUTCOMES = {
    ExecutionStatus.COMPLETED: StepStatus.COMPLETED,
    ExecutionStatus.CANCELLED: StepStatus.CANCELLED,
}


@dataclass(frozen=True)
class ChildOptions:
    """What the row of a child's step says. run: the id of the child's first run. awaits_start: the code waits
    for the answer whether it could start."""

    id: str
    run: uuid.UUID
    cancellation: str
    close: str
    awaits_start: bool = False

    def dump(self) -> str:
        return payloads.encode_plain(self, "options")


def parse(text: str) -> ChildOptions:
    options: ChildOptions = payloads.decode(text, ChildOptions)
    return options


def start(parent: ExecutionRecord, steps: Sequence[NewStep], now: dt.datetime) -> None:
    """Write the children that these steps ask for, in the transaction that writes the steps. Where the id is taken, the
    step has failed."""
    certain: list[starts.NewExecution] = []
    for step in steps:
        if step.child is None:
            continue
        if step.child.id_is_ours:
            certain.append(step.child)
            continue
        try:
            id_policies.admit(step.child, now)
        except WorkflowAlreadyStartedError as error:
            _not_started(parent.id, step, error, now)
        else:
            certain.append(step.child)
    if certain:
        starts.insert(certain, now)


def _not_started(parent: uuid.UUID, step: NewStep, error: WorkflowAlreadyStartedError, now: dt.datetime) -> None:
    step.status, step.failure = str(StepStatus.FAILED), failures.encode(error)
    at_once = parse(step.options).awaits_start
    ExecutionStep.objects.filter(execution_id=parent, seq=step.seq).update(
        status=StepStatus.FAILED,
        failure=step.failure,
        completed_at=now,
        # The code that waits for the start gets its answer right there; otherwise it is an outcome like any other.
        resolved_seq=0 if at_once else None,
        due=None if at_once else now,
    )


def report(child: WorkflowExecution) -> bool:
    """Settle the parent's step with how the child has ended; False when it is settled, or nobody waits."""
    if child.parent_id is None or child.parent_seq is None:
        return False
    now = clock.now()
    status = _OUTCOMES.get(ExecutionStatus(child.status), StepStatus.FAILED)
    waiting = ExecutionStep.objects.filter(
        execution_id=child.parent_id, seq=child.parent_seq, kind=StepKind.CHILD, status=StepStatus.PENDING
    )
    changed = waiting.update(
        status=status,
        output=child.result if status == StepStatus.COMPLETED else "",
        failure="" if status == StepStatus.COMPLETED else failure_of(child),
        completed_at=now,
        due=now + dt.timedelta(seconds=settings.DURABLE_LEASE),
    )
    if not changed:
        return False
    parent = WorkflowExecution.objects.only("queue", "priority").get(id=child.parent_id)
    transaction.on_commit(lambda: canvas.visit([(parent.id, None)], parent.queue, priority=parent.priority))
    return True


def failure_of(row: WorkflowExecution) -> str:
    """Why an execution that has ended did not complete, as a failure in a row."""
    match row.status:
        case ExecutionStatus.CANCELLED:
            return failures.encode(CancelledError(row.error_message or "Cancelled"))
        case ExecutionStatus.TERMINATED:
            return failures.encode(TerminatedError(row.error_message or "Terminated"))
    return row.failure


def close(parent: uuid.UUID) -> None:
    """Do to the children of an execution that has ended what their close policy says."""
    from automation.durable import control

    rows = WorkflowExecution.objects.filter(parent_id=parent, status__in=OPEN)
    told: set[uuid.UUID] = set()
    # A child that has continued as new meanwhile is another row, which a second look finds.
    while left := list(rows.exclude(id__in=told).order_by("id").values_list("id", "options")):
        told.update(id_ for id_, _ in left)
        for id_, options in left:
            match run_options.parse(options).parent_close:
                case "TERMINATE":
                    with deliveries.unless_ended():
                        control.terminate(id_, PARENT_CLOSED)
                case "REQUEST_CANCEL":
                    with deliveries.unless_ended():
                        deliveries.cancel(id_, PARENT_CLOSED, f"{parent}:close")


def see_to(parent: uuid.UUID, seq: int) -> bool:
    """Look after the step of a child: deliver what it is asked, or report how it ended. Returns whether the parent has
    something to be fed."""
    now = clock.now()
    waiting = ExecutionStep.objects.filter(execution_id=parent, seq=seq, kind=StepKind.CHILD, due__isnull=False)
    step = waiting.first()
    if step is None:
        return False
    if step.status != StepStatus.PENDING:
        return True
    child = _runs(parent, seq).first()
    if child is not None and child.status not in OPEN:
        if child.completed_at is not None and child.completed_at < step.created_at:
            # Its parent is being retried: the step is younger than the end of the child.
            with transaction.atomic():
                if waiting.filter(status=StepStatus.PENDING).update(due=None):
                    [again] = starts.insert([starts.again(child)], now)
                    inbox.tell_again(child.id, again)  # what the parent has sent it, it does not send again
            return False
        return report(child)
    if child is not None and step.cancel_requested:
        key = f"{parent}:{seq}:cancel"
        with deliveries.unless_ended():
            deliveries.reach(
                partial(_latest, parent, seq), lambda run: deliveries.cancel(run.id, "the parent asked for it", key)
            )
    waiting.filter(status=StepStatus.PENDING).update(due=None)
    return False


def _runs(parent: uuid.UUID, seq: int) -> QuerySet[WorkflowExecution]:
    """The runs of the child of a step, the latest first."""
    return WorkflowExecution.objects.filter(parent_id=parent, parent_seq=seq).order_by("-created_at", "-id")


def _latest(parent: uuid.UUID, seq: int) -> WorkflowExecution:
    return _runs(parent, seq)[0]


def answer(run: Run, decision: Decision) -> list[tuple[int, int]]:
    """Tell the code which children have started, now that they are written; returns what was seen."""
    seen: list[tuple[int, int]] = []
    written = {step.seq: step for step in decision.new}
    while run.at_once and (step := written.get(run.at_once[0])) is not None:
        seen += run.answer(Fed(step.seq, step.name, step.status, "", step.failure, ""), None)
    return seen


def request_cancel(execution: uuid.UUID, seqs: Sequence[int], now: dt.datetime) -> None:
    """Note in the parent's step that its child is to be cancelled; `see_to` delivers it. Where the parent ends in the
    same breath, its end does."""
    waiting = ExecutionStep.objects.filter(execution_id=execution, seq__in=seqs, kind=StepKind.CHILD)
    if waiting.filter(status=StepStatus.PENDING).update(cancel_requested=True, due=now) == len(seqs):
        return
    for child in WorkflowExecution.objects.filter(parent_id=execution, parent_seq__in=seqs, status__in=OPEN):
        options = run_options.parse(child.options)
        if options.parent_close == "ABANDON":
            text = replace(options, parent_close="REQUEST_CANCEL").dump()
            WorkflowExecution.objects.filter(id=child.id).update(options=text)
