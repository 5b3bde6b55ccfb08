"""Executions that have not begun: planned again after they were cancelled, or given another version to run.

Both are decided by whoever plans them, and hold only while the execution is still in the state they were decided for:
a conditional UPDATE leaves alone what a worker has taken up meanwhile.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, F, Value, When

from automation import clock
from automation.durable import canvas, payloads, states
from automation.models import ExecutionStatus, WorkflowExecution

BATCH = 200


@dataclass(frozen=True)
class Revival:
    """A cancelled execution that is to run after all: when, which version, with which arguments."""

    execution_id: uuid.UUID
    scheduled_for: dt.datetime
    version_id: uuid.UUID
    args: tuple[Any, ...] = ()


def revive(revivals: Sequence[Revival]) -> int:
    """Make cancelled executions that never began pending again, in bulk. Returns how many were.

    Joins the caller's transaction; what is to run soon is published after its commit.
    """
    return sum(_revive(revivals[start : start + BATCH]) for start in range(0, len(revivals), BATCH))


def rebase(executions: models.QuerySet[WorkflowExecution], version_id: uuid.UUID, args: tuple[Any, ...]) -> int:
    """Have those of `executions` that have not begun run this version, with these arguments. Returns how many will."""
    return executions.filter(status=ExecutionStatus.PENDING, started_at__isnull=True).update(
        version_id=version_id, input=_encode(args)
    )


def _revive(revivals: Sequence[Revival]) -> int:
    now = clock.now()
    ids = [revival.execution_id for revival in revivals]
    rows = WorkflowExecution.objects.filter(id__in=ids, status=ExecutionStatus.CANCELLED, started_at__isnull=True)

    def each(field: str, values: Sequence[Any]) -> Case:
        output = WorkflowExecution._meta.get_field(field)
        return Case(
            *(When(id=id_, then=Value(value, output)) for id_, value in zip(ids, values, strict=True)),
            output_field=output,
        )

    with transaction.atomic():
        # In the order of their ids, as every bulk write of executions, so that two cannot wait for each other.
        found = list(rows.order_by("id").select_for_update().values_list("id", "queue", "priority"))
        WorkflowExecution.objects.filter(id__in=[id_ for id_, _, _ in found]).update(
            status=ExecutionStatus.PENDING,
            scheduled_for=each("scheduled_for", [revival.scheduled_for for revival in revivals]),
            due=each("due", [states.sweep_time(revival.scheduled_for, now) for revival in revivals]),
            version_id=each("version", [revival.version_id for revival in revivals]),
            input=each("input", [_encode(revival.args) for revival in revivals]),
            completed_at=None,
            error_message="",
            failure="",
            counted=False,
            epoch=F("epoch") + 1,
        )
    times = {revival.execution_id: revival.scheduled_for for revival in revivals}
    transaction.on_commit(lambda: _publish(found, times, now))
    return len(found)


def _publish(rows: Sequence[tuple[uuid.UUID, str, int]], times: dict[uuid.UUID, dt.datetime], now: dt.datetime) -> None:
    for id_, queue, priority in rows:
        wait = max(0.0, (times[id_] - now).total_seconds())
        if wait <= settings.DURABLE_COUNTDOWN_HORIZON:
            canvas.visit([(id_, None)], queue, countdown=wait or None, priority=priority)


def _encode(args: tuple[Any, ...]) -> str:
    return payloads.encode(list(args), "arguments of a planned workflow")
