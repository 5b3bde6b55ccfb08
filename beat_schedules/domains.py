"""Workflows of the domains that run by themselves. Settings say when, or 'off': then the row is there, but
switched off, and an operator can switch it on in the admin."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from automation.services.schedules import Schedule


def _workflow(
    name: str, workflow: str, when: str, usually: str, description: str, expires: int, **values: Any
) -> Schedule:
    """A start of `workflow` with these parameters; `usually` is the row's time where `when` is 'off'."""
    return Schedule(
        name=name,
        task="start_scheduled_workflow",
        crontab=usually if when == "off" else when,
        args=(workflow, values),
        expires=expires,
        enabled=when != "off",
        description=description,
    )


SCHEDULES = [
    _workflow(
        "clean up rooms",
        "RoomCleanupWorkflow",
        settings.ROOM_CLEANUP_SCHEDULE,
        "20 * * * *",
        "Deletes the video rooms that have expired (ROOM_CLEANUP_SCHEDULE).",
        expires=3600,
    ),
    _workflow(
        "maintain rooms",
        "RoomMaintenanceWorkflow",
        settings.ROOM_MAINTENANCE_SCHEDULE,
        "40 */6 * * *",
        "Holds the video rooms against the provider's, and mends what differs (ROOM_MAINTENANCE_SCHEDULE).",
        expires=6 * 3600,
    ),
    _workflow(
        "back up the database",
        "BackupWorkflow",
        settings.BACKUP_SCHEDULE,
        "15 2 * * *",
        "Backs the database up into BACKUP_DIR, and proves it by a restore (BACKUP_SCHEDULE).",
        expires=12 * 3600,
        keep_days=settings.BACKUP_KEEP_DAYS,
    ),
]
