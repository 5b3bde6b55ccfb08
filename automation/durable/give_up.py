"""Steps that may have taken effect, and have no attempt left to find out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection

from django.db.models import F, QuerySet

from automation.durable import failures, options, registry
from automation.durable.exceptions import ApplicationError, RetryState
from automation.models import ExecutionStep, StepStatus

OUTCOME_LOST = "OutcomeLost"


def what_may_have_happened(
    steps: QuerySet[ExecutionStep], begun: Collection[tuple[uuid.UUID, int]], now: dt.datetime
) -> None:
    """Sort out running steps that a worker gives back because the database failed it.

    One whose activity had begun and that has no attempt left ends as failed: nobody knows whether it took effect. One
    whose activity had not begun has not used its attempt up. A transactional one that is still running had its writes
    rolled back. The others are left to the caller.
    """
    for step in list(steps):
        limit = options.parse(step.options).retry
        same = ExecutionStep.objects.filter(id=step.id, status=StepStatus.RUNNING, attempt=step.attempt)
        if (step.execution_id, step.seq) not in begun:
            same.update(attempt=F("attempt") - 1)
        elif limit is not None and limit.maximum_attempts and step.attempt >= limit.maximum_attempts:
            definition = registry.find_activity(step.name)
            if definition is not None and definition.transactional:
                continue
            error = ApplicationError(
                f"attempt {step.attempt} of {limit.maximum_attempts} ran, and its outcome was lost, because the "
                "database did not take it; whether it took effect is not known, and no attempt is left",
                type=OUTCOME_LOST,
                non_retryable=True,
            )
            same.update(
                status=StepStatus.FAILED,
                output=RetryState.MAXIMUM_ATTEMPTS_REACHED.name,
                failure=failures.encode(error),
                completed_at=now,
                worker="",
                due=now if step.canvas is None or step.canvas == step.seq else None,
            )
