"""Updates, on the asker's side: put one into an execution's inbox, and look what it has come to."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass

from django.db import transaction

from automation import clock
from automation.durable import continuing, failures, inbox, states
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStep, StepKind, StepStatus, WorkflowExecution


class UpdateStage(enum.IntEnum):
    """How far an update has come; the names are the SDK's."""

    ADMITTED = 1
    ACCEPTED = 2
    COMPLETED = 3


@dataclass(frozen=True)
class UpdateState:
    """What an update has come to: at COMPLETED it has an `output` (encoded) or an `error`. `refused`: its validator, or
    the lack of a handler, kept it out of the history."""

    stage: UpdateStage
    output: str = ""
    error: BaseException | None = None
    refused: bool = False


def put(execution: uuid.UUID, name: str, text: str, update_id: str, *, is_new: bool = False) -> int:
    """Put an update into an execution's inbox; returns its seq. One with an id that is there already is that one.
    `is_new`: the id was made just now, so that none of the messages there (which may be thousands) can have it.

    Raises NotFound, and Conflict when the execution has ended.
    """
    with transaction.atomic():
        row = states.lock(execution)
        if row is None:
            raise NotFound(f"there is no execution {execution}")
        there = None if is_new else find(execution, update_id)
        if there is not None and there.name != name:
            raise Conflict(f"the update id {update_id!r} was used for {there.name!r} already; take another one")
        if there is not None and not _is_refused(there):
            return there.seq
        if row.status not in inbox.RECEIVING:
            raise Conflict(f"execution {execution} has ended already ({row.status}); it takes no updates")
        if there is not None:
            there.delete()  # nobody fetched its refusal; it may be asked anew
        return inbox.put(row, StepKind.UPDATE, name, text, clock.now(), update_id=update_id)


def find(execution: uuid.UUID, update_id: str) -> ExecutionStep | None:
    """The row of an update by its id."""
    written = [inbox.options(early=early, update_id=update_id) for early in (False, True)]
    steps = ExecutionStep.objects.filter(execution_id=execution, kind=StepKind.UPDATE, seq__lt=0, options__in=written)
    return steps.order_by("seq").first()


def look(execution: uuid.UUID, seq: int, update_id: str = "") -> UpdateState:
    """How far an update has come; with its id also one that has moved on to the next run. A refusal is told once: its
    row, which is no part of the history, goes with it.

    Raises NotFound for an update that there is not (any more).
    """
    steps = ExecutionStep.objects.filter(kind=StepKind.UPDATE).only(
        "execution_id", "status", "output", "failure", "resolved_seq"
    )
    step = steps.filter(execution_id=execution, seq=seq).first()
    if step is None and update_id:
        step = _moved(execution, update_id)
    if step is None:
        raise NotFound(f"execution {execution} has no such update; one that was refused is told of once")
    if _is_refused(step):
        step.delete()
        return UpdateState(UpdateStage.COMPLETED, error=failures.decode(step.failure), refused=True)
    match step.status:
        case StepStatus.COMPLETED:
            return UpdateState(UpdateStage.COMPLETED, output=step.output)
        case StepStatus.FAILED:
            return UpdateState(UpdateStage.COMPLETED, error=failures.decode(step.failure))
        case StepStatus.CANCELLED:
            return UpdateState(UpdateStage.COMPLETED, error=_cut_off(step))
    return UpdateState(UpdateStage.ADMITTED if step.resolved_seq is None else UpdateStage.ACCEPTED)


def _moved(execution: uuid.UUID, update_id: str) -> ExecutionStep | None:
    """An update that a run was not told before it continued as new."""
    run = WorkflowExecution.objects.filter(id=execution).first()
    while run is not None and (run := continuing.next_run(run)) is not None:
        if (step := find(run.id, update_id)) is not None:
            return step
    return None


def _is_refused(step: ExecutionStep) -> bool:
    return step.status == StepStatus.FAILED and step.resolved_seq == 0


def _cut_off(step: ExecutionStep) -> BaseException:
    if step.failure:
        return failures.decode(step.failure)
    execution = step.execution_id
    status = WorkflowExecution.objects.values_list("status", flat=True).get(id=execution)
    return Conflict(f"execution {execution} has ended ({status}) before it took the update")
