"""Each program runs as it stands: on a Worker of this process, and in an environment that skips time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections

from automation import clock
from automation.durable.testing import WorkflowEnvironment
from automation.models import WorkflowExecution, WorkflowSchedule

on_postgresql = pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share no in-memory database")

PRINTS = {
    "hello_activity": ["Result: Hello, World!"],
    "hello_activity_heartbeat": ["Done by the last attempt: [3, 4, 5]"],
    "hello_activity_method": ["2 rows, the last is HELLO; the database has ['hello', 'HELLO']"],
    "hello_activity_retry": ["Result: Hello, World, at attempt 4!"],
    "hello_async_activity_completion": ["Result: Hello, World, from outside!"],
    "hello_cancellation": ["Cancelled: True, cleaned up: ['activity', 'workflow']"],
    "hello_child_workflow": ["Result: Hello, World!"],
    "hello_continue_as_new": ["Result: hello-continue-id at iteration 5"],
    "hello_cron": ["Hello, every minute!"] * 2,
    "hello_exception": [
        "WorkflowFailureError",
        "ActivityError of compose_greeting",
        "ApplicationError of type NoGreeting: no greeting, details ['World']",
        "ApplicationError of type ValueError: World is nobody, details []",
    ],
    "hello_local_activity": ["Result: Hello, World! (local: True)"],
    "hello_parallel_activity": ["Result: Hello, user1!, Hello, user2!, Hello, user3!, Hello, user4!, Hello, user5!"],
    "hello_patch": ["Hello, old run!", "Goodbye, new run!"],
    "hello_query": ["In the end: Goodbye, World!"],
    "hello_schedule": ["Hello, by schedule!"] * 3 + ["3 actions, note: enough"],
    "hello_search_attributes": ["From 41 to 42, found: ['hello-search-id']"],
    "hello_signal": ["Result: ['Hello, user1', 'Hello, user2', 'Hello, user3']"],
    "hello_update": ["Hello, Ada!", "Refused: ValueError: a name, please", "Hello, Bo!", "Result: ['Ada', 'Bo']"],
    "hello_wait_condition": ["given up after 3 reminders; approved by Ada"],
    "sample_message_handlers": [
        "8 nodes assigned, job 1 keeps its own: True",
        "Refused: Full: 2 nodes wanted, 1 are free",
        "In the end: 8",
        "Replayed, with failures: {}",
    ],
    "sample_resource_pool": [
        "Used 7 times",
        "Failed: ['it broke']",
        "Held in the end: {'one': None, 'two': None}",
    ],
    "sample_worker_queues": ["Result: a file on a host of its own: True, cancelled"],
}
BY_THE_MINUTE = {"hello_cron", "hello_schedule"}  # run where time can be skipped
WAITS = BY_THE_MINUTE | {"hello_patch"}  # whose main takes what to wait with
AT_ONCE = {
    "hello_async_activity_completion",
    "hello_cancellation",
    "sample_worker_queues",
}  # something goes on beside the program's own waiting


LIMIT = 120.0
"""Seconds after which a program that hangs is cancelled, as by Ctrl-C, and fails its test."""


def program(name: str) -> Any:
    return import_module(f"tests.ported.{name}")


async def limited(main: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    await asyncio.wait_for(main(*args), LIMIT)


def run(main: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    """As its last line does: `asyncio.run(main())`."""

    async def and_close() -> None:
        try:
            await limited(main, *args)
        finally:
            await sync_to_async(connections.close_all)()  # in asgiref's thread, which stays

    asyncio.run(and_close())


@on_postgresql
@pytest.mark.parametrize("name", sorted(PRINTS.keys() - BY_THE_MINUTE))
def test_on_a_worker(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(program(name).main)
    assert capsys.readouterr().out.splitlines() == PRINTS[name]
    assert not WorkflowExecution.objects.filter(completed_at=None).exists()


@on_postgresql
@pytest.mark.parametrize("name", sorted(BY_THE_MINUTE))
def test_on_a_worker_as_minutes_go_by(name: str, capsys: pytest.CaptureFixture[str], settings: Any) -> None:
    settings.DURABLE_SWEEP_INTERVAL = 0.05
    now = clock.timestamp()
    clock.hold(now - now % 3600 + 3630)
    try:
        run(program(name).main, minutes_go_by)
    finally:
        clock.let_go()
        clock.come_back()
    assert capsys.readouterr().out.splitlines() == PRINTS[name]


async def minutes_go_by(seconds: float) -> None:
    """Half a minute after the other, in each of which the worker does what is due."""
    until = clock.timestamp() + seconds
    while True:
        while await sync_to_async(is_at_work)():
            await asyncio.sleep(0.01)
        if clock.timestamp() >= until:
            return
        clock.shift(min(30.0, until - clock.timestamp()))


def is_at_work() -> bool:
    """Whether there is something that is to be done now."""
    now = clock.now()
    open_ones = WorkflowExecution.objects.filter(completed_at=None)
    waiting = open_ones.filter(status="pending", scheduled_for__gt=now).count()
    return waiting < open_ones.count() or WorkflowSchedule.objects.filter(due__lte=now).exists()


@pytest.mark.parametrize("name", sorted(PRINTS.keys() - AT_ONCE))
def test_where_time_is_skipped(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with WorkflowEnvironment.start_time_skipping() as env:
        env.skip(3600 - env.now.timestamp() % 3600 + 30)  # half a minute past an hour
        async_to_sync(limited)(program(name).main, *([env.sleep] if name in WAITS else []))
    assert capsys.readouterr().out.splitlines() == PRINTS[name]
    assert not WorkflowExecution.objects.filter(completed_at=None).exists()


def test_only_their_imports_are_weirs() -> None:
    here = Path(__file__).parent
    programs = [*here.glob("hello_*.py"), *here.glob("sample_*.py")]
    assert {path.stem for path in programs} == PRINTS.keys()
    for path in programs:
        code = path.read_text()
        lines = [line for line in code.splitlines() if re.search(r"automation|django|tests\.", line)]
        assert lines, path
        assert all(re.match(r"from automation\.durable(\.\w+)? import ", line) for line in lines), path
