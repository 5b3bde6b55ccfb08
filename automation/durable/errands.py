"""What a visit sees to after its commit: steps whose work is a message to another execution, and cancellations that
are waited for. Each is a row that is due, so that a sweep has it seen to where this visit does not get there."""

from __future__ import annotations

import datetime as dt
import uuid

from django.conf import settings

from automation.durable import children, external
from automation.durable.records import StepRecord
from automation.models import ExecutionStep, StepKind, StepStatus

_PENDING = str(StepStatus.PENDING)


def is_left(step: StepRecord) -> bool:
    """Whether a step of the kinds CHILD and EXTERNAL waits to be seen to."""
    return step.status == _PENDING and step.due is not None


def run(execution: uuid.UUID, seq: int) -> bool:
    """See to one step; returns whether its execution has something to be fed."""
    kind = ExecutionStep.objects.filter(execution_id=execution, seq=seq).values_list("kind", flat=True).first()
    match kind:
        case StepKind.CHILD:
            return children.see_to(execution, seq)
        case StepKind.EXTERNAL:
            return external.see_to(execution, seq)
    return ExecutionStep.objects.filter(
        execution_id=execution, seq=seq, status=StepStatus.CANCELLED, resolved_seq=None
    ).exists()


def request_cancel(execution: uuid.UUID, seq: int, now: dt.datetime) -> None:
    """Ask a step to stop, with an outcome that the code waits for; in the transaction of the decision."""
    steps = ExecutionStep.objects.filter(execution_id=execution, seq=seq)
    steps.filter(status=StepStatus.RUNNING).update(cancel_requested=True)
    steps.filter(status=StepStatus.PENDING).update(
        status=StepStatus.CANCELLED,
        cancel_requested=True,
        completed_at=now,
        due=now + dt.timedelta(seconds=settings.DURABLE_LEASE),
    )
