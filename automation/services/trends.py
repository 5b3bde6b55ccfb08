"""Workflows' runs by day: rolled up with the other statistics, and read for trends and comparisons.

Days are small rows that stay when the runs are deleted: ninety days of a thousand workflows are ninety thousand rows,
whatever the number of runs.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Max, QuerySet, Sum

from automation import clock
from automation.models import ExecutionStatus, User, Workflow, WorkflowExecution, WorkflowTrend

DAYS = 30
MAX_DAYS = 366
TOP = 10
PROBLEM_RATE = 0.8
"""A success rate below which a workflow counts as problematic …"""
PROBLEM_RUNS = 3
"""… when it has ended this often."""

_FAILED = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
_SUMS = ("completed", "failed", "cancelled", "seconds", "actions_executed", "actions_failed")


@dataclass
class Totals:
    """Runs that ended in some time. `seconds`: of all the completed together, from start to end, waits included."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    actions_executed: int = 0
    actions_failed: int = 0

    @property
    def runs(self) -> int:
        """Those that ended by themselves; what somebody cancelled, or was skipped, is no run."""
        return self.completed + self.failed

    @property
    def success_rate(self) -> float:
        """Percent, with two decimals; 0 where there was no run."""
        return round(100 * self.completed / self.runs, 2) if self.runs else 0.0

    @property
    def average_seconds(self) -> float | None:
        return self.seconds / self.completed if self.completed else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "completed": self.completed,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "success_rate": self.success_rate,
            "average_seconds": self.average_seconds,
            "longest_seconds": self.longest if self.completed else None,
            "actions_executed": self.actions_executed,
            "actions_failed": self.actions_failed,
        }


@dataclass(frozen=True)
class WorkflowFigures:
    """One workflow's runs in the time asked for."""

    id: UUID
    name: str
    is_active: bool
    totals: Totals


@dataclass(frozen=True)
class Performance:
    """`before`: the totals of as many days before; `days`: one entry a day, days without runs included."""

    since: dt.date
    until: dt.date
    totals: Totals
    before: Totals
    days: list[tuple[dt.date, Totals]]
    top: list[WorkflowFigures] = field(default_factory=list)
    problematic: list[WorkflowFigures] = field(default_factory=list)
    slowest: list[WorkflowFigures] = field(default_factory=list)


# -- rolling up --------------------------------------------------------------------------------------------------------


def add(executions: Iterable[WorkflowExecution]) -> None:
    """Add ended runs to their days. Called with the workflows' rows locked, in the transaction that counts the runs."""
    tallies: dict[tuple[UUID, dt.date], Totals] = defaultdict(Totals)
    for row in executions:
        if row.workflow_id is not None and row.completed_at is not None:
            _tally(tallies[row.workflow_id, row.completed_at.astimezone(dt.UTC).date()], row)
    known = {
        (row.workflow_id, row.day): row
        for row in WorkflowTrend.objects.filter(
            workflow_id__in={id_ for id_, _ in tallies}, day__in={day for _, day in tallies}
        )
    }
    new = []
    for (workflow_id, day), tally in tallies.items():
        trend = known.get((workflow_id, day))
        if trend is None:
            trend = WorkflowTrend(workflow_id=workflow_id, day=day)
            new.append(trend)
        for name in _SUMS:
            setattr(trend, name, getattr(trend, name) + getattr(tally, name))
        trend.longest = max(trend.longest, tally.longest)
    WorkflowTrend.objects.bulk_create(new)
    changed = [trend for key, trend in known.items() if key in tallies]
    WorkflowTrend.objects.bulk_update(changed, [*_SUMS, "longest"], batch_size=500)


def _tally(totals: Totals, row: WorkflowExecution) -> None:
    if row.status in _FAILED:
        totals.failed += 1
    elif row.status == ExecutionStatus.COMPLETED:
        totals.completed += 1
        took = (row.completed_at - row.started_at).total_seconds() if row.completed_at and row.started_at else 0.0
        totals.seconds += took
        totals.longest = max(totals.longest, took)
    else:
        totals.cancelled += 1
    totals.actions_executed += row.actions_executed
    totals.actions_failed += row.actions_failed


# -- reading -----------------------------------------------------------------------------------------------------------


def performance(user: User, days: int = DAYS, *, workflow: Workflow | None = None) -> Performance:
    """How the user's workflows (staff: all) did in the last `days` days (UTC), today included, and in those before."""
    until = clock.now().astimezone(dt.UTC).date()
    since = until - dt.timedelta(days=days - 1)
    rows = _visible(user, workflow)
    by_day = _grouped(rows.filter(day__range=(since, until)), "day")
    before = _grouped(rows.filter(day__range=(since - dt.timedelta(days=days), since - dt.timedelta(days=1))), "day")
    calendar = [since + dt.timedelta(days=number) for number in range(days)]
    figures = [] if workflow is not None else _by_workflow(rows.filter(day__range=(since, until)))
    return Performance(
        since=since,
        until=until,
        totals=_sum(by_day.values()),
        before=_sum(before.values()),
        days=[(day, by_day.get(day, Totals())) for day in calendar],
        top=_top(figures),
        problematic=_problematic(figures),
        slowest=_slowest(figures),
    )


def _visible(user: User, workflow: Workflow | None) -> QuerySet[WorkflowTrend]:
    rows = WorkflowTrend.objects.order_by()
    if workflow is not None:
        return rows.filter(workflow=workflow)
    return rows if user.is_staff else rows.filter(workflow__organizer=user)


def _grouped(rows: QuerySet[WorkflowTrend], key: str) -> dict[Any, Totals]:
    sums = {name: Sum(name) for name in _SUMS}
    # Named apart from the field, which an aggregate of the same name would hide from the sums.
    grouped = rows.values(key).annotate(
        **{f"sum_{name}": one for name, one in sums.items()}, max_longest=Max("longest")
    )
    return {
        row[key]: Totals(**{name: row[f"sum_{name}"] for name in _SUMS}, longest=row["max_longest"]) for row in grouped
    }


def _sum(parts: Iterable[Totals]) -> Totals:
    total = Totals()
    for part in parts:
        for name in _SUMS:
            setattr(total, name, getattr(total, name) + getattr(part, name))
        total.longest = max(total.longest, part.longest)
    return total


def _by_workflow(rows: QuerySet[WorkflowTrend]) -> list[WorkflowFigures]:
    totals = _grouped(rows, "workflow_id")
    names = Workflow.objects.filter(pk__in=totals).values_list("pk", "name", "is_active")
    return [WorkflowFigures(id_, name, active, totals[id_]) for id_, name, active in names]


def _top(figures: Collection[WorkflowFigures]) -> list[WorkflowFigures]:
    ran = [one for one in figures if one.totals.completed]
    return sorted(ran, key=lambda one: (-one.totals.success_rate, -one.totals.runs, one.name))[:TOP]


def _problematic(figures: Collection[WorkflowFigures]) -> list[WorkflowFigures]:
    bad = [one for one in figures if one.totals.runs >= PROBLEM_RUNS and one.totals.success_rate < 100 * PROBLEM_RATE]
    return sorted(bad, key=lambda one: (one.totals.success_rate, -one.totals.failed, one.name))[:TOP]


def _slowest(figures: Collection[WorkflowFigures]) -> list[WorkflowFigures]:
    ran = [one for one in figures if one.totals.completed]
    return sorted(ran, key=lambda one: (-(one.totals.average_seconds or 0.0), one.name))[:TOP]
