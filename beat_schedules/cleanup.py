"""Deleting what is old."""

from __future__ import annotations

from automation.services.schedules import Schedule

SCHEDULES = [
    Schedule(
        name="clean up executions",
        task="cleanup_old_workflow_executions",
        crontab="30 3 * * *",
        expires=12 * 3600,
        description="Deletes executions that ended more than 90 days ago, and old messages; the totals of both stay.",
    ),
    Schedule(
        name="clean up outside",
        task="clean_up_outside",
        crontab="50 3 * * *",
        expires=12 * 3600,
        description="Deletes inbound events of more than 90 days ago, and calls that nobody waits for any more.",
    ),
]
