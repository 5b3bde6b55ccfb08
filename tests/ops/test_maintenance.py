"""Cleaning up really deletes, and loses no number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation import clock
from automation.models import (
    Alert,
    ExecutionStatus,
    ExecutionStep,
    NotificationEvent,
    NotificationLog,
    Suppression,
    User,
    WorkerHeartbeat,
    WorkflowExecution,
)
from automation.services import maintenance, notifications
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


# -- messages ----------------------------------------------------------------------------------------------------------


def message(organizer: User | None, status: str = "sent", **fields: Any) -> NotificationLog:
    return NotificationLog.objects.create(
        organizer=organizer, channel="email", recipient="ina@example.com", status=status, **fields
    )


def test_old_messages_go_with_what_was_told_of_them(
    clock_shift: Callable[[float], None], settings: Any, owner: User
) -> None:
    settings.NOTIFICATION_KEEP_DAYS = 30
    old = message(owner)
    NotificationEvent.objects.create(
        notification=old, source="sendgrid", event_id="1", kind="delivered", occurred_at=clock.now()
    )
    suppressed = Suppression.objects.create(
        organizer=owner, channel="email", recipient="ina@example.com", reason="bounced", notification=old
    )
    clock_shift(29 * 86_400)
    young = message(owner)
    assert notifications.purge() == 0
    clock_shift(2 * 86_400)
    assert notifications.purge() == 1
    assert NotificationLog.objects.get() == young
    assert not NotificationEvent.objects.exists()
    suppressed.refresh_from_db()
    assert (suppressed.notification, suppressed.lifted_at) == (None, None)


def test_a_message_stays_as_long_as_its_execution(clock_shift: Callable[[float], None], owner: User) -> None:
    """A retry after a year must still find out who got the message."""
    run = make_runs(make_workflow(), 1, ExecutionStatus.PARKED)[0]
    row = message(owner, execution=run, step_seq=1)
    clock_shift(400 * 86_400)
    assert notifications.purge() == 0
    run.steps.all().delete()
    WorkflowExecution.objects.filter(pk=run.pk).delete()
    assert notifications.purge() == 1
    assert not NotificationLog.objects.filter(pk=row.pk).exists()


def test_the_totals_of_messages_stay(
    clock_shift: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, owner: User
) -> None:
    monkeypatch.setattr(notifications, "BATCH", 2)
    other = User.objects.create_user("otto@example.com")
    staff = User.objects.create_user("staff@example.com", is_staff=True)
    for status in ("sent", "sent", "sent", "bounced", "delivered"):
        message(owner, status)
    message(other)
    message(None)
    before = {user: notifications.totals(user, notifications.MAX_DAYS).totals for user in (owner, other, staff)}
    assert [(one.status, one.count) for one in before[owner]] == [("bounced", 1), ("delivered", 1), ("sent", 3)]
    assert [one.count for one in before[other]] == [1]
    assert sum(one.count for one in before[staff]) == 7

    clock_shift(366 * 86_400)
    with CaptureQueriesContext(connection) as queries:
        assert notifications.purge() == 7
    deletes = [one["sql"] for one in queries if 'DELETE FROM "automation_notificationlog"' in one["sql"]]
    assert len(deletes) == 4, "batches of two"
    message(owner)
    for user in (owner, other, staff):
        days = notifications.totals(user, notifications.MAX_DAYS).totals
        assert [one for one in days if one.day == before[owner][0].day] == before[user]
    assert sum(one.count for one in notifications.totals(owner, notifications.MAX_DAYS).totals) == 6
    assert notifications.purge() == 0


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ole@example.com")
