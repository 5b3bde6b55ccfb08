"""The engine's rows, removed between tests that commit."""

from __future__ import annotations

from django_celery_beat.models import PeriodicTask

from automation.durable.schedules import rows
from automation.models import Alert, Lease, WorkerHeartbeat, WorkflowExecution, WorkflowSchedule
from tests.flows.models import Posting


def clear() -> None:
    from automation.models import ExecutionStep

    for model in (Alert, ExecutionStep, WorkflowExecution, WorkerHeartbeat, Lease, Posting):
        model.objects.all().delete()
    if WorkflowSchedule.objects.all().delete()[0]:
        PeriodicTask.objects.filter(task=rows.TASK).delete()
