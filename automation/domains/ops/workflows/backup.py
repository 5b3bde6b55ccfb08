"""Backups that have been restored once, before they are needed."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from automation.domains.ops import activities
from automation.durable import workflow
from automation.durable.base import BaseWorkflow, monitored_workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError

LONG = dt.timedelta(hours=12)
SHORT = dt.timedelta(minutes=10)
RETRIES = RetryPolicy(initial_interval=dt.timedelta(seconds=30), maximum_attempts=4)


@workflow.defn
@monitored_workflow(name="BackupWorkflow")
class BackupWorkflow(BaseWorkflow):
    """Backs up the project's own database: dump, checksum, store, verify by restoring into a scratch database, prune
    what is older than `keep_days`. A failure opens an alert and prunes nothing; the next good backup closes it."""

    @workflow.run
    async def run(self, keep_days: int = 14) -> dict[str, Any]:
        """`status` ("verified"), `backup_id`, `path`, `sha256`, `size` (bytes), `tables`, `rows`, `pruned` (ids).

        Raises ActivityError; where the backup could not be verified, its cause is of type BackupNotVerified.
        """
        if keep_days < 1:
            raise ApplicationError(
                f"keep_days must be at least 1, not {keep_days}", type="BadInput", non_retryable=True
            )
        backup: int | None = None
        try:
            dumped = await self._long(activities.dump_database)
            backup = dumped["backup_id"]
            summed = await self._long(activities.checksum_backup, backup)
            stored = await self._short(activities.store_backup, backup)
            verified = await self._long(activities.verify_backup, backup)
        except asyncio.CancelledError:  # an activity that was cancelled raises this one, too
            await self._short(activities.fail_backup, backup, "it was cancelled", False)
            raise
        except ActivityError as error:
            await self._short(activities.fail_backup, backup, str(error.cause or error))
            raise
        pruned = await self._short(activities.prune_backups, keep_days)
        return {
            "status": "verified",
            "backup_id": backup,
            "path": stored["path"],
            **summed,
            **verified,
            "pruned": pruned["pruned"],
        }

    async def _long(self, activity: Any, *args: Any) -> Any:
        return await self.execute_activity(activity, *args, start_to_close_timeout=LONG, retry_policy=RETRIES)

    async def _short(self, activity: Any, *args: Any) -> Any:
        return await self.execute_activity(activity, *args, start_to_close_timeout=SHORT, retry_policy=RETRIES)
