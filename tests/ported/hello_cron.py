"""A workflow that runs every minute, by a cron schedule of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@activity.defn
def say_hello(name: str) -> None:
    print(f"Hello, {name}!")


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> None:
        await workflow.execute_activity(say_hello, name, start_to_close_timeout=timedelta(seconds=10))


async def main(wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-cron", workflows=[GreetingWorkflow], activities=[say_hello]):
        handle = await client.start_workflow(
            GreetingWorkflow.run,
            "every minute",
            id="hello-cron-id",
            task_queue="hello-cron",
            cron_schedule="* * * * *",
        )
        await wait(140)
        await handle.terminate()


if __name__ == "__main__":
    asyncio.run(main())
