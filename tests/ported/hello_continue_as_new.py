"""A loop of five runs, each with a history of its own."""

import asyncio

from automation.durable import workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@workflow.defn
class LoopingWorkflow:
    @workflow.run
    async def run(self, iteration: int) -> str:
        if iteration < 5:
            await asyncio.sleep(0.01)
            workflow.continue_as_new(iteration + 1)
        return f"{workflow.info().workflow_id} at iteration {iteration}"


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-continue", workflows=[LoopingWorkflow]):
        result = await client.execute_workflow(
            LoopingWorkflow.run, 1, id="hello-continue-id", task_queue="hello-continue"
        )
        print(f"Result: {result}")


if __name__ == "__main__":
    asyncio.run(main())
