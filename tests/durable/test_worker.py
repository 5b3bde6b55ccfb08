"""A worker in this process, by rows and without a broker; see tests/replay for the replay of histories."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from automation.durable import activity, canvas, registry, workflow
from automation.durable.client import Client, SyncClient
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.worker import Worker
from automation.models import WorkerHeartbeat, WorkflowExecution
from tests.flows.workflows import Script
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share no in-memory database")

QUEUE = "in-process"
LIMIT = dt.timedelta(seconds=30)
RETRY = RetryPolicy(initial_interval=dt.timedelta(milliseconds=20), maximum_attempts=3)


@workflow.defn(name="worker_greets")
class Greets:
    def __init__(self) -> None:
        self.name = ""

    @workflow.run
    async def run(self, greeting: str) -> list[str]:
        await workflow.wait_condition(lambda: bool(self.name))
        await asyncio.sleep(0.01)
        return list(
            await asyncio.gather(
                *(
                    workflow.execute_activity(
                        greet, args=[greeting, self.name, n], start_to_close_timeout=LIMIT, retry_policy=RETRY
                    )
                    for n in range(3)
                )
            )
        )

    @workflow.signal
    def meet(self, name: str) -> None:
        self.name = name


@activity.defn(name="worker_greet")
async def greet(greeting: str, name: str, number: int) -> str:
    if activity.info().attempt < 2:
        raise ConnectionError("not yet")
    return f"{greeting}, {name} {number}"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes out to the broker."""
    sent: list[Any] = []
    monkeypatch.setattr(canvas, "_publish", lambda signature: bool(sent.append(signature)) or True)
    return sent


def test_it_runs_what_waits_in_its_queue(elsewhere: list[Any]) -> None:
    @async_to_sync
    async def use() -> list[str]:
        client = await Client.connect()
        early = await client.start_workflow(Greets.run, "Hei", id="early", task_queue=QUEUE)
        async with Worker(client, task_queue=QUEUE, workflows=[Greets], activities=[greet]) as worker:
            assert worker.is_running
            late = await client.start_workflow(Greets.run, "Moi", id="late", task_queue=QUEUE)
            await late.signal(Greets.meet, "Bo")
            await early.signal(Greets.meet, "Ada")
            results = [await early.result(rpc_timeout=LIMIT), await late.result(rpc_timeout=LIMIT)]
        assert worker.is_shutdown
        return [*results[0], *results[1]]

    assert use() == [*(f"Hei, Ada {n}" for n in range(3)), *(f"Moi, Bo {n}" for n in range(3))]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("carrier")]
    assert WorkerHeartbeat.objects.get(queues=[QUEUE]).stopped_at is not None
    assert [message for message in elsewhere if message.options["queue"] == QUEUE] == elsewhere[:1], "before it began"
    with pytest.raises(registry.UnknownName):
        registry.activity("worker_greet")


def test_chains_and_chords_run_by_rows_and_other_queues_get_their_messages(elsewhere: list[Any]) -> None:
    plan = [
        "all",
        ["chain", ["echo", 1], ["group", ["echo", 2], ["flaky", 3, 1]], ["echo", 4]],
        ["gather", ["call", "add", 1, 2], ["sleep", 0.05], ["call", "async_echo", "x"]],
    ]
    client = SyncClient()
    with Worker(client, task_queue=QUEUE, workflows=[Script]):
        handle = client.start_workflow(Script.run, plan, id="script", task_queue=QUEUE)
        assert handle.result(rpc_timeout=LIMIT) == [[1, [2, 3], 4], [3, "slept", "x"]]
        assert elsewhere == []
        client.start_workflow(Script.run, ["call", "elsewhere", 1], id="far", task_queue=QUEUE)
        wait_until(lambda: elsewhere, timeout=60)
        assert {message.options["queue"] for message in elsewhere} == {registry.activity("flows_elsewhere").queue}


def test_it_takes_failure_types_and_refuses_what_it_would_miss() -> None:
    @workflow.defn(name="worker_fails")
    class Fails:
        @workflow.run
        async def run(self) -> None:
            raise KeyError("nothing there")

    client = SyncClient()
    with (
        Worker(client, task_queue=QUEUE, workflows=[Fails], workflow_failure_exception_types=[KeyError]),
        pytest.raises(WorkflowFailureError, match="nothing there"),
    ):
        client.execute_workflow(Fails.run, id="fails", task_queue=QUEUE)
    with pytest.raises(TypeError, match="Worker has no 'interceptors'"):
        Worker(client, task_queue=QUEUE, workflows=[Fails], interceptors=[object()])
    with pytest.raises(ValueError, match="at least one workflow or activity"):
        Worker(client, task_queue=QUEUE)
    assert WorkflowExecution.objects.get(business_id="fails").status == "failed"


def test_it_runs_until_it_is_told_to_stop(elsewhere: list[Any]) -> None:
    @async_to_sync
    async def use() -> None:
        worker = Worker(await Client.connect(), task_queue=QUEUE, workflows=[Greets])
        running = asyncio.create_task(worker.run())
        while not worker.is_running:
            await asyncio.sleep(0.01)
        await worker.shutdown()
        await running

    use()
