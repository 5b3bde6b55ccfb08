"""What the rows of some queues say can be done now, for a worker that no broker tells."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any

from django.db.models import Q

from automation.models import (
    ENDED_STEP_STATUSES,
    OPEN_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    WorkflowExecution,
)

BATCH = 10
"""Rows that are taken at once, at most: other threads want some, too."""

UNSEEN = dt.timedelta(seconds=0.5)
"""Whoever ends a step looks at what follows at once. An outcome that has been there for so long came from elsewhere: a
process that completed an activity from outside, or in which a child ended."""


def executions(queues: Collection[str], now: dt.datetime) -> list[tuple[uuid.UUID, int, str]]:
    """Executions that wait to be advanced: (id, epoch, queue)."""
    rows = WorkflowExecution.objects.filter(
        Q(started_at__isnull=False) | Q(scheduled_for=None) | Q(scheduled_for__lte=now),
        queue__in=queues,
        status__in=OPEN_STATUSES,
        paused_at=None,
        due__isnull=False,
        worker="",
    )
    return list(rows.order_by("due").values_list("id", "epoch", "queue")[:BATCH])


def timers(queues: Collection[str], now: dt.datetime) -> list[tuple[uuid.UUID, int, str]]:
    """Timers whose time has come: (execution, seq, queue)."""
    rows = _pending(now, StepKind.TIMER).filter(run_at__lte=now, execution__queue__in=queues)
    return list(rows.values_list("execution_id", "seq", "execution__queue")[:BATCH])


def steps(queues: Collection[str], now: dt.datetime) -> list[tuple[uuid.UUID, int, str]]:
    """Activities that can be claimed: (execution, seq, queue)."""
    rows = _pending(now, StepKind.ACTIVITY).filter(queue__in=queues)
    return list(rows.values_list("execution_id", "seq", "queue")[:BATCH])


def outcomes(queues: Collection[str], now: dt.datetime) -> list[tuple[uuid.UUID, int | None, str]]:
    """Outcomes that nobody has looked at: (execution, canvas, queue)."""
    rows = ExecutionStep.objects.filter(
        _GOING, status__in=ENDED_STEP_STATUSES, due__isnull=False, completed_at__lte=now - UNSEEN
    ).filter(execution__queue__in=queues, execution__worker="")
    return list(rows.order_by("due").values_list("execution_id", "canvas", "execution__queue")[:BATCH])


_GOING = Q(execution__status=ExecutionStatus.RUNNING, execution__paused_at=None)


def _pending(now: dt.datetime, kind: StepKind) -> Any:
    rows = ExecutionStep.objects.filter(
        _GOING, Q(run_at=None) | Q(run_at__lte=now), kind=kind, status=StepStatus.PENDING, due__isnull=False
    )
    return rows.order_by("due")
