"""The smoke test: a workflow that passes through everything that carries workflows, and touches nobody."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from automation.durable import activity, workflow

LIMIT = dt.timedelta(seconds=30)


@activity.defn(name="system_echo")
def echo(message: str) -> dict[str, Any]:
    """Gives the message back, and says which process had it."""
    return {"message": message, "pid": os.getpid()}


@workflow.defn(name="TestWorkflow")
class TestWorkflow:
    """One activity, one timer, one chord."""

    __test__ = False  # pytest takes classes of such names for its own

    @workflow.run
    async def run(self, message: str = "hello", seconds: float = 1.0, members: int = 3) -> dict[str, Any]:
        """What came back: `message`, `slept` (seconds), `joined` (the chord's results, in order) and the `processes`
        that worked on it."""
        first = await workflow.execute_activity(echo, message, start_to_close_timeout=LIMIT)
        before = workflow.now()
        await workflow.sleep(seconds)
        slept = workflow.now() - before
        joined = await workflow.group(
            *(workflow.step(echo, f"{message} {number}", start_to_close_timeout=LIMIT) for number in range(members))
        )
        return {
            "message": first["message"],
            "slept": slept.total_seconds(),
            "joined": [one["message"] for one in joined],
            "processes": sorted({one["pid"] for one in (first, *joined)}),
        }


WORKFLOWS = [TestWorkflow]
ACTIVITIES = [echo]
