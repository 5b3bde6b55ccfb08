"""Trying many workflows with many bookings, as a durable workflow: its steps try a few pairs each, in parallel.

What came of each pair is a row (`BulkTestResult`), so a step that runs again adds nothing, and progress is a count.
"""

from __future__ import annotations

import datetime as dt

from automation.durable import workflow
from automation.durable.common import RetryPolicy

DEFINITION = "bulk_test"
ACTIVITY = "try_workflows"
CHUNK = 25
"""Pairs of a workflow and a booking that one step tries."""
LIMIT = dt.timedelta(minutes=15)
RETRY = RetryPolicy(maximum_attempts=10)
"""An attempt goes on where the one before it was cut short."""


@workflow.defn(name=DEFINITION)
class BulkTestWorkflow:
    """Tries every pair of a bulk test."""

    @workflow.run
    async def run(self, bulk_test_id: str, total: int) -> dict[str, int]:
        """How many pairs were `tried`."""
        counts = await workflow.group(
            *(
                workflow.step(
                    ACTIVITY,
                    bulk_test_id,
                    first,
                    min(first + CHUNK, total),
                    start_to_close_timeout=LIMIT,
                    retry_policy=RETRY,
                    summary=f"{first + 1} to {min(first + CHUNK, total)} of {total}",
                )
                for first in range(0, total, CHUNK)
            )
        )
        return {"tried": sum(counts)}


WORKFLOWS: list[type] = [BulkTestWorkflow]
