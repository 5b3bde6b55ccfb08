"""Names come by signals, until one says that there are no more."""

import asyncio

from automation.durable import workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@workflow.defn
class GreetingWorkflow:
    def __init__(self) -> None:
        self._pending: asyncio.Queue[str] = asyncio.Queue()
        self._exit = False

    @workflow.run
    async def run(self) -> list[str]:
        greetings: list[str] = []
        while True:
            await workflow.wait_condition(lambda: not self._pending.empty() or self._exit)
            while not self._pending.empty():
                greetings.append(f"Hello, {self._pending.get_nowait()}")
            if self._exit:
                return greetings

    @workflow.signal
    async def submit_greeting(self, name: str) -> None:
        await self._pending.put(name)

    @workflow.signal
    def exit(self) -> None:
        self._exit = True


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-signal", workflows=[GreetingWorkflow]):
        handle = await client.start_workflow(GreetingWorkflow.run, id="hello-signal-id", task_queue="hello-signal")
        await handle.signal(GreetingWorkflow.submit_greeting, "user1")
        await handle.signal("submit_greeting", "user2")
        await handle.signal(GreetingWorkflow.submit_greeting, "user3")
        await handle.signal(GreetingWorkflow.exit)
        print(f"Result: {await handle.result()}")


if __name__ == "__main__":
    asyncio.run(main())
