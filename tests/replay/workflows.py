"""The workflows whose histories are recorded here. Their code is never edited: a change of the engine that breaks a
recorded history breaks executions that are under way somewhere."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Any

from automation.durable import activity, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError

LIMIT = dt.timedelta(seconds=20)
RETRY = RetryPolicy(initial_interval=dt.timedelta(seconds=1), maximum_attempts=3)


@dataclass
class Order:
    number: int
    placed_at: dt.datetime


@activity.defn(name="replay_echo")
def echo(value: Any) -> Any:
    return value


@activity.defn(name="replay_flaky")
def flaky(value: Any) -> Any:
    if activity.info().attempt < 3:
        raise ConnectionError(f"attempt {activity.info().attempt}")
    return value


@activity.defn(name="replay_refuse")
def refuse(value: Any) -> Any:
    raise ApplicationError(f"refused {value}", type="Refused", non_retryable=True)


ACTIVITIES = [echo, flaky, refuse]


def call(name: str, *args: Any) -> Any:
    return workflow.execute_activity(
        f"replay_{name}", args=list(args), start_to_close_timeout=LIMIT, retry_policy=RETRY
    )


@workflow.defn(name="replay_everything")
class Everything:
    """Activities, timers, canvases, cancellation, random numbers and asyncio's own, together."""

    @workflow.run
    async def run(self, order: Order) -> dict[str, Any]:
        lock, queue = asyncio.Lock(), asyncio.Queue[int]()

        async def locked(value: int) -> int:
            async with lock:
                await asyncio.sleep(value)
                result: int = await call("echo", value)
            await queue.put(result)
            return result

        flaky_result, *gathered = await asyncio.gather(call("flaky", "x"), locked(2), locked(1))
        try:
            await asyncio.wait_for(call_and_sleep(), timeout=5)
            timed_out = False
        except TimeoutError:
            timed_out = True
        try:
            await call("refuse", order.number)
            refused = ""
        except ActivityError as error:
            refused = str(error.cause)
        chained = await workflow.chain(
            workflow.step("replay_echo", 1, start_to_close_timeout=LIMIT),
            workflow.group(*(workflow.step("replay_echo", n, start_to_close_timeout=LIMIT) for n in range(3))),
            workflow.step("replay_refuse", 2, start_to_close_timeout=LIMIT),
            workflow.step("replay_echo", 3, start_to_close_timeout=LIMIT),
            return_exceptions=True,
        )
        await call("echo", [str(workflow.uuid4()), workflow.random().randint(0, 10**9), workflow.now().isoformat()])
        return {
            "flaky": flaky_result,
            "gathered": gathered,
            "queued": [queue.get_nowait() for _ in range(queue.qsize())],
            "timed_out": timed_out,
            "refused": refused,
            "chained": [str(one) for one in chained],
        }


async def call_and_sleep() -> None:
    await call("echo", "before")
    await asyncio.sleep(60)


@workflow.defn(name="replay_conversation")
class Conversation:
    """Signals, an update with a validator, a condition with a timeout, a patch, and an end that leaves tasks open."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        lazy = asyncio.create_task(asyncio.sleep(10**6))
        while len(self.heard) < wanted:
            try:
                await workflow.wait_condition(lambda: len(self.heard) >= wanted, timeout=3600)
            except TimeoutError:
                self.heard.append("silence")
                if workflow.patched("replay-echo-silence"):
                    await call("echo", "silence")
        assert not lazy.done()
        return self.heard

    @workflow.signal
    async def say(self, text: str) -> None:
        self.heard.append(await call("echo", text))

    @workflow.update
    async def ask(self, text: str) -> int:
        await workflow.sleep(60)
        self.heard.append(text)
        return len(self.heard)

    @ask.validator
    def _not_empty(self, text: str) -> None:
        if not text:
            raise ValueError("say something")


@workflow.defn(name="replay_family")
class Family:
    """A child that succeeds, a child that is cancelled, and continue-as-new."""

    @workflow.run
    async def run(self, left: int) -> int:
        first = await workflow.execute_child_workflow(Conversation.run, 1, id=f"child-of-{workflow.info().workflow_id}")
        second = await workflow.start_child_workflow(Conversation.run, 100)
        await workflow.sleep(10)
        second.cancel()
        await asyncio.wait([second])
        if left:
            workflow.continue_as_new(left - 1)
        return len(first)


WORKFLOWS = [Everything, Conversation, Family]
