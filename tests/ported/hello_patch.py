"""A workflow whose code has been changed: new runs go the new way."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@activity.defn
def compose_greeting(greeting: str, name: str) -> str:
    return f"{greeting}, {name}!"


@workflow.defn(name="my-workflow")
class InitialWorkflow:
    def __init__(self) -> None:
        self._may_go = False
        self._greeting = ""

    @workflow.run
    async def run(self, name: str) -> str:
        self._greeting = await workflow.execute_activity(
            compose_greeting, args=["Hello", name], start_to_close_timeout=timedelta(seconds=10)
        )
        await workflow.wait_condition(lambda: self._may_go)
        return self._greeting

    @workflow.signal
    def go(self) -> None:
        self._may_go = True

    @workflow.query
    def greeting(self) -> str:
        return self._greeting


@workflow.defn(name="my-workflow")
class PatchedWorkflow:
    def __init__(self) -> None:
        self._may_go = False
        self._greeting = ""

    @workflow.run
    async def run(self, name: str) -> str:
        word = "Goodbye" if workflow.patched("say-goodbye") else "Hello"
        self._greeting = await workflow.execute_activity(
            compose_greeting, args=[word, name], start_to_close_timeout=timedelta(seconds=10)
        )
        await workflow.wait_condition(lambda: self._may_go)
        return self._greeting

    @workflow.signal
    def go(self) -> None:
        self._may_go = True

    @workflow.query
    def greeting(self) -> str:
        return self._greeting


async def main(wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-patch", workflows=[InitialWorkflow], activities=[compose_greeting]):
        old = await client.start_workflow(InitialWorkflow.run, "old run", id="hello-patch-1", task_queue="hello-patch")
        # Until the greeting has been composed, which is where the change finds the run.
        while not await old.query(InitialWorkflow.greeting):
            await wait(0.01)
    async with Worker(client, task_queue="hello-patch", workflows=[PatchedWorkflow], activities=[compose_greeting]):
        new = await client.start_workflow(PatchedWorkflow.run, "new run", id="hello-patch-2", task_queue="hello-patch")
        for handle in (old, new):
            await handle.signal("go")
            print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
