"""Rolling runs up into the statistics of workflows and actions, in batches, each run once."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from automation.models import ExecutionStatus, ExecutionStep, Workflow, WorkflowAction, WorkflowExecution
from automation.services import locks, outcomes, trends

TASK = "roll_up_statistics"
BATCH = 500
BATCHES_PER_RUN = 40

_COUNTERS = ("total_executions", "successful_executions", "failed_executions", "last_executed_at")
_FAILED = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
_COUNTED = (ExecutionStatus.COMPLETED, *_FAILED)
"""What was cancelled or terminated by somebody is neither a success nor a failure."""


@dataclass
class _Tally:
    succeeded: int = 0
    failed: int = 0
    last: dt.datetime | None = None

    def add(self, *, success: bool, at: dt.datetime) -> None:
        if success:
            self.succeeded += 1
        else:
            self.failed += 1
        self.last = at if self.last is None else max(self.last, at)


def roll_up(batch: int = BATCH) -> int:
    """Count up to `batch` ended runs that were not counted yet; returns how many were.

    A run and its counting commit together, so it counts once, however many roll-ups run. A run that is retried counts
    again when it ends again. Skipped actions are no runs of theirs.
    """
    uncounted = WorkflowExecution.objects.filter(
        counted=False, completed_at__isnull=False, workflow__isnull=False
    ).order_by("completed_at")
    with transaction.atomic():
        found = dict(uncounted.values_list("pk", "workflow_id")[:batch])
        # Workflows before executions, as everybody who plans; then nobody waits for anybody in a circle.
        workflows = _locked(Workflow, set(found.values()))
        rows = list(
            locks.free(
                WorkflowExecution.objects.filter(pk__in=found, counted=False).only(
                    *("pk", "workflow_id", "status", "started_at", "completed_at"),
                    *("actions_executed", "actions_failed"),
                )
            )
        )
        if not rows:
            return 0
        runs: dict[UUID, _Tally] = defaultdict(_Tally)
        for row in rows:
            if row.status in _COUNTED and row.workflow_id is not None and row.completed_at is not None:
                runs[row.workflow_id].add(success=row.status not in _FAILED, at=row.completed_at)
        actions = _tally_actions([row.pk for row in rows if row.status in _COUNTED])
        _add(Workflow, workflows, runs)
        trends.add(rows)  # under the workflows' locks: nobody else adds to the same days
        _add(WorkflowAction, _locked(WorkflowAction, set(actions)), actions)
        WorkflowExecution.objects.filter(pk__in=[row.pk for row in rows]).update(counted=True)
    return len(rows)


def roll_up_all(batch: int = BATCH) -> int:
    """Roll up what there is, up to a bound; the next tick goes on."""
    total = 0
    for _ in range(BATCHES_PER_RUN):
        count = roll_up(batch)
        total += count
        if count < batch:
            break
    return total


def _tally_actions(execution_ids: Collection[UUID]) -> dict[UUID, _Tally]:
    tallies: dict[UUID, _Tally] = defaultdict(_Tally)
    steps = ExecutionStep.objects.filter(execution_id__in=execution_ids, kind__in=outcomes.ACTION_KINDS)
    for step in steps.only("status", "input", "output", "completed_at").iterator(chunk_size=1_000):
        action_id, status = outcomes.action_id_of(step), outcomes.status_of(step)
        if action_id and step.completed_at is not None and status in (outcomes.SUCCESS, outcomes.FAILED):
            tallies[UUID(action_id)].add(success=status == outcomes.SUCCESS, at=step.completed_at)
    return tallies


def _locked(model: type[Workflow] | type[WorkflowAction], ids: Collection[UUID]) -> list[Workflow | WorkflowAction]:
    rows = model._base_manager.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    return list(rows.only("pk", *_COUNTERS))


def _add(
    model: type[Workflow] | type[WorkflowAction],
    rows: Collection[Workflow | WorkflowAction],
    tallies: dict[UUID, _Tally],
) -> None:
    changed = [row for row in rows if row.pk in tallies]
    for row in changed:
        tally = tallies[row.pk]
        row.total_executions += tally.succeeded + tally.failed
        row.successful_executions += tally.succeeded
        row.failed_executions += tally.failed
        if tally.last is not None:
            row.last_executed_at = max(row.last_executed_at or tally.last, tally.last)
    model._base_manager.bulk_update(changed, _COUNTERS)  # type: ignore[arg-type]
