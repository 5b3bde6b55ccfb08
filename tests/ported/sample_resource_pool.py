"""A pool of resources that workflows take by signals, one of them each, and give back whatever happens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Optional

from automation.durable import activity, workflow
from automation.durable.client import Client, WorkflowFailureError
from automation.durable.exceptions import ApplicationError
from automation.durable.worker import Worker


@dataclass
class PoolInput:
    resources: dict[str, Optional[str]]  # noqa: UP045 - as programs that are ported have it
    waiting: list[str]


@dataclass
class Assigned:
    resource: str


@workflow.defn
class PoolWorkflow:
    @workflow.init
    def __init__(self, given: PoolInput) -> None:
        self.resources = given.resources
        self.waiting = deque(given.waiting)

    @workflow.signal
    async def acquire(self, requester: str) -> None:
        self.waiting.append(requester)

    @workflow.signal
    async def release(self, given: Assigned) -> None:
        self.resources[given.resource] = None

    @workflow.query
    def holders(self) -> dict[str, Optional[str]]:  # noqa: UP045
        return self.resources

    def free(self) -> Optional[str]:  # noqa: UP045
        return next((name for name, holder in self.resources.items() if holder is None), None)

    @workflow.run
    async def run(self, given: PoolInput) -> None:
        while True:
            await workflow.wait_condition(lambda: self.is_long() or bool(self.waiting and self.free()))
            if self.is_long():
                workflow.continue_as_new(PoolInput(self.resources, list(self.waiting)))
            resource, requester = self.free(), self.waiting.popleft()
            assert resource is not None
            self.resources[resource] = requester
            await workflow.get_external_workflow_handle(requester).signal("assigned", Assigned(resource))

    def is_long(self) -> bool:
        return workflow.info().get_current_history_length() > 15


in_use: set[str] = set()


@activity.defn
async def use(resource: str, fails: bool) -> None:
    assert resource not in in_use, f"{resource} is held twice"
    in_use.add(resource)
    await asyncio.sleep(0.002)
    in_use.remove(resource)
    if fails:
        raise ApplicationError("it broke", non_retryable=True)


@workflow.defn
class UserWorkflow:
    @asynccontextmanager
    async def resource_of(self, pool: str) -> AsyncIterator[str]:
        assigned: list[Assigned] = []

        async def take(given: Assigned) -> None:
            assigned.append(given)

        workflow.set_signal_handler("assigned", take)
        handle = workflow.get_external_workflow_handle_for(PoolWorkflow.run, pool)
        await handle.signal(PoolWorkflow.acquire, workflow.info().workflow_id)
        await workflow.wait_condition(lambda: bool(assigned), timeout=timedelta(minutes=2))
        try:
            yield assigned[0].resource
        finally:
            await handle.signal(PoolWorkflow.release, assigned[0])

    @workflow.run
    async def run(self, pool: str, fails: bool) -> str:
        async with self.resource_of(pool) as resource:
            await workflow.execute_activity(use, args=[resource, fails], start_to_close_timeout=timedelta(seconds=30))
            return resource


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="sample-pool", workflows=[PoolWorkflow, UserWorkflow], activities=[use]):
        resources: dict[str, Optional[str]] = {"one": None, "two": None}  # noqa: UP045
        pool = await client.start_workflow(
            PoolWorkflow.run, PoolInput(resources, []), id="sample-pool", task_queue="sample-pool"
        )
        handles = [
            await client.start_workflow(
                UserWorkflow.run, args=[pool.id, number == 2], id=f"sample-user-{number}", task_queue="sample-pool"
            )
            for number in range(8)
        ]
        results = await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
        failed = [str(one.cause.__cause__) for one in results if isinstance(one, WorkflowFailureError)]
        print(f"Used {sum(one in resources for one in results)} times")
        print(f"Failed: {failed}")
        current = client.get_workflow_handle_for(PoolWorkflow.run, pool.id)
        while any((await current.query(PoolWorkflow.holders)).values()):
            await asyncio.sleep(0.01)
        await current.terminate(reason="enough")
        print(f"Held in the end: {await current.query(PoolWorkflow.holders)}")


if __name__ == "__main__":
    asyncio.run(main())
