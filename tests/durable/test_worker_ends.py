"""A worker in this process ends promptly, whatever it is doing, and what it leaves goes on with the next one."""

from __future__ import annotations

import asyncio
import datetime as dt
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from automation import clock
from automation.durable import activity, canvas, completions, in_process, registry, workflow
from automation.durable.client import Client, SyncClient
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import CancelledError
from automation.durable.registry import UnknownName
from automation.durable.turns import Turn
from automation.durable.worker import Worker
from automation.models import ExecutionStep, WorkerHeartbeat, WorkflowExecution
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share no in-memory database")

QUEUE = "ends"
LIMIT = dt.timedelta(seconds=60)
AGAIN = RetryPolicy(initial_interval=dt.timedelta(milliseconds=20), maximum_attempts=5)


class Work:
    """Activities of every kind, and what the test says to them and hears of them."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.heard: list[str] = []

    @activity.defn(name="ends_work")
    def plain(self, attempts: int) -> str:
        """Heartbeats until it is told to stop, in each attempt but the last."""
        self.begun.release()
        try:
            while activity.info().attempt < attempts and not self.may_end.wait(0.01):
                activity.heartbeat(activity.info().attempt)
        except CancelledError:
            details = activity.cancellation_details()
            self.heard.append(f"shutdown: {details is not None and details.worker_shutdown}")
            raise
        return f"attempt {activity.info().attempt}"

    @activity.defn(name="ends_work")
    async def coroutine(self, attempts: int) -> str:
        self.begun.release()
        if activity.info().attempt < attempts:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.heard.append(f"shutdown: {activity.is_worker_shutdown()}")
                raise
        return f"attempt {activity.info().attempt}"

    @activity.defn(name="ends_work")
    def graceful(self, attempts: int) -> str:
        self.begun.release()
        activity.wait_for_worker_shutdown_sync(LIMIT)
        assert not activity.is_cancelled()
        return f"attempt {activity.info().attempt}"

    @activity.defn(name="ends_work")
    def deaf(self, attempts: int) -> str:
        self.begun.release()
        if activity.info().attempt < attempts:
            assert self.may_end.wait(LIMIT.total_seconds())
        return f"attempt {activity.info().attempt}"


@workflow.defn(name="ends_one")
class One:
    @workflow.run
    async def run(self, attempts: int) -> str:
        result: str = await workflow.execute_activity(
            "ends_work", attempts, start_to_close_timeout=LIMIT, retry_policy=AGAIN
        )
        return result


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "_publish", lambda signature: True)


@pytest.fixture
def work() -> Iterator[Work]:
    one = Work()
    yield one
    one.may_end.set()
    wait_until(lambda: not carriers(), 60, lambda: f"threads that do not end: {carriers()}")


def carriers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("carrier")]


def worker(activities: list[Any], **options: Any) -> Worker:
    return Worker(SyncClient(), task_queue=QUEUE, workflows=[One], activities=activities, **options)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_what_runs_is_asked_to_stop_and_goes_on_with_the_next_worker(kind: str, work: Work) -> None:
    chosen = getattr(work, kind)
    with worker([chosen]):
        handle = SyncClient().start_workflow(One.run, 2, id="one", task_queue=QUEUE)
        assert work.begun.acquire(timeout=60)
    assert work.heard == ["shutdown: True"]
    assert carriers() == []
    step = ExecutionStep.objects.get()
    assert (step.status, step.attempt, step.worker) == ("pending", 1, "")
    assert "WorkerShutdown" in step.failure
    with worker([chosen]):
        assert handle.result(rpc_timeout=LIMIT) == "attempt 2"
    nodes = WorkerHeartbeat.objects.filter(queues=[QUEUE])
    assert nodes.count() == 2, "a node that has said that it stopped does not come back"
    assert not nodes.filter(stopped_at=None).exists()


def test_a_grace_lets_it_come_to_its_end(work: Work) -> None:
    with worker([work.graceful], graceful_shutdown_timeout=LIMIT):
        handle = SyncClient().start_workflow(One.run, 1, id="one", task_queue=QUEUE)
        assert work.begun.acquire(timeout=60)
    step = ExecutionStep.objects.get()
    assert (step.status, step.output) == ("completed", '"attempt 1"')
    with worker([work.graceful]):
        assert handle.result(rpc_timeout=LIMIT) == "attempt 1"


def test_what_does_not_stop_is_left_to_itself_and_its_step_to_others(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.DURABLE_SWEEP_INTERVAL = 0.05
    settings.DURABLE_LEASE = 0.2
    with monkeypatch.context() as hasty:
        hasty.setattr(in_process, "PATIENCE", 0.05)
        with worker([work.deaf]):
            handle = SyncClient().start_workflow(One.run, 2, id="one", task_queue=QUEUE)
            assert work.begun.acquire(timeout=60)
    assert "left to themselves, since they do not stop: ends_work" in caplog.text
    assert len(carriers()) == 1
    with worker([work.deaf]):
        assert handle.result(rpc_timeout=LIMIT) == "attempt 2"
    work.may_end.set()
    wait_until(lambda: not carriers(), 60)
    step = ExecutionStep.objects.get()
    assert (step.status, step.output, step.recoveries) == ("completed", '"attempt 2"', 1)


def test_interrupted_while_it_ends_it_leaves_at_once(work: Work) -> None:
    async def use(ends: asyncio.Event) -> None:
        client = await Client.connect()
        async with Worker(client, task_queue=QUEUE, workflows=[One], activities=[work.deaf]):
            await client.start_workflow(One.run, 2, id="one", task_queue=QUEUE)
            assert await asyncio.to_thread(work.begun.acquire, timeout=60)
            ends.set()

    @async_to_sync
    async def interrupt() -> None:
        ends = asyncio.Event()
        task = asyncio.create_task(use(ends))
        await ends.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    interrupt()
    assert carriers(), "its activity goes on: nothing could end it"
    with pytest.raises(UnknownName):
        registry.activity("ends_work")


def test_signals_and_cancellation_come_through_while_every_thread_is_busy(work: Work) -> None:
    @workflow.defn(name="ends_hears")
    class Hears:
        def __init__(self) -> None:
            self.heard = ""

        @workflow.run
        async def run(self) -> str:
            running = workflow.start_activity("ends_work", 99, start_to_close_timeout=LIMIT, retry_policy=AGAIN)
            await workflow.wait_condition(lambda: bool(self.heard))
            running.cancel()
            return self.heard

        @workflow.signal
        def hear(self, word: str) -> None:
            self.heard = word

    with Worker(
        SyncClient(), task_queue=QUEUE, workflows=[Hears], activities=[work.plain], max_concurrent_activities=1
    ):
        handle = SyncClient().start_workflow(Hears.run, id="one", task_queue=QUEUE)
        assert work.begun.acquire(timeout=60)
        handle.signal(Hears.hear, "a word")
        assert handle.result(rpc_timeout=LIMIT) == "a word"
        wait_until(lambda: work.heard, 60)
    assert work.heard == ["shutdown: False"]


def test_threads_are_added_while_all_are_busy(work: Work) -> None:
    together = threading.Barrier(7)

    @activity.defn(name="ends_together")
    def meet(number: int) -> int:
        together.wait(60)
        return number

    @workflow.defn(name="ends_all")
    class All:
        @workflow.run
        async def run(self) -> list[int]:
            calls = (workflow.execute_activity(meet, n, start_to_close_timeout=LIMIT) for n in range(7))
            return list(await asyncio.gather(*calls))

    with Worker(SyncClient(), task_queue=QUEUE, workflows=[All], activities=[meet], max_concurrent_activities=100):
        handle = SyncClient().start_workflow(All.run, id="one", task_queue=QUEUE)
        assert handle.result(rpc_timeout=LIMIT) == list(range(7))


def test_an_activity_that_exits_ends_no_thread(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    @activity.defn(name="ends_work")
    def exits(attempts: int) -> str:
        if activity.info().attempt < attempts:
            sys.exit("as a script does")
        return f"attempt {activity.info().attempt}"

    with worker([exits], max_concurrent_activities=1):
        handle = SyncClient().start_workflow(One.run, 2, id="one", task_queue=QUEUE)
        assert handle.result(rpc_timeout=LIMIT) == "attempt 2"
    assert "as a script does" in caplog.text


def test_what_it_does_not_come_to_any_more_is_the_next_worker_s(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(canvas, "_publish", lambda signature: bool(sent.append(signature)) or True)
    execution = WorkflowExecution.objects.create(definition="ends_one", queue=QUEUE, created_at=clock.now())
    turns = [Turn(execution.id, None, QUEUE), Turn(execution.id, 3, QUEUE)]
    carrier = in_process.Carrier([QUEUE], 1)
    for turn in turns:
        assert carrier._turns.begin(turn)  # this thread is at it, until the end
    carrier.start()
    asking = threading.Thread(target=lambda: [carrier._go_on(turn) for turn in turns])
    asking.start()
    asking.join()
    for pause in carrier.stopping():
        time.sleep(pause)
    assert [(one.task, one.args) for one in sent] == [
        (canvas.VISIT, ([[str(execution.id), None]],)),
        (canvas.JOIN, (str(execution.id), 3)),
    ]


def test_what_another_process_completes_is_found_by_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: queue.Queue[bytes] = queue.Queue()

    @activity.defn(name="ends_work")
    def outside(attempts: int) -> str:
        tokens.put(activity.info().task_token)
        activity.raise_complete_async()

    with worker([outside]):
        handle = SyncClient().start_workflow(One.run, 1, id="one", task_queue=QUEUE)
        step = wait_until(lambda: completions.by_token(tokens.get(timeout=60)))
        wait_until(lambda: ExecutionStep.objects.get().worker == "", 60)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(canvas, "_publish", lambda signature: True)  # which this worker does not hear
            completions.complete(step, "from afar")
        assert handle.result(rpc_timeout=LIMIT) == "from afar"


def test_workers_that_end_in_another_order_keep_their_definitions() -> None:
    @activity.defn(name="ends_work")
    def first(attempts: int) -> str:
        return "first"

    @activity.defn(name="ends_work")
    def second(attempts: int) -> str:
        return "second"

    one = Worker(SyncClient(), task_queue="ends-1", workflows=[One], activities=[first])
    two = Worker(SyncClient(), task_queue=QUEUE, workflows=[One], activities=[second])
    one.start()
    two.start()
    one.stop()
    assert SyncClient().execute_workflow(One.run, 1, id="one", task_queue=QUEUE, rpc_timeout=LIMIT) == "second"
    two.stop()
    with pytest.raises(UnknownName):
        registry.activity("ends_work")


SCRIPT = """
import asyncio, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whose parent runs in the background may have it ignored
from datetime import timedelta
from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker

@activity.defn
def deaf() -> None:
    print("begun", flush=True)
    time.sleep(600)

@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(deaf, start_to_close_timeout=timedelta(hours=1))

async def main() -> None:
    client = await Client.connect("localhost:7233")
    try:
        async with Worker(client, task_queue="ctrl-c", workflows=[Waits], activities=[deaf]):
            try:
                await client.execute_workflow(Waits.run, id="ctrl-c", task_queue="ctrl-c")
            finally:
                print("ends", flush=True)
    finally:
        print("left", flush=True)

asyncio.run(main())
"""


@pytest.mark.real
def test_a_second_ctrl_c_ends_a_script_whose_activity_does_not_stop(
    tmp_path: Path, process_environment: dict[str, str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**process_environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "ends\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
        assert process.stdout.read() == "left\n"
    finally:
        process.kill()
        process.wait()
