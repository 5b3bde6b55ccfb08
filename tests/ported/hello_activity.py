"""One workflow, one activity with a dataclass as its input."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@dataclass
class GreetingInput:
    greeting: str
    name: str


@activity.defn
def compose_greeting(given: GreetingInput) -> str:
    activity.logger.info("composing for %s", given.name)
    return f"{given.greeting}, {given.name}!"


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> str:
        workflow.logger.info("greeting %s", name)
        return await workflow.execute_activity(
            compose_greeting, GreetingInput("Hello", name), start_to_close_timeout=timedelta(seconds=10)
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-activity", workflows=[GreetingWorkflow], activities=[compose_greeting]):
        result = await client.execute_workflow(
            GreetingWorkflow.run, "World", id="hello-activity-id", task_queue="hello-activity"
        )
        print(f"Result: {result}")


if __name__ == "__main__":
    asyncio.run(main())
