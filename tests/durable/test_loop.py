"""Plain asyncio on the deterministic loop: durable where it waits, the same in every replay, and refused where it would
leave the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from automation.durable import workflow
from automation.durable.exceptions import ActivityError
from automation.models import ExecutionStatus, User
from tests.durable.snippets import begun, ended, outcome, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row


def test_gather_keeps_the_order_of_its_arguments(carrier: Carrier) -> None:
    async def gathers(_data: Any) -> Any:
        return await asyncio.gather(call("echo", 1), call("flaky", 2, 2), call("echo", 3))

    assert outcome(carrier, gathers) == [1, 2, 3]


def test_gather_raises_the_first_failure_and_the_others_go_on(carrier: Carrier) -> None:
    async def gather_fails(_data: Any) -> Any:
        slow = asyncio.create_task(call("flaky", "slow", 2))
        try:
            await asyncio.gather(slow, call("refuse", "x"))
        except ActivityError as error:
            return [str(error.cause), await slow]

    assert outcome(carrier, gather_fails) == ["Refused: refused x", "slow"]


def test_wait_returns_what_is_done_first(carrier: Carrier) -> None:
    async def waits(_data: Any) -> Any:
        quick = asyncio.create_task(call("echo", "quick"))
        slow = asyncio.create_task(asyncio.sleep(3600, "slow"))
        done, pending = await asyncio.wait({quick, slow}, return_when=asyncio.FIRST_COMPLETED)
        found = [task.result() for task in done]
        for task in pending:
            task.cancel()
        return [found, len(pending)]

    row_ = ended(carrier, waits)
    assert result(row_.id) == [["quick"], 1]
    assert steps(row_.id) == [(1, "flows_echo", "completed"), (2, "timer", "cancelled")]


def test_wait_for_gives_up_and_cancels(carrier: Carrier) -> None:
    async def waits_for(_data: Any) -> Any:
        try:
            await asyncio.wait_for(asyncio.sleep(3600), 10)
        except TimeoutError:
            return "too late"

    row_ = ended(carrier, waits_for)
    assert result(row_.id) == "too late"
    assert [status for _, _, status in steps(row_.id)] == ["completed", "cancelled"]


def test_a_timer_that_is_cancelled_at_once_is_never_written(carrier: Carrier) -> None:
    async def cancels_at_once(_data: Any) -> Any:
        await asyncio.wait_for(asyncio.sleep(0), 10)
        first = await call("echo", 1)
        await asyncio.sleep(5)
        return [first, await call("echo", 2)]

    row_ = ended(carrier, cancels_at_once)
    assert result(row_.id) == [1, 2]
    assert [seq for seq, _, _ in steps(row_.id)] == [2, 3, 4]


def test_timeout_blocks_nest(carrier: Carrier) -> None:
    async def nests(_data: Any) -> Any:
        said = []
        try:
            async with asyncio.timeout(100):
                try:
                    async with asyncio.timeout(1):
                        await asyncio.sleep(50)
                except TimeoutError:
                    said.append("inner")
                await asyncio.sleep(200)
        except TimeoutError:
            said.append("outer")
        return [said, workflow.time() - workflow.info().workflow_start_time.timestamp()]

    said, seconds = outcome(carrier, nests)
    assert said == ["inner", "outer"]
    assert 100 <= seconds < 102


def test_shield_lets_what_it_guards_finish(carrier: Carrier) -> None:
    async def shields(_data: Any) -> Any:
        guarded = asyncio.ensure_future(call("flaky", "kept", 2))
        try:
            await asyncio.wait_for(asyncio.shield(guarded), 0.2)
        except TimeoutError:
            return ["late", await guarded]

    assert outcome(carrier, shields) == ["late", "kept"]


def test_event_lock_semaphore_condition_and_queue(carrier: Carrier) -> None:
    async def synchronizes(_data: Any) -> Any:
        said: list[Any] = []
        event, lock, semaphore, queue = asyncio.Event(), asyncio.Lock(), asyncio.Semaphore(2), asyncio.Queue[int](1)
        condition = asyncio.Condition()
        inside = 0

        async def worker(number: int) -> None:
            nonlocal inside
            await event.wait()
            async with semaphore:
                inside += 1
                assert inside <= 2
                await asyncio.sleep(1)
                inside -= 1
            async with lock:
                said.append(await call("echo", number))

        async def producer() -> None:
            for number in range(4):
                await queue.put(number)

        async def consumer() -> list[int]:
            return [await queue.get() for _ in range(4)]

        async def waiter() -> str:
            async with condition:
                await condition.wait_for(lambda: len(said) == 3)
            return "met"

        met = asyncio.create_task(waiter())
        workers = [asyncio.create_task(worker(number)) for number in range(3)]
        await asyncio.sleep(1)
        event.set()
        await asyncio.gather(*workers)
        async with condition:
            condition.notify_all()
        _, taken = await asyncio.gather(producer(), consumer())
        return [sorted(said), taken, await met]

    assert outcome(carrier, synchronizes) == [[0, 1, 2], [0, 1, 2, 3], "met"]


def test_a_task_group_cancels_its_tasks_in_the_order_of_their_creation(carrier: Carrier) -> None:
    async def groups(_data: Any) -> Any:
        ended_: list[int] = []

        async def member(number: int) -> None:
            try:
                await asyncio.sleep(1000 + number)
            finally:
                ended_.append(number)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(member(number))
                await call("refuse", "group")
        except BaseExceptionGroup as error:
            return [ended_, len(error.exceptions)]

    assert outcome(carrier, groups) == [list(range(20)), 1]


def test_cancellation_runs_the_cleanup_activity(carrier: Carrier) -> None:
    from automation.durable import control

    async def cleans_up(_data: Any) -> Any:
        try:
            await asyncio.sleep(10 * 86_400)
        except asyncio.CancelledError:
            await call("echo", "cleanup")
            raise

    execution = begun(carrier, cleans_up)
    control.cancel(execution, "no longer wanted")
    carrier.finish(execution)
    row_ = row(execution)
    assert row_.status == ExecutionStatus.CANCELLED
    assert row_.error_message == "no longer wanted"
    assert [name for name, _, _ in activities.journal] == ["flows_echo"]
    assert steps(execution)[1:] == [(1, "timer", "cancelled"), (2, "flows_echo", "completed")]


def test_code_may_refuse_to_be_cancelled(carrier: Carrier) -> None:
    from automation.durable import control

    async def goes_on(_data: Any) -> Any:
        try:
            await asyncio.sleep(86_400)
        except asyncio.CancelledError:
            return "finished properly"

    execution = begun(carrier, goes_on)
    control.cancel(execution)
    carrier.finish(execution)
    assert result(execution) == "finished properly"


def test_cancelling_a_step_that_waits_takes_it_back(carrier: Carrier) -> None:
    async def takes_back(_data: Any) -> Any:
        waiting = asyncio.create_task(call("elsewhere", "never"))
        await asyncio.sleep(5)
        waiting.cancel()
        return (await asyncio.gather(waiting, return_exceptions=True))[0] is not None

    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    row_ = ended(carrier, takes_back)
    assert ("flows_elsewhere", "cancelled") in [(name, status) for _, name, status in steps(row_.id)]
    assert activities.journal == []


def test_sleep_takes_history_s_time(carrier: Carrier) -> None:
    async def sleeps(_data: Any) -> Any:
        before = workflow.now()
        await workflow.sleep(30 * 86_400)
        return (workflow.now() - before).total_seconds()

    assert 30 * 86_400 <= outcome(carrier, sleeps) < 30 * 86_400 + 1


def test_random_and_uuid_are_the_same_in_every_replay(carrier: Carrier) -> None:
    async def draws(_data: Any) -> Any:
        first = [workflow.random().random(), str(workflow.uuid4())]
        await call("echo", first)
        await asyncio.sleep(1000)
        return [first, [workflow.random().random(), str(workflow.uuid4())]]

    execution = begun(carrier, draws)
    recorded = row(execution).steps.get(seq=1).output
    carrier.restart_workers()
    carrier.finish(execution)
    first, second = result(execution)
    from automation.durable import payloads

    assert payloads.decode(recorded) == first
    assert first != second


def test_a_condition_is_asked_after_everything_that_happens(carrier: Carrier) -> None:
    async def conditions(_data: Any) -> Any:
        done: list[str] = []

        async def work(name: str) -> None:
            done.append(await call("echo", name))

        tasks = [asyncio.create_task(work(name)) for name in "abc"]
        await workflow.wait_condition(lambda: len(done) == 3)
        try:
            await workflow.wait_condition(lambda: False, timeout=60)
        except TimeoutError:
            done.append("timeout")
        await asyncio.gather(*tasks)
        return sorted(done)

    assert outcome(carrier, conditions) == ["a", "b", "c", "timeout"]


def _thread() -> Any:
    return asyncio.to_thread(print)


def _socket() -> Any:
    return asyncio.open_connection("127.0.0.1", 1)


def _process() -> Any:
    return asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize("leave", [_thread, _socket, _process])
def test_leaving_the_loop_is_refused(carrier: Carrier, leave: Any) -> None:
    async def leaves(_data: Any) -> Any:
        try:
            await leave()
        except RuntimeError as error:
            return str(error)

    before = threading.active_count()
    assert "is refused in workflow code: do I/O in an activity" in outcome(carrier, leaves)
    assert threading.active_count() == before


def test_the_orm_is_refused(carrier: Carrier) -> None:
    from django.core.exceptions import SynchronousOnlyOperation
    from django.db import connection

    async def queries(_data: Any) -> Any:
        said = []
        for attempt in (User.objects.count, lambda: connection.cursor().execute("SELECT 1")):
            try:
                attempt()
            except SynchronousOnlyOperation:
                said.append("refused")
        return said

    assert outcome(carrier, queries) == ["refused", "refused"]


def test_an_eager_task_is_refused(carrier: Carrier) -> None:
    async def eager(_data: Any) -> Any:
        coroutine = asyncio.sleep(1)
        try:
            asyncio.get_running_loop().create_task(coroutine, eager_start=True)  # type: ignore[call-arg]
        except RuntimeError as error:
            coroutine.close()
            return str(error)

    assert "eager" in outcome(carrier, eager)


def test_code_that_spins_is_parked_and_harms_no_other(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automation.durable.loop.MAX_CALLBACKS", 10_000)

    async def spins(_data: Any) -> Any:
        while True:
            await asyncio.sleep(0)

    async def fine(_data: Any) -> Any:
        return await call("echo", "fine")

    bad = begun(carrier, spins)
    assert outcome(carrier, fine) == "fine"
    row_ = row(bad)
    assert row_.status == ExecutionStatus.PARKED
    assert "without waiting" in row_.error_message


def test_a_finally_runs_in_its_own_run_only(carrier: Carrier) -> None:
    """A live run that is dropped is closed on the spot, its calls to the API refused."""
    said: list[str] = []

    async def cleans(_data: Any) -> Any:
        try:
            await asyncio.sleep(1000)
        finally:
            try:
                workflow.now()
                said.append("asked")
            except RuntimeError:
                said.append("refused")

    execution = begun(carrier, cleans)
    carrier.restart_workers()
    assert said != []
    said.clear()
    carrier.finish(execution)
    assert said[-1] == "asked"


def test_an_unknown_snippet_is_a_defect_of_the_code(carrier: Carrier) -> None:
    snippet.known.pop("missing", None)
    execution = carrier.start("flows_snippet", "missing")
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.PARKED
    assert "KeyError" in row(execution).error_message
