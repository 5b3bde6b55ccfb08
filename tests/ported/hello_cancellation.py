"""A workflow is cancelled while its activity heartbeats; it cleans up, and ends as cancelled."""

import asyncio
import threading
import time
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import Client, WorkflowFailureError
from automation.durable.exceptions import CancelledError
from automation.durable.worker import Worker

begun = threading.Event()
cleaned_up: list[str] = []


@activity.defn
def never_complete() -> None:
    try:
        while True:
            begun.set()
            time.sleep(0.02)
            activity.heartbeat()
    except CancelledError:
        cleaned_up.append("activity")
        raise


@activity.defn
def clean_up() -> None:
    cleaned_up.append("workflow")


@workflow.defn
class CancellationWorkflow:
    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.execute_activity(
                never_complete,
                start_to_close_timeout=timedelta(seconds=1000),
                heartbeat_timeout=timedelta(seconds=20),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        finally:
            await workflow.execute_activity(clean_up, start_to_close_timeout=timedelta(seconds=5))


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(
        client,
        task_queue="hello-cancellation",
        workflows=[CancellationWorkflow],
        activities=[never_complete, clean_up],
    ):
        handle = await client.start_workflow(
            CancellationWorkflow.run, id="hello-cancellation-id", task_queue="hello-cancellation"
        )
        while not begun.is_set():
            await asyncio.sleep(0.01)
        await handle.cancel()
        try:
            await handle.result()
        except WorkflowFailureError as error:
            print(f"Cancelled: {isinstance(error.cause, CancelledError)}, cleaned up: {cleaned_up}")


if __name__ == "__main__":
    asyncio.run(main())
