"""A wait that gives up after a time, and what is done then."""

import asyncio
from datetime import timedelta

from automation.durable import workflow
from automation.durable.client import Client
from automation.durable.worker import Worker


@workflow.defn
class ApprovalWorkflow:
    def __init__(self) -> None:
        self._approved_by: str | None = None

    @workflow.run
    async def run(self) -> str:
        reminders = 0
        while True:
            try:
                await workflow.wait_condition(lambda: self._approved_by is not None, timeout=timedelta(milliseconds=30))
                return f"approved by {self._approved_by}"
            except asyncio.TimeoutError:  # noqa: UP041 - as programs that are ported have it
                reminders += 1
                if reminders == 3:
                    return f"given up after {reminders} reminders"

    @workflow.signal
    def approve(self, by: str) -> None:
        self._approved_by = by


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-wait", workflows=[ApprovalWorkflow]):
        nobody = await client.start_workflow(ApprovalWorkflow.run, id="hello-wait-1", task_queue="hello-wait")
        ada = await client.start_workflow(
            ApprovalWorkflow.run,
            id="hello-wait-2",
            task_queue="hello-wait",
            start_signal="approve",
            start_signal_args=["Ada"],
        )
        print(f"{await nobody.result()}; {await ada.result()}")


if __name__ == "__main__":
    asyncio.run(main())
