"""How workflows have been doing: figures from their executions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Max, Q

from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution
from automation.services import catalogue

_FAILED = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
_STUCK = (ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)


@dataclass(frozen=True)
class Figures:
    """Of one workflow. `seconds`: the average time from start to completion, waits included; None where none
    completed. `failure_rate`: of those that completed or failed, from 0 to 1; None where there is none."""

    workflow: str
    domain: str
    total: int
    open: int
    completed: int
    failed: int
    stuck: int
    ended_otherwise: int
    seconds: float | None
    last: dt.datetime | None

    @property
    def failure_rate(self) -> float | None:
        ended = self.completed + self.failed
        return self.failed / ended if ended else None


def by_workflow(since: dt.datetime, domain: str = "") -> list[Figures]:
    """The executions made since then, by workflow: organizers' workflows by their names, the others by theirs. Busiest
    first. Raises InvalidInput for a domain that there is not."""
    domains = {entry.name: entry.domain for entry in catalogue.entries(domain) if entry.kind == "workflow"}
    rows = WorkflowExecution.objects.filter(namespace=settings.WORKFLOW_NAMESPACE, created_at__gte=since)
    if domain:
        rows = rows.filter(definition__in=domains)
    took = ExpressionWrapper(F("completed_at") - F("started_at"), output_field=DurationField())
    done = Q(status=ExecutionStatus.COMPLETED)
    grouped = (
        rows.order_by()
        .values("definition", "workflow_id", "workflow__name")
        .annotate(
            total=Count("id"),
            open=Count("id", filter=Q(status__in=OPEN_STATUSES)),
            completed=Count("id", filter=done),
            failed=Count("id", filter=Q(status__in=_FAILED)),
            stuck=Count("id", filter=Q(status__in=_STUCK)),
            took=Avg(took, filter=done),
            last=Max("created_at"),
        )
    )
    found = [_figures(row, domains.get(row["definition"], "")) for row in grouped]
    return sorted(found, key=lambda figures: (-figures.total, figures.workflow))


def _figures(row: Mapping[str, Any], domain: str) -> Figures:
    known = row["open"] + row["completed"] + row["failed"] + row["stuck"]
    return Figures(
        workflow=row["workflow__name"] or row["definition"],
        domain=domain,
        total=row["total"],
        open=row["open"],
        completed=row["completed"],
        failed=row["failed"],
        stuck=row["stuck"],
        ended_otherwise=row["total"] - known,
        seconds=row["took"].total_seconds() if row["took"] is not None else None,
        last=row["last"],
    )
