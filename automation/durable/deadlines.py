"""Execution and run timeouts: the sweep of executions that have taken too long, whatever they wait for."""

from __future__ import annotations

import datetime as dt
import logging
import uuid

from django.conf import settings
from django.db import transaction

from automation.durable import closing, failures, run_options, states, timers
from automation.durable.exceptions import TimeoutError, TimeoutType
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution

logger = logging.getLogger(__name__)

_LIMITED = (*OPEN_STATUSES, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)


def sweep(now: dt.datetime) -> int:
    """End the executions whose deadline has passed; returns how many."""
    total = 0
    for _ in range(timers.MAX_BATCHES):
        count = _sweep_batch(now)
        total += count
        if count < settings.DURABLE_SWEEP_BATCH:
            break
    return total


def _sweep_batch(now: dt.datetime) -> int:
    rows = WorkflowExecution.objects.filter(deadline__lte=now, namespace=settings.WORKFLOW_NAMESPACE).order_by(
        "deadline"
    )
    late = list(rows.values_list("id", flat=True)[: settings.DURABLE_SWEEP_BATCH])
    ended = 0
    for execution in late:
        try:
            ended += time_out(execution, now)
        except Exception:
            # This row's defect is not the others'; the next sweep tries again.
            logger.exception("execution %s cannot be timed out", execution)
    return ended


def time_out(execution: uuid.UUID, now: dt.datetime) -> bool:
    """End an execution that has taken too long; its code is not asked. False when it has ended, or has time left."""
    with transaction.atomic():
        row = states.lock(execution)
        if row is None or row.deadline is None or row.deadline > now:
            return False
        WorkflowExecution.objects.filter(id=row.id).update(deadline=None)
        if row.status not in _LIMITED:
            return False
        error = _error(row)
        closing.end(row, ExecutionStatus.TIMED_OUT, str(error), now, failures.encode(error))
    return True


def _error(row: WorkflowExecution) -> TimeoutError:
    options = run_options.parse(row.options)
    whole = options.closes_at is not None and row.deadline is not None and row.deadline.timestamp() >= options.closes_at
    limit, name = (options.execution_timeout, "execution") if whole else (options.run_timeout, "run")
    return TimeoutError(
        f"the workflow took longer than its {name} timeout of {limit or 0:g} s",
        type=TimeoutType.START_TO_CLOSE,
        last_heartbeat_details=(),
    )
