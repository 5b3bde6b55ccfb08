"""Executions as an operator sees them: found by filters, described as JSON's types."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet

from automation import clock
from automation.durable import failures, histories, payloads
from automation.errors import InvalidInput
from automation.models import ExecutionStatus, ExecutionStep, StepStatus, WorkflowExecution
from automation.services import catalogue, queues

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def executions(
    *,
    status: Sequence[str] = (),
    workflow: str = "",
    domain: str = "",
    queue: str = "",
    since: str = "",
    paused: bool = False,
) -> QuerySet[WorkflowExecution]:
    """Executions of this namespace, newest first, to which all that is given applies.

    workflow: a registered name, or the name of an organizer's workflow. since: see `moment`. Raises InvalidInput.
    """
    rows = WorkflowExecution.objects.filter(namespace=settings.WORKFLOW_NAMESPACE).select_related("workflow")
    if unknown := [one for one in status if one not in ExecutionStatus.values]:
        raise InvalidInput(f"there is no status {unknown[0]!r}; there are: {', '.join(ExecutionStatus.values)}")
    if status:
        rows = rows.filter(status__in=status)
    if workflow:
        rows = rows.filter(Q(definition=workflow) | Q(workflow__name=workflow))
    if domain:
        rows = rows.filter(definition__in=[entry.name for entry in catalogue.entries(domain)])
    if queue:
        rows = rows.filter(queue=queues.named(queue))
    if since:
        rows = rows.filter(created_at__gte=moment(since))
    if paused:
        rows = rows.filter(paused_at__isnull=False)
    return rows.order_by("-id")


def moment(text: str) -> dt.datetime:
    """`90m`, `2h`, `7d` ago, or an ISO date or time (UTC unless it says otherwise). Raises InvalidInput."""
    if match := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
        return clock.now() - dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{text!r} is no time: expected 90m, 2h, 7d or 2027-03-01T09:30") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def summary(row: WorkflowExecution) -> dict[str, Any]:
    """One execution in a list."""
    return {
        "id": str(row.id),
        "business_id": row.business_id,
        "workflow": row.definition,
        "name": row.workflow.name if row.workflow is not None else "",
        "status": row.status,
        "paused": row.paused_at is not None,
        "queue": row.queue,
        "scheduled_for": _iso(row.scheduled_for),
        "created_at": _iso(row.created_at),
        "started_at": _iso(row.started_at),
        "completed_at": _iso(row.completed_at),
        "error": row.error_message,
    }


def details(row: WorkflowExecution) -> dict[str, Any]:
    """One execution with what went in, what came out, and how many of its steps are in which state."""
    counts = ExecutionStep.objects.filter(execution=row).order_by().values_list("status").annotate(Count("id"))
    return {
        **summary(row),
        "namespace": row.namespace,
        "domain": _domain(row.definition),
        "trigger": row.trigger,
        "booking_id": str(row.booking_id) if row.booking_id else None,
        "priority": row.priority,
        "recoveries": row.recoveries,
        "reopened": row.reopened,
        "worker": row.worker,
        "due": _iso(row.due),
        "input": payloads.decode(row.input),
        "result": payloads.decode(row.result),
        "failure": _failure(row.failure),
        "steps": dict(sorted(counts)),
    }


def history(row: WorkflowExecution) -> list[dict[str, Any]]:
    """Its steps, in the order in which its code asked for them; what came from outside has negative numbers, and comes
    first. `order` is that in which their outcomes were seen."""
    return [_step(step) for step in histories.steps_of(row.id)]


def _step(step: ExecutionStep) -> dict[str, Any]:
    options: Mapping[str, Any] = payloads.decode(step.options) or {}
    return {
        "seq": step.seq,
        "order": step.resolved_seq,
        "kind": step.kind,
        "name": step.name,
        "summary": options.get("summary", ""),
        "status": step.status,
        "attempts": step.attempt,
        "queue": step.queue,
        "canvas": step.canvas,
        "stage": step.stage,
        "run_at": _iso(step.run_at),
        "created_at": _iso(step.created_at),
        "started_at": _iso(step.started_at),
        "completed_at": _iso(step.completed_at),
        "worker": step.worker,
        "input": payloads.decode(step.input),
        # A failed step keeps there why it was not tried again.
        "output": payloads.decode(step.output) if step.status == StepStatus.COMPLETED else None,
        "failure": _failure(step.failure),
    }


def _domain(definition: str) -> str:
    """Empty for a definition that is gone from the code."""
    found = {entry.name: entry.domain for entry in catalogue.entries() if entry.kind == "workflow"}
    return found.get(definition, "")


def _failure(text: str) -> str:
    return failures.message(text) if text else ""


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
