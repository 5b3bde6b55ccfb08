"""A workflow is asked before, and after, it has ended."""

import asyncio

from automation.durable import workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@workflow.defn
class GreetingWorkflow:
    def __init__(self) -> None:
        self._greeting = ""
        self._may_go = False

    @workflow.run
    async def run(self, name: str) -> None:
        self._greeting = f"Hello, {name}!"
        await workflow.wait_condition(lambda: self._may_go)
        self._greeting = f"Goodbye, {name}!"

    @workflow.signal
    def go(self) -> None:
        self._may_go = True

    @workflow.query
    def greeting(self) -> str:
        return self._greeting


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-query", workflows=[GreetingWorkflow]):
        handle = await client.start_workflow(
            GreetingWorkflow.run, "World", id="hello-query-id", task_queue="hello-query"
        )
        await handle.signal(GreetingWorkflow.go)
        await handle.result()
        print(f"In the end: {await handle.query(GreetingWorkflow.greeting)}")


if __name__ == "__main__":
    asyncio.run(main())
