"""What the raw peers do, as workflows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from automation.durable import workflow
from automation.durable.exceptions import ApplicationError
from bench.activities import Parcel, join, last, step, typed_step

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


@workflow.defn(name="bench_typed")
class TypedWorkflow:
    """A sequence whose steps take and give a dataclass."""

    @workflow.run
    async def run(self, steps: int) -> Parcel:
        parcel = Parcel(0, "parcel", Decimal("1.25"), workflow.now(), ["a", "b"])
        for _ in range(1, steps):
            parcel = await workflow.execute_activity(typed_step, parcel, start_to_close_timeout=TIMEOUT)
        await workflow.execute_activity(last, steps, start_to_close_timeout=TIMEOUT)
        return parcel


@workflow.defn(name="bench_local")
class LocalWorkflow:
    """A sequence of local activities."""

    @workflow.run
    async def run(self, steps: int) -> int:
        for number in range(1, steps):
            await workflow.execute_local_activity(step, number, start_to_close_timeout=TIMEOUT)
        result: int = await workflow.execute_local_activity(last, steps, start_to_close_timeout=TIMEOUT)
        return result


@workflow.defn(name="bench_alone")
class AloneWorkflow:
    """A sequence whose every step is a message of its own: it heartbeats, and so has a lease of its own."""

    @workflow.run
    async def run(self, steps: int) -> int:
        for number in range(1, steps):
            await workflow.execute_activity(step, number, start_to_close_timeout=TIMEOUT, heartbeat_timeout=TIMEOUT)
        result: int = await workflow.execute_activity(last, steps, start_to_close_timeout=TIMEOUT)
        return result


@workflow.defn(name="bench_signals")
class SignalsWorkflow:
    """Takes so many signals, and fails where one came out of order."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @workflow.run
    async def run(self, count: int) -> int:
        await workflow.wait_condition(lambda: len(self.seen) == count)
        if self.seen != list(range(count)):
            raise ApplicationError("the signals came out of order")
        result: int = await workflow.execute_local_activity(last, count, start_to_close_timeout=TIMEOUT)
        return result

    @workflow.signal
    def number(self, value: int) -> None:
        self.seen.append(value)


@workflow.defn(name="bench_nothing")
class NothingWorkflow:
    """Ends at once."""

    @workflow.run
    async def run(self, _number: int) -> None:
        return None
