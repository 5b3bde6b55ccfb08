"""Changing the code under running executions (scenario 15)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from automation.durable import control, workflow
from automation.models import ExecutionStatus
from tests.durable.snippets import begun, outcome, snippet, steps
from tests.flows.workflows import call
from tests.support.carrier import Carrier, result, row

Code = Callable[[Any], Awaitable[Any]]


def deploy(carrier: Carrier, code: Code) -> None:
    """Put this code in the place of what runs under the name `code`."""
    code.__name__ = "code"
    snippet(code)
    carrier.restart_workers()


async def old(data: Any) -> Any:
    found = [await call("echo", "old")]
    await asyncio.sleep(60)
    return [*found, await call("echo", "end")]


async def patched(data: Any) -> Any:
    if workflow.patched("greeting"):  # noqa: SIM108 (as it stands in code)
        found = [await call("add", 1, 2)]
    else:
        found = [await call("echo", "old")]
    await asyncio.sleep(60)
    return [*found, workflow.patched("greeting"), await call("echo", "end")]


async def unpatched(data: Any) -> Any:
    found = [await call("add", 1, 2)]
    await asyncio.sleep(60)
    return [*found, await call("echo", "end")]


async def deprecated(data: Any) -> Any:
    workflow.deprecate_patch("greeting")
    return await unpatched(data)


def started(carrier: Carrier, code: Code) -> Any:
    deploy(carrier, code)
    execution = carrier.start("flows_snippet", "code", None)
    carrier.drain()
    return execution


def test_with_a_patch_the_first_run_goes_on_the_old_way(carrier: Carrier) -> None:
    first = started(carrier, old)
    deploy(carrier, patched)
    second = carrier.start("flows_snippet", "code", None)
    carrier.finish()
    assert result(first) == ["old", False, "end"]
    assert result(second) == [3, True, "end"]
    assert steps(second)[0] == (1, "greeting", "completed")


def test_without_a_patch_the_run_is_parked_until_the_code_is_put_back(carrier: Carrier) -> None:
    execution = started(carrier, old)
    deploy(carrier, unpatched)
    carrier.finish()
    assert row(execution).status == ExecutionStatus.PARKED
    assert "NondeterminismError: step #1: the history says activity 'flows_echo', but the code asks" in (
        row(execution).error_message
    )
    deploy(carrier, old)
    control.retry(execution)
    carrier.finish()
    assert result(execution) == ["old", "end"]


def test_a_patched_run_goes_on_with_the_deprecated_patch_and_not_without_it(carrier: Carrier) -> None:
    first, second = started(carrier, patched), carrier.start("flows_snippet", "code", None)
    carrier.drain()
    deploy(carrier, deprecated)
    carrier.finish(first, second)
    assert result(first) == [3, "end"]

    third = started(carrier, patched)
    deploy(carrier, unpatched)
    carrier.finish()
    assert row(third).status == ExecutionStatus.PARKED


def test_a_run_that_began_deprecated_goes_on_without_the_call_and_with_the_patch(carrier: Carrier) -> None:
    first = started(carrier, deprecated)
    deploy(carrier, unpatched)
    carrier.finish()
    assert result(first) == [3, "end"]

    second = started(carrier, deprecated)
    deploy(carrier, patched)
    carrier.finish()
    assert result(second) == [3, True, "end"]


def test_a_patch_where_the_history_ends_is_taken(carrier: Carrier) -> None:
    """The outcome before it has not been seen when the new code comes."""

    async def before(data: Any) -> Any:
        await asyncio.sleep(60)
        return "old"

    async def after(data: Any) -> Any:
        await asyncio.sleep(60)
        return "new" if workflow.patched("end") else "old"

    execution = started(carrier, before)
    deploy(carrier, after)
    carrier.finish()
    assert result(execution) == "new"


def test_a_patch_in_the_past_that_asks_for_nothing_is_not_taken(carrier: Carrier) -> None:
    async def before(data: Any) -> Any:
        await asyncio.sleep(60)
        await asyncio.sleep(60)
        return "old"

    async def after(data: Any) -> Any:
        await asyncio.sleep(60)
        taken = workflow.patched("middle")
        await asyncio.sleep(60)
        return [taken, workflow.patched("middle")]

    execution = started(carrier, before)
    while len(steps(execution)) < 2:
        carrier._move_on(2e10, ())
        carrier.drain()
    deploy(carrier, after)
    carrier.finish()
    assert result(execution) == [False, False]


def test_a_marker_costs_no_commit_and_breaks_no_carrying(carrier: Carrier) -> None:
    async def marked(data: Any) -> Any:
        found = []
        for number in range(3):
            if workflow.patched(f"patch {number}"):
                found.append(await call("echo", number))
        return found

    assert outcome(carrier, marked) == [0, 1, 2]
    assert carrier.points["before append"] == 3  # each takes its marker along, and the next activity
    assert carrier.points["before finish"] == 1
    assert carrier.deliveries["flows_echo"] == 0, "an activity went by a message of its own"


@pytest.mark.parametrize("replays", [1, 3])
def test_markers_of_many_patches_are_matched_in_replays(carrier: Carrier, replays: int) -> None:
    async def many(data: Any) -> Any:
        found = []
        for number in range(4):
            found.append(workflow.patched("one" if number % 2 else "two"))
            await asyncio.sleep(60)
        return found

    execution = begun(carrier, many)
    while row(execution).is_open:
        carrier.restart_workers()
        for _ in range(replays):
            carrier.drain()
        if row(execution).is_open:
            carrier._move_on(2e10, ())
    assert result(execution) == [True] * 4
    assert [name for _, name, _ in steps(execution)].count("one") == 1
