"""Rows for tests of operations."""

from __future__ import annotations

import datetime as dt
from typing import Any

from automation import clock
from automation.durable.liveness import NodeReport, record
from automation.models import (
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    Trigger,
    User,
    WorkerHeartbeat,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)


def make_workflow(name: str = "Reminder", email: str = "olga@example.com", **fields: Any) -> Workflow:
    organizer = User.objects.filter(email=email).first() or User.objects.create_user(email)
    return Workflow.objects.create(organizer=organizer, name=name, trigger=Trigger.BOOKING_CREATED, **fields)


def make_runs(
    workflow: Workflow | None,
    count: int,
    status: str = ExecutionStatus.COMPLETED,
    *,
    age: dt.timedelta = dt.timedelta(hours=1),
    work: float = 0.1,
    activity: str = "execute_email_action",
    action: WorkflowAction | None = None,
    **fields: Any,
) -> list[WorkflowExecution]:
    """Runs that ended `age` ago after one activity of `work` seconds; `age` counts for their creation, too."""
    ended = clock.now() - age
    runs = []
    for _ in range(count):
        run = WorkflowExecution.objects.create(
            workflow=workflow,
            definition="automation",
            business_id=f"run-{WorkflowExecution.objects.count()}",
            status=status,
            queue="q",
            created_at=ended - dt.timedelta(seconds=work),
            started_at=ended - dt.timedelta(seconds=work),
            completed_at=ended,
            **fields,
        )
        ExecutionStep.objects.create(
            execution=run,
            seq=1,
            kind=StepKind.ACTIVITY,
            name=activity,
            status=StepStatus.COMPLETED if status == ExecutionStatus.COMPLETED else StepStatus.FAILED,
            input=f'[{{"action_id":"{action.pk}"}}]' if action else "[]",
            output='{"status":"success"}' if status == ExecutionStatus.COMPLETED else "",
            attempt=1,
            created_at=run.created_at,
            started_at=run.started_at,
            completed_at=ended,
        )
        runs.append(run)
    return runs


def make_node(
    id_: str = "host:1:1", pids: list[int] | None = None, queues: list[str] | None = None, **changes: Any
) -> WorkerHeartbeat:
    """A node that has just reported, with `changes` of its row."""
    pids = pids if pids is not None else [10, 11]
    report = NodeReport(
        id_, f"celery@{id_}", 1, pids, queues if queues is not None else ["q"], len(pids), clock.unmoved()
    )
    record(report)
    WorkerHeartbeat.objects.filter(pk=id_).update(**changes)
    return WorkerHeartbeat.objects.get(pk=id_)
