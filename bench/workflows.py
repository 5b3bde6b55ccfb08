"""What the raw peers do, as workflows."""

from __future__ import annotations

from datetime import timedelta

from automation.durable import workflow
from bench.activities import join, last, step

TIMEOUT = timedelta(seconds=30)


@workflow.defn(name="bench_sequence")
class SequenceWorkflow:
    """One step after the other, each asked for by the code when the one before has returned."""

    @workflow.run
    async def run(self, steps: int) -> int:
        for number in range(1, steps):
            await workflow.execute_activity(step, number, start_to_close_timeout=TIMEOUT)
        result: int = await workflow.execute_activity(last, steps, start_to_close_timeout=TIMEOUT)
        return result


@workflow.defn(name="bench_chord")
class ChordWorkflow:
    """Steps in parallel, and a join that gets their results."""

    @workflow.run
    async def run(self, size: int) -> int:
        results = await workflow.group(
            *[workflow.step(step, number, start_to_close_timeout=TIMEOUT) for number in range(size)]
        )
        joined: int = await workflow.execute_activity(join, results, start_to_close_timeout=TIMEOUT)
        return joined


@workflow.defn(name="bench_sleeper")
class SleeperWorkflow:
    """Sleeps until `due` (seconds since the epoch)."""

    @workflow.run
    async def run(self, due: float) -> None:
        await workflow.sleep(due - workflow.time())
