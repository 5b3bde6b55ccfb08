"""A schedule that starts a workflow every two minutes; it is paused, triggered and deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from automation.durable import activity, workflow
from automation.durable.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleState,
)
from automation.durable.worker import Worker


@activity.defn
def say_hello(name: str) -> None:
    print(f"Hello, {name}!")


@workflow.defn
class GreetingWorkflow:
    @workflow.run
    async def run(self, name: str) -> None:
        await workflow.execute_activity(say_hello, name, start_to_close_timeout=timedelta(seconds=10))


async def main(wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="hello-schedule", workflows=[GreetingWorkflow], activities=[say_hello]):
        handle = await client.create_schedule(
            "hello-schedule-id",
            Schedule(
                action=ScheduleActionStartWorkflow(
                    GreetingWorkflow.run, "by schedule", id="hello-scheduled", task_queue="hello-schedule"
                ),
                spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(minutes=2))]),
                state=ScheduleState(note="a greeting now and then"),
            ),
        )
        await wait(4 * 60)
        await handle.pause(note="enough")
        await wait(4 * 60)
        await handle.trigger()
        await wait(1)
        description = await handle.describe()
        print(f"{description.info.num_actions} actions, note: {description.schedule.state.note}")
        await handle.delete()


if __name__ == "__main__":
    asyncio.run(main())
