"""Handlers that wait and run activities beside `run`, one at a time; the state goes over from run to run."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Dict, List, Optional, Set  # noqa: UP035 - as programs that are ported have it

from automation.durable import activity, workflow
from automation.durable.client import Client, WorkflowUpdateFailedError
from automation.durable.exceptions import ApplicationError
from automation.durable.worker import Replayer, Worker


@dataclass
class ClusterState:
    nodes: Dict[str, Optional[str]] = field(default_factory=dict)  # noqa: UP006, UP045
    jobs: Set[str] = field(default_factory=set)  # noqa: UP006


@dataclass
class ClusterInput:
    state: Optional[ClusterState] = None  # noqa: UP045
    longest: int = 12


@dataclass(kw_only=True)
class AssignInput:
    nodes: int
    job: str


@activity.defn
async def start_cluster() -> List[str]:  # noqa: UP006
    return [str(number) for number in range(9)]


@activity.defn
async def assign(nodes: Set[str], job: str) -> None:  # noqa: UP006
    assert isinstance(nodes, set)
    await asyncio.sleep(0.001)


@workflow.defn
class ClusterWorkflow:
    @workflow.init
    def __init__(self, given: ClusterInput) -> None:
        self.state = given.state or ClusterState()
        self.lock = asyncio.Lock()
        self.over = False

    @workflow.signal
    async def start(self) -> None:
        names = await workflow.execute_activity(start_cluster, schedule_to_close_timeout=timedelta(seconds=30))
        self.state.nodes = dict.fromkeys(names)

    @workflow.signal
    async def shut_down(self) -> None:
        await workflow.wait_condition(lambda: bool(self.state.nodes))
        self.over = True

    @workflow.update
    async def assign_nodes(self, given: AssignInput) -> Set[str]:  # noqa: UP006
        await workflow.wait_condition(lambda: bool(self.state.nodes))
        async with self.lock:
            if given.job not in self.state.jobs:
                free = [node for node, job in self.state.nodes.items() if job is None]
                if len(free) < given.nodes:
                    raise ApplicationError(f"{given.nodes} nodes wanted, {len(free)} are free", type="Full")
                chosen = set(free[: given.nodes])
                await workflow.execute_activity(
                    assign, args=[chosen, given.job], start_to_close_timeout=timedelta(seconds=30)
                )
                self.state.nodes.update(dict.fromkeys(sorted(chosen), given.job))
                self.state.jobs.add(given.job)
            return {node for node, job in self.state.nodes.items() if job == given.job}

    @workflow.run
    async def run(self, given: ClusterInput) -> int:
        await workflow.wait_condition(lambda: self.over or self.is_long(given))
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.over:
            workflow.continue_as_new(ClusterInput(self.state, given.longest))
        return sum(job is not None for job in self.state.nodes.values())

    def is_long(self, given: ClusterInput) -> bool:
        return workflow.info().get_current_history_length() > given.longest


async def main() -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(
        client, task_queue="sample-handlers", workflows=[ClusterWorkflow], activities=[start_cluster, assign]
    ):
        handle = await client.start_workflow(
            ClusterWorkflow.run, ClusterInput(), id="sample-cluster", task_queue="sample-handlers"
        )
        await handle.signal(ClusterWorkflow.start)
        wanted = [AssignInput(nodes=2, job=f"job {number}") for number in (1, 2, 3, 4, 1)]
        given = await asyncio.gather(
            *(client.get_workflow_handle(handle.id).execute_update(ClusterWorkflow.assign_nodes, one) for one in wanted)
        )
        print(f"{len(set.union(*given))} nodes assigned, job 1 keeps its own: {given[0] == given[4]}")
        current = client.get_workflow_handle(handle.id)
        try:
            await current.execute_update(ClusterWorkflow.assign_nodes, AssignInput(nodes=2, job="job 5"))
        except WorkflowUpdateFailedError as error:
            print(f"Refused: {error.cause}")
        await current.signal(ClusterWorkflow.shut_down)
        print(f"In the end: {await current.result()}")
        histories = client.list_workflows("WorkflowType = 'ClusterWorkflow'").map_histories()
        replayed = await Replayer(workflows=[ClusterWorkflow]).replay_workflows(histories)
        print(f"Replayed, with failures: {dict(replayed.replay_failures)}")


if __name__ == "__main__":
    asyncio.run(main())
