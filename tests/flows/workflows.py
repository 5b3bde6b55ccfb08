"""Workflows for tests. `Script` runs what its input describes; the others each show one thing."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

from automation.durable import workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError
from tests.flows import activities

LIMIT = dt.timedelta(seconds=20)
SLOW = RetryPolicy(initial_interval=dt.timedelta(seconds=5), maximum_attempts=8)
QUICK = RetryPolicy(initial_interval=dt.timedelta(milliseconds=500), maximum_attempts=8)


def words(error: BaseException) -> str:
    """An error as a test compares it: its own text and its cause's."""
    cause = error.__cause__
    return f"{type(error).__name__}: {type(cause).__name__}: {cause}" if cause else f"{type(error).__name__}: {error}"


@workflow.defn(name="flows_script")
class Script:
    """Runs a plan of nested lists and returns what each part came to:

    ["call", activity, *args]            one activity; an error becomes its words
    ["sleep", seconds]                   a timer
    ["all", plan, …]                     one after the other
    ["gather", plan, …]                  at once
    ["background", plan, plan]           the first begins; the second is played; then the first is waited for, a year at
                                         most
    ["group", [activity, *args], …]      a group
    ["local", activity, *args]           a local activity; an error becomes its words
    ["child", plan]                      a child that plays the plan; its result
    ["started", plan]                    the same, started under an id of its own, and then waited for
    ["chain", member, …]                 a chain; a member is [activity, *args], or ["group", [activity, *args], …]
    """

    @workflow.run
    async def run(self, plan: list[Any]) -> Any:
        return await self.play(plan)

    async def play(self, plan: list[Any]) -> Any:
        what, *rest = plan
        match what:
            case "call":
                return await self.call(*rest)
            case "sleep":
                await asyncio.sleep(rest[0])
                return "slept"
            case "local":
                return await self.local(*rest)
            case "child":
                return await workflow.execute_child_workflow(Script.run, rest[0])
            case "started":
                id = str(workflow.uuid4())
                handle = await workflow.start_child_workflow(Script.run, rest[0], id=id)
                assert handle.id == id
                return await handle
            case "all":
                return [await self.play(part) for part in rest]
            case "gather":
                return await asyncio.gather(*(self.play(part) for part in rest))
            case "background":
                task = asyncio.create_task(self.play(rest[0]))
                second = await self.play(rest[1])
                return [await asyncio.wait_for(task, 365 * 86_400), second]
            case "group":
                results = await workflow.group(*(self.step(member) for member in rest), return_exceptions=True)
                return [self.shown(result) for result in results]
            case "chain":
                members = [
                    workflow.group(*map(self.step, member[1:])) if member[0] == "group" else self.step(member)
                    for member in rest
                ]
                return [self.shown(result) for result in await workflow.chain(*members, return_exceptions=True)]
        raise ValueError(f"no such plan: {what}")

    async def call(self, name: str, *args: Any) -> Any:
        try:
            return await workflow.execute_activity(
                f"flows_{name}", args=list(args), start_to_close_timeout=LIMIT, retry_policy=QUICK
            )
        except ActivityError as error:
            return words(error)

    async def local(self, name: str, *args: Any) -> Any:
        try:
            return await workflow.execute_local_activity(
                f"flows_{name}", args=list(args), start_to_close_timeout=LIMIT, retry_policy=SLOW
            )
        except ActivityError as error:
            return words(error)

    def step(self, member: list[Any]) -> workflow.Step:
        name, *args = member
        return workflow.step(f"flows_{name}", *args, start_to_close_timeout=LIMIT, retry_policy=QUICK)

    def shown(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self.shown(item) for item in result]
        return words(result) if isinstance(result, BaseException) else result


@workflow.defn(name="flows_order")
class Order:
    """What an automation does: a call out, two in parallel, and a row."""

    @workflow.run
    async def run(self, url: str, pause: float = 0.0) -> dict[str, Any]:
        policy = RetryPolicy(initial_interval=dt.timedelta(milliseconds=200), maximum_interval=dt.timedelta(seconds=2))
        results = await workflow.chain(
            workflow.step(activities.post, f"{url}/first", start_to_close_timeout=LIMIT, retry_policy=policy),
            workflow.group(
                workflow.step(activities.post, f"{url}/left", start_to_close_timeout=LIMIT, retry_policy=policy),
                workflow.step(activities.post, f"{url}/right", start_to_close_timeout=LIMIT, retry_policy=policy),
            ),
            workflow.step(activities.enter, "booked", start_to_close_timeout=LIMIT, retry_policy=policy),
        )
        if pause:
            await workflow.sleep(pause)
        return {"results": results}


@workflow.defn(name="flows_family")
class Family:
    """A parent of so many children, each of which enters a row; half of them under ids of the parent's choice."""

    @workflow.run
    async def run(self, children: int) -> list[Any]:
        handles = [
            await workflow.start_child_workflow(
                Script.run,
                ["call", "enter", str(number)],
                id=f"{workflow.info().workflow_id}/{number}" if number % 2 else None,
            )
            for number in range(children)
        ]
        return [await handle for handle in handles]


@workflow.defn(name="flows_parent")
class Parent:
    """Has so many children play a plan, and waits for them."""

    @workflow.run
    async def run(self, plan: list[Any], children: int) -> list[Any]:
        return await asyncio.gather(*(workflow.execute_child_workflow(Script.run, plan) for _ in range(children)))


@workflow.defn(name="flows_counter")
class Counter:
    """Counts by signals and by updates, each of which enters a row, until it is closed."""

    @workflow.init
    def __init__(self) -> None:
        self.seen: list[int] = []
        self.total = 0
        self.closed = False

    @workflow.run
    async def run(self) -> dict[str, Any]:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return {"total": self.total, "seen": self.seen}

    @workflow.signal
    def see(self, number: int) -> None:
        self.seen.append(number)

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.query
    def state(self) -> dict[str, Any]:
        return {"total": self.total, "seen": len(self.seen)}

    @workflow.update
    async def add(self, amount: int, pause: float = 0.0) -> str:
        await workflow.execute_activity(
            activities.enter_slowly, args=[str(amount), pause], start_to_close_timeout=LIMIT, retry_policy=QUICK
        )
        self.total += amount
        return f"added {amount}"

    @add.validator
    def check_add(self, amount: int, pause: float = 0.0) -> None:
        if amount <= 0:
            raise ValueError(f"add something, not {amount}")


# -- the loop ----------------------------------------------------------------------------------------------------------

log: list[Any] = []
"""What workflow code noted, for tests to look at. Replays note again."""


def call(name: str, *args: Any, **options: Any) -> Any:
    options.setdefault("start_to_close_timeout", LIMIT)
    options.setdefault("retry_policy", QUICK)
    return workflow.execute_activity(f"flows_{name}", args=list(args), **options)


class _Snippets:
    """Workflow code by name: each is `async def name(data) -> result`."""

    def __init__(self) -> None:
        self.known: dict[str, Callable[[Any], Awaitable[Any]]] = {}

    def __call__(self, function: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        self.known[function.__name__] = function
        return function


snippet = _Snippets()
"""Tests add code here, under a name, and may put other code under it later: a deploy."""


@workflow.defn(name="flows_snippet")
class Snippet:
    """Runs the code that a test has put under a name."""

    @workflow.run
    async def run(self, name: str, data: Any = None) -> Any:
        return await snippet.known[name](data)
