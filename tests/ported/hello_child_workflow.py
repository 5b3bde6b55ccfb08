"""A parent and its child."""

import asyncio
from dataclasses import dataclass

from automation.durable import workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@dataclass
class GreetingInput:
    greeting: str
    name: str


@workflow.defn
class ComposeGreetingWorkflow:
    @workflow.run
    async def run(self, given: GreetingInput) -> str:
        return f"{given.greeting}, {given.name}!"


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_child_workflow(
            ComposeGreetingWorkflow.run,
            GreetingInput("Hello", name),
            id="hello-child-of-the-workflow",
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-child", workflows=[GreetingWorkflow, ComposeGreetingWorkflow]):
        result = await client.execute_workflow(
            GreetingWorkflow.run, "World", id="hello-child-id", task_queue="hello-child"
        )
        print(f"Result: {result}")


if __name__ == "__main__":
    asyncio.run(main())
