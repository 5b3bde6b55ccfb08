"""An activity that is completed later, by its task token, from outside of its worker."""

import asyncio
import queue
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


class GreetingComposer:
    def __init__(self) -> None:
        self.asked: queue.Queue[tuple[bytes, str]] = queue.Queue()

    @activity.defn
    def compose_greeting(self, name: str) -> str:
        self.asked.put((activity.info().task_token, name))
        activity.raise_complete_async()


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity_method(
            GreetingComposer.compose_greeting,  # type: ignore[arg-type]
            name,
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=30),
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    composer = GreetingComposer()
    async with Worker(
        client, task_queue="hello-async", workflows=[GreetingWorkflow], activities=[composer.compose_greeting]
    ):
        handle = await client.start_workflow(
            GreetingWorkflow.run, "World", id="hello-async-id", task_queue="hello-async"
        )
        token, name = await asyncio.to_thread(composer.asked.get, timeout=60)
        completion = client.get_async_activity_handle(task_token=token)
        await completion.heartbeat("half of it")
        await completion.complete(f"Hello, {name}, from outside!")
        print(f"Result: {await handle.result()}")


if __name__ == "__main__":
    asyncio.run(main())
