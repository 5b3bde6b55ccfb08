"""What an execution of an automation did, action by action: its log, derived from its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from automation.durable import failures, payloads
from automation.models import ExecutionStep, StepStatus, WorkflowExecution
from automation.services import outcomes


def execution_log(execution: WorkflowExecution) -> list[dict[str, Any]]:
    """One entry for each action that the execution has come to, in the order in which it asked for them.

    `action` (name), `action_id`, `action_type`, `status` (success, failed, skipped_conditions, skipped; pending until
    it has ended), `conditions` (trace), `rendered`, `recipients`, `response`, `notes`, `error`, `attempts`, `seq`,
    `scheduled_for`, `started_at`, `completed_at` (ISO 8601 or None) and `duration_ms` of the last attempt.
    """
    return execution_logs([execution])[execution.pk]


def execution_logs(executions: Sequence[WorkflowExecution]) -> dict[UUID, list[dict[str, Any]]]:
    """`execution_log` of each, by id, in one query where their versions are at hand."""
    logs: dict[UUID, list[dict[str, Any]]] = {execution.pk: [] for execution in executions}
    actions: dict[UUID, dict[str, Mapping[str, Any]]] = {}
    for execution in executions:
        snapshot: Mapping[str, Any] = execution.version.snapshot if execution.version is not None else {}
        actions[execution.pk] = {action["id"]: action for action in snapshot.get("actions", [])}
    steps = ExecutionStep.objects.filter(execution_id__in=logs, kind__in=outcomes.ACTION_KINDS).order_by("seq")
    for step in steps:
        own = actions[step.execution_id].get(outcomes.action_id_of(step), {})
        logs[step.execution_id].append(_entry(step, own))
    return logs


def failure_of(step: ExecutionStep) -> str:
    """Why a step failed, in a sentence; the empty string where it did not."""
    return _failure(step.failure)[0] if step.failure else ""


def _entry(step: ExecutionStep, action: Mapping[str, Any]) -> dict[str, Any]:
    error, report = "", None
    if step.status == StepStatus.COMPLETED:
        report = payloads.decode(step.output)
    elif step.failure:
        error, report = _failure(step.failure)
    report = report if isinstance(report, dict) else {}
    took = step.completed_at - step.started_at if step.completed_at and step.started_at else None
    return {
        "action": action.get("name", step.name),
        "action_id": outcomes.action_id_of(step),
        "action_type": action.get("action_type", ""),
        "status": outcomes.status_of(step, report),
        "conditions": report.get("conditions"),
        "rendered": report.get("rendered") or {},
        "recipients": report.get("recipients") or [],
        "response": report.get("response") or {},
        "notes": report.get("notes") or [],
        "error": error,
        "attempts": step.attempt,
        "seq": step.seq,
        "scheduled_for": step.run_at.isoformat() if step.run_at else None,
        "started_at": step.started_at.isoformat() if step.started_at else None,
        "completed_at": step.completed_at.isoformat() if step.completed_at else None,
        "duration_ms": round(took.total_seconds() * 1000) if took is not None else None,
    }


def _failure(text: str) -> tuple[str, Any]:
    """The message of the innermost error that says something, and the report that the action put into its details."""
    error: BaseException | None = failures.decode(text)
    message, report = str(error), None
    while error is not None:
        for detail in getattr(error, "details", ()):
            if isinstance(detail, dict) and report is None:
                message, report = str(getattr(error, "message", error)), detail
        error = error.__cause__
    return message, report
