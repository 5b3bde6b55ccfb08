"""Cleaning up really deletes, and loses no number."""

from __future__ import annotations

import datetime as dt

import pytest

from automation import clock
from automation.models import (
    Alert,
    ExecutionStatus,
    ExecutionStep,
    NotificationLog,
    WorkerHeartbeat,
    WorkflowExecution,
)
from automation.services import maintenance
from tests.ops.factories import make_node, make_runs, make_workflow

pytestmark = pytest.mark.django_db

OLD = dt.timedelta(days=91)
YOUNG = dt.timedelta(days=89)


def test_it_deletes_what_ended_more_than_90_days_ago_with_its_steps() -> None:
    workflow = make_workflow()
    make_runs(workflow, 3, age=OLD)
    make_runs(None, 2, ExecutionStatus.CANCELLED, age=OLD)
    young = make_runs(workflow, 2, age=YOUNG)

    assert maintenance.delete_old_executions() == 5
    assert set(WorkflowExecution.objects.values_list("id", flat=True)) == {run.id for run in young}
    assert set(ExecutionStep.objects.values_list("execution_id", flat=True)) == {run.id for run in young}


def test_the_totals_stay() -> None:
    workflow = make_workflow()
    make_runs(workflow, 3, age=OLD)
    make_runs(workflow, 1, ExecutionStatus.FAILED, age=OLD)
    make_runs(workflow, 2, age=OLD, counted=True)
    maintenance.delete_old_executions()
    workflow.refresh_from_db()
    assert not WorkflowExecution.objects.exists()
    assert (workflow.total_executions, workflow.successful_executions, workflow.failed_executions) == (4, 3, 1)


def test_it_deletes_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 4)
    make_runs(make_workflow(), 10, age=OLD)
    assert maintenance.delete_old_executions() == 10


def test_it_keeps_what_has_not_ended_however_old() -> None:
    for status in (
        ExecutionStatus.PENDING,
        ExecutionStatus.RUNNING,
        ExecutionStatus.PARKED,
        ExecutionStatus.DEAD_LETTER,
    ):
        for run in make_runs(None, 1, status, age=OLD):
            WorkflowExecution.objects.filter(pk=run.pk).update(completed_at=None)
    late = make_runs(None, 1, age=OLD)[0]
    WorkflowExecution.objects.filter(pk=late.pk).update(completed_at=clock.now() - YOUNG)
    assert maintenance.delete_old_executions() == 0


def test_messages_and_alerts_outlive_the_run_they_came_from() -> None:
    run = make_runs(make_workflow(), 1, age=OLD)[0]
    NotificationLog.objects.create(execution=run, channel="email", recipient="ina@example.com")
    Alert.objects.create(kind="slow", key="x", message="slow", execution=run)
    maintenance.delete_old_executions()
    assert NotificationLog.objects.get().execution is None
    assert Alert.objects.get().execution is None


def test_it_forgets_nodes_that_are_gone() -> None:
    make_node("alive:1:1")
    make_node("gone:1:1", seen_at=clock.unmoved() - dt.timedelta(days=2))
    assert maintenance.forget_nodes() == 1
    assert WorkerHeartbeat.objects.get().id == "alive:1:1"
