"""An activity that heartbeats how far it is, dies on the way, and goes on from there."""

import asyncio
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.common import RetryPolicy
from automation.durable.worker import Worker


@activity.defn
def count_rows(rows: int) -> list[int]:
    """The rows that this attempt did itself."""
    begin = int(activity.info().heartbeat_details[0]) + 1 if activity.info().heartbeat_details else 0
    mine = []
    for row in range(begin, rows):
        mine.append(row)
        activity.heartbeat(row)
        if activity.info().attempt == 1 and row == 2:
            raise RuntimeError("the machine is gone")
    return mine


@workflow.defn
class CountWorkflow:
    @workflow.run
    async def run(self, rows: int) -> list[int]:
        return await workflow.execute_activity(
            count_rows,
            rows,
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=20)),
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-heartbeat", workflows=[CountWorkflow], activities=[count_rows]):
        result = await client.execute_workflow(
            CountWorkflow.run, 6, id="hello-heartbeat-id", task_queue="hello-heartbeat"
        )
        print(f"Done by the last attempt: {result}")


if __name__ == "__main__":
    asyncio.run(main())
