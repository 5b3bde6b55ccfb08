"""An activity that runs where the workflow does."""

import asyncio
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@activity.defn
def compose_greeting(greeting: str, name: str) -> str:
    return f"{greeting}, {name}! (local: {activity.info().is_local})"


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_local_activity(
            compose_greeting, args=["Hello", name], start_to_close_timeout=timedelta(seconds=10)
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-local", workflows=[GreetingWorkflow], activities=[compose_greeting]):
        result = await client.execute_workflow(
            GreetingWorkflow.run, "World", id="hello-local-id", task_queue="hello-local"
        )
        print(f"Result: {result}")


if __name__ == "__main__":
    asyncio.run(main())
