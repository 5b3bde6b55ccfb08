"""What one workflow's executions came to: counts, times, actions, errors, and what lies ahead."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from automation import clock
from automation.durable import payloads
from automation.models import ExecutionStatus, ExecutionStep, StepStatus, Workflow, WorkflowExecution
from automation.services import executions, outcomes

RECENT = 30
SAMPLE = 1_000
"""The newest executions whose times and actions are looked at."""
MAX_ERRORS = 10

_FAILED = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)


def execution_summary(workflow: Workflow, days: int = 30) -> dict[str, Any]:
    """Of the executions made in the last `days`, in seven queries. Rates are percents, times seconds; what nothing is
    known of is None, and never 0."""
    since = clock.now() - dt.timedelta(days=days)
    rows = WorkflowExecution.objects.filter(workflow=workflow, created_at__gte=since)
    rows = rows.exclude(version__isnull=False, version__number=None)  # a version that was only tried
    counts: dict[str, int] = dict(rows.order_by().values_list("status").annotate(Count("id")))
    succeeded = counts.get(ExecutionStatus.COMPLETED, 0)
    failed = sum(counts.get(status, 0) for status in _FAILED)
    planned = WorkflowExecution.objects.filter(
        workflow=workflow, status=ExecutionStatus.PENDING, started_at=None
    ).aggregate(count=Count("id"), next=Min("scheduled_for"))
    return {
        "workflow_id": str(workflow.pk),
        "workflow_name": workflow.name,
        "version": workflow.version,
        "days": days,
        "total": sum(counts.values()),
        "by_status": {status: counts.get(status, 0) for status in ExecutionStatus.values},
        "success_rate": _percent(succeeded, succeeded + failed),
        "seconds": _times(rows),
        "actions": _actions(workflow, rows),
        "errors": _errors(rows),
        "recent": [_recent(row) for row in rows.order_by("-id").only(*_SHOWN)[:RECENT]],
        "planned": {"count": planned["count"], "next_at": _iso(planned["next"])},
        "lifetime": {
            "total_executions": workflow.total_executions,
            "successful_executions": workflow.successful_executions,
            "failed_executions": workflow.failed_executions,
            "success_rate": workflow.get_success_rate() if workflow.total_executions else None,
            "last_executed_at": _iso(workflow.last_executed_at),
        },
    }


_SHOWN = ("id", "status", "booking_id", "scheduled_for", "created_at", "started_at", "completed_at", "error_message")


def _recent(row: WorkflowExecution) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "status": row.status,
        "booking_id": str(row.booking_id) if row.booking_id else None,
        "scheduled_for": _iso(row.scheduled_for),
        "created_at": _iso(row.created_at),
        "started_at": _iso(row.started_at),
        "completed_at": _iso(row.completed_at),
        "error_message": row.error_message,
    }


def _times(rows: QuerySet[WorkflowExecution]) -> dict[str, Any]:
    """From start to completion, the actions' delays included."""
    done = rows.filter(status=ExecutionStatus.COMPLETED, started_at__isnull=False).order_by("-id")
    pairs = done.values_list("started_at", "completed_at")[:SAMPLE]
    took = sorted((end - start).total_seconds() for start, end in pairs if start is not None and end is not None)
    if not took:
        return {"average": None, "p50": None, "p95": None}
    return {
        "average": round(sum(took) / len(took), 3),
        "p50": round(_percentile(took, 0.5), 3),
        "p95": round(_percentile(took, 0.95), 3),
    }


def _percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that `share` of them do not exceed."""
    return values[math.ceil(len(values) * share) - 1]


def _actions(workflow: Workflow, rows: QuerySet[WorkflowExecution]) -> list[dict[str, Any]]:
    names = {str(action.pk): action for action in workflow.actions.all()}
    newest = list(rows.filter(started_at__isnull=False).order_by("-id").values_list("id", flat=True)[:SAMPLE])
    found: dict[str, Counter[str]] = defaultdict(Counter)
    errors: dict[str, str] = {}
    steps = ExecutionStep.objects.filter(execution_id__in=newest, kind__in=outcomes.ACTION_KINDS).order_by("id")
    for step in steps.only("status", "input", "output", "failure"):
        action_id = outcomes.action_id_of(step)
        result = payloads.decode(step.output) if step.status == StepStatus.COMPLETED else None
        status = outcomes.status_of(step, result)
        found[action_id][status] += 1
        if status == outcomes.FAILED:
            errors[action_id] = executions.failure_of(step)
    return [
        {
            "action_id": id_,
            "name": action.name,
            "action_type": action.action_type,
            "succeeded": found[id_][outcomes.SUCCESS],
            "failed": found[id_][outcomes.FAILED],
            "skipped_conditions": found[id_][outcomes.SKIPPED_CONDITIONS],
            "skipped": found[id_][outcomes.SKIPPED],
            "success_rate": _percent(
                found[id_][outcomes.SUCCESS], found[id_][outcomes.SUCCESS] + found[id_][outcomes.FAILED]
            ),
            "last_error": errors.get(id_, ""),
        }
        for id_, action in names.items()
    ]


def _errors(rows: QuerySet[WorkflowExecution]) -> list[dict[str, Any]]:
    grouped = (
        rows.filter(status__in=_FAILED)
        .order_by()
        .values("error_message")
        .annotate(count=Count("id"), last_at=Max("completed_at"))
        .order_by("-count", "error_message")[:MAX_ERRORS]
    )
    return [
        {"message": row["error_message"], "count": row["count"], "last_at": _iso(row["last_at"])} for row in grouped
    ]


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
