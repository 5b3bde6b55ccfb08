"""The engine's rows, removed between tests that commit."""

from __future__ import annotations

from automation.models import Alert, Lease, WorkerHeartbeat, WorkflowExecution
from tests.flows.models import Posting


def clear() -> None:
    from automation.models import ExecutionStep

    for model in (Alert, ExecutionStep, WorkflowExecution, WorkerHeartbeat, Lease, Posting):
        model.objects.all().delete()
