"""`manage.py start_worker`: `start_workflows_worker`, as it is called when the queue comes first."""

from __future__ import annotations

from automation.management.workers import WorkerCommand


class Command(WorkerCommand):
    help = "Run a worker for one queue. The same as start_workflows_worker, with the same options."
    examples = (
        "start_worker --task-queue=payments --domains payments",
        "start_worker --task-queue estuary-workflows --max-concurrent-activities 4 --max-concurrent-workflows 4",
    )
