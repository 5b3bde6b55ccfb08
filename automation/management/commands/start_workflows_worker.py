"""`manage.py start_workflows_worker`: a Celery worker, by preset and domain."""

from __future__ import annotations

from automation.management.workers import WorkerCommand


class Command(WorkerCommand):
    help = (
        "Run a worker. A preset says how many activities and workflows it runs at once, and whose queues it serves; "
        "docs/workers.md says what each number is to Celery."
    )
    examples = (
        "start_workflows_worker --preset critical",
        "start_workflows_worker --domain booking --max-concurrent-activities 8",
        "start_workflows_worker --task-queue estuary-workflows --pool prefork -- --max-tasks-per-child 1000",
    )
