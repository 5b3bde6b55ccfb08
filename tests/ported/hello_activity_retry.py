"""An activity that fails three times, tried again by its policy."""

import asyncio
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.common import RetryPolicy
from automation.durable.worker import Worker


@activity.defn
async def compose_greeting(name: str) -> str:
    attempt = activity.info().attempt
    if attempt < 4:
        raise RuntimeError(f"attempt {attempt} fails")
    return f"Hello, {name}, at attempt {attempt}!"


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            compose_greeting,
            name,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=20), maximum_interval=timedelta(milliseconds=50)
            ),
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-retry", workflows=[GreetingWorkflow], activities=[compose_greeting]):
        result = await client.execute_workflow(
            GreetingWorkflow.run, "World", id="hello-retry-id", task_queue="hello-retry"
        )
        print(f"Result: {result}")


if __name__ == "__main__":
    asyncio.run(main())
