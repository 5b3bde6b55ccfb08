"""Statistics of workflows and actions, counted in batches from the runs that have ended.

A run is counted once: its row is marked in the transaction that adds it. So a busy workflow's row is written once a
minute and not once a run, and a run may be deleted once it is marked.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from automation.models import (
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)
from automation.models.statistics import ExecutionStatistics

BATCH = 1000
"""Runs counted in one transaction."""
MAX_BATCHES = 100
"""Batches of one call; the next call goes on."""

FAILURES = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
COUNTED = (ExecutionStatus.COMPLETED, *FAILURES)
"""A run that was cancelled, terminated or continued says nothing about how well its workflow works."""


@dataclass
class _Tally:
    good: int = 0
    bad: int = 0
    last: datetime | None = None

    def add(self, good: bool, at: datetime | None) -> None:
        if good:
            self.good += 1
        else:
            self.bad += 1
        if at is not None and (self.last is None or at > self.last):
            self.last = at


def uncounted() -> QuerySet[WorkflowExecution]:
    """Runs of organizers' workflows that have ended and are not in the statistics."""
    return WorkflowExecution.objects.filter(workflow__isnull=False, completed_at__isnull=False, counted=False)


def roll_up() -> int:
    """Count what has ended since the last time; returns how many runs."""
    total = 0
    for _ in range(MAX_BATCHES):
        with transaction.atomic():
            count = count_locked(uncounted().order_by("completed_at")[:BATCH])
        total += count
        if count < BATCH:
            break
    return total


def count_locked(runs: QuerySet[WorkflowExecution]) -> int:
    """Count and mark these runs, inside the caller's transaction; those that another process counts are left out."""
    rows = list(
        runs.select_for_update(skip_locked=True).only(
            "id", "workflow_id", "status", "completed_at", "started_at", "reopened"
        )
    )
    if not rows:
        return 0
    workflows: dict[uuid.UUID, _Tally] = defaultdict(_Tally)
    for row in rows:
        if row.status in COUNTED and row.workflow_id is not None:
            workflows[row.workflow_id].add(row.status == ExecutionStatus.COMPLETED, row.completed_at)
    _add(Workflow, workflows)
    _add(WorkflowAction, _actions(rows))
    WorkflowExecution.objects.filter(id__in=[row.id for row in rows]).update(counted=True)
    return len(rows)


def _actions(rows: Iterable[WorkflowExecution]) -> dict[uuid.UUID, _Tally]:
    by_id = {row.id: row for row in rows}
    tallies: dict[uuid.UUID, _Tally] = defaultdict(_Tally)
    steps = ExecutionStep.objects.filter(
        execution_id__in=by_id,
        kind=StepKind.ACTIVITY,
        status__in=(StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.DEAD_LETTER),
    ).values_list("execution_id", "status", "input", "output", "created_at", "completed_at")
    for execution_id, status, arguments, output, created_at, completed_at in steps.iterator():
        row = by_id[execution_id]
        if row.reopened and row.started_at is not None and created_at <= row.started_at:
            continue  # counted when this run ended for the first time; what was made ready again begins later
        action = action_id(arguments)
        if action is not None and not (status == StepStatus.COMPLETED and _was_skipped(output)):
            tallies[action].add(status == StepStatus.COMPLETED, completed_at)
    return tallies


def action_id(arguments: str) -> uuid.UUID | None:
    """The action in an activity's arguments, `[{"action_id": "…"}]`; None for an activity that is no action."""
    try:
        return uuid.UUID(json.loads(arguments)[0]["action_id"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _was_skipped(output: str) -> bool:
    """An action whose conditions did not hold has not run."""
    try:
        return json.loads(output)["status"] in ("skipped", "skipped_conditions")
    except (ValueError, LookupError, TypeError):
        return False


def _add(model: type[ExecutionStatistics], tallies: dict[uuid.UUID, _Tally]) -> None:
    for pk, tally in sorted(tallies.items()):  # in one order everywhere, against deadlocks
        changes: dict[str, Any] = {
            "total_executions": F("total_executions") + tally.good + tally.bad,
            "successful_executions": F("successful_executions") + tally.good,
            "failed_executions": F("failed_executions") + tally.bad,
        }
        rows = model._default_manager.filter(pk=pk)
        if tally.last is not None:
            rows.filter(last_executed_at=None).update(last_executed_at=tally.last)
            changes["last_executed_at"] = Greatest("last_executed_at", tally.last)
        rows.update(**changes)
