"""Two workers, of which one has a queue of its own: files stay on the host that has loaded them. Heartbeats by a
decorator."""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar, cast

from automation.durable import activity, workflow
from automation.durable.client import Client
from automation.durable.common import RetryPolicy
from automation.durable.worker import Worker

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


def auto_heartbeater(fn: F) -> F:
    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        timeout = activity.info().heartbeat_timeout
        task = asyncio.create_task(heartbeat_every(timeout.total_seconds() / 100)) if timeout else None
        try:
            return await fn(*args, **kwargs)
        finally:
            if task:
                task.cancel()
                await asyncio.wait([task])

    return cast(F, wrapper)


async def heartbeat_every(delay: float, *details: Any) -> None:
    while True:
        await asyncio.sleep(delay)
        activity.heartbeat(*details)


def select_queue(unique: str) -> Callable[[], Awaitable[str]]:
    @activity.defn(name="get_available_task_queue")
    async def select() -> str:
        return unique

    return select


@activity.defn
def download(url: str) -> str:
    return f"{url} on a host of its own: {activity.info().task_queue.startswith('host-')}"


working = asyncio.Event()


@activity.defn
@auto_heartbeater
async def work_until_cancelled(path: str) -> str:
    working.set()
    try:
        await asyncio.Future()
    except asyncio.CancelledError:
        return f"{path}, cancelled"
    raise RuntimeError("unreachable")


@workflow.defn
class FileWorkflow:
    @workflow.run
    async def run(self) -> str:
        queue: str = await workflow.execute_activity(
            "get_available_task_queue", start_to_close_timeout=timedelta(seconds=30)
        )
        path = await workflow.execute_activity(
            download, "a file", start_to_close_timeout=timedelta(seconds=30), task_queue=queue
        )
        return await workflow.execute_activity(
            work_until_cancelled,
            path,
            start_to_close_timeout=timedelta(hours=20),
            heartbeat_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            task_queue=queue,
        )


async def main() -> None:
    client = await Client.connect("localhost:7233")
    unique = f"host-{uuid.uuid4()}"
    with ThreadPoolExecutor(2) as executor:
        shared = Worker(client, task_queue="sample-files", workflows=[FileWorkflow], activities=[select_queue(unique)])
        host = Worker(
            client, task_queue=unique, activities=[download, work_until_cancelled], activity_executor=executor
        )
        running = [asyncio.create_task(worker.run()) for worker in (shared, host)]
        handle = await client.start_workflow(FileWorkflow.run, id="sample-file", task_queue="sample-files")
        while not working.is_set():
            await asyncio.sleep(0.01)
        await handle.cancel()
        print(f"Result: {await handle.result()}")
        await asyncio.gather(shared.shutdown(), host.shutdown())
        await asyncio.gather(*running)


if __name__ == "__main__":
    asyncio.run(main())
