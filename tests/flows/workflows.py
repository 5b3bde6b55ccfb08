"""Workflows for tests. `Script` runs what its input describes; the others each show one thing."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

from automation.durable import workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError, ChildWorkflowError
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
    ["again", rounds, plan]              a child that plays the plan and continues as new, so many times
    ["stubborn", attempts, plan]         a child that fails after its plan, until this attempt of the whole
    ["talk", number, …]                  a child that counts what it is signalled: by its handle, and as an external one
    ["stop", seconds]                    a child that would never end, cancelled so long after it has begun
    ["cut", seconds]                     a wait of years, given up after a while
    ["note", value]                      a memo, a search attribute and a patch
    ["broken", value]                    an activity that fails the workflow until somebody has mended it
    """

    def __init__(self) -> None:
        self.begun: set[str] = set()

    @workflow.run
    async def run(self, plan: list[Any]) -> Any:
        return await self.play(plan)

    def has_begun(self, child: str) -> None:
        self.begun.add(child)

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
            case "again":
                return await workflow.execute_child_workflow(Again.run, args=[*rest, []])
            case "stubborn":
                policy = RetryPolicy(initial_interval=dt.timedelta(seconds=1), maximum_attempts=rest[0])
                return await workflow.execute_child_workflow(Stubborn.run, args=rest, retry_policy=policy)
            case "talk":
                return await self.talk(rest)
            case "stop":
                return await self.stop(rest[0])
            case "cut":
                try:
                    return await asyncio.wait_for(asyncio.sleep(10 * 365 * 86_400), rest[0])
                except TimeoutError:
                    return "cut"
            case "note":
                workflow.upsert_memo({"note": rest[0]})
                workflow.upsert_search_attributes({"note": [rest[0]]})
                return [workflow.memo_value("note"), workflow.patched("noted")]
            case "broken":
                return await workflow.execute_activity("flows_broken", rest[0], start_to_close_timeout=LIMIT)
        raise ValueError(f"no such plan: {what}")

    async def talk(self, numbers: list[int]) -> Any:
        id = str(workflow.uuid4())
        handle = await workflow.start_child_workflow(Counter.run, id=id)
        for number in numbers:
            if number % 2:
                await handle.signal(Counter.see, number)
            else:
                await workflow.get_external_workflow_handle(id).signal("see", number)
        await handle.signal(Counter.close)
        return await handle

    async def stop(self, seconds: float) -> str:
        id = str(workflow.uuid4())
        workflow.set_signal_handler("begun", self.has_begun)
        handle = await workflow.start_child_workflow(Endless.run, id=id)
        await workflow.wait_condition(lambda: id in self.begun)
        await asyncio.sleep(seconds)
        handle.cancel()
        try:
            return str(await handle)
        except ChildWorkflowError as error:
            return f"stopped: {type(error.cause).__name__}"

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


@workflow.defn(name="flows_again")
class Again:
    """Plays a plan as often as it is told, each time in a run of its own."""

    @workflow.run
    async def run(self, rounds: int, plan: list[Any], done: list[Any]) -> list[Any]:
        done = [*done, await Script().play(plan)]
        if rounds > 1:
            workflow.continue_as_new(args=[rounds - 1, plan, done])
        return done


@workflow.defn(name="flows_stubborn")
class Stubborn:
    """Fails until its last attempt."""

    @workflow.run
    async def run(self, attempts: int, plan: list[Any]) -> list[Any]:
        got = await Script().play(plan)
        attempt = workflow.info().attempt
        if attempt < attempts:
            raise ApplicationError(f"attempt {attempt}")
        return [attempt, got]


@workflow.defn(name="flows_endless")
class Endless:
    """Tells its parent that it has begun, waits until it is cancelled, and enters a row then."""

    @workflow.run
    async def run(self) -> str:
        info = workflow.info()
        assert info.parent is not None
        await workflow.get_external_workflow_handle(info.parent.workflow_id).signal("begun", info.workflow_id)
        try:
            await workflow.wait_condition(lambda: False)
        finally:
            await workflow.execute_activity("flows_enter", "tidied", start_to_close_timeout=LIMIT, retry_policy=QUICK)
        return "never"


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


@workflow.defn(name="flows_relay")
class Relay:
    """Hears and adds, and continues as new at each turn, until it is closed. What it is told twice counts once."""

    @workflow.init
    def __init__(self, heard: list[int] | None = None, added: dict[str, int] | None = None) -> None:
        self.heard = heard or []
        self.added = added or {}
        self.turned: set[int] = set()
        self.closed = False

    @workflow.run
    async def run(self, heard: list[int] | None = None, added: dict[str, int] | None = None) -> list[Any]:
        await workflow.wait_condition(lambda: bool(self.turned or self.closed))
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.closed:
            workflow.continue_as_new(args=[self.heard, self.added])
        return [self.heard, sum(self.added.values())]

    @workflow.signal
    def see(self, number: int) -> None:
        if number not in self.heard:
            self.heard.append(number)

    @workflow.signal
    def turn(self, number: int) -> None:
        self.turned.add(number)

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.update
    async def add(self, number: int, amount: int) -> str:
        if str(number) not in self.added:
            self.added[str(number)] = amount
            await workflow.execute_activity(
                activities.enter, f"{number}: {amount}", start_to_close_timeout=LIMIT, retry_policy=QUICK
            )
        return f"added {amount}"

    @add.validator
    def check_add(self, number: int, amount: int) -> None:
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
