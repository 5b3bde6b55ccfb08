"""Each program runs as it stands, in an environment that skips time."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from automation.durable.testing import WorkflowEnvironment
from automation.models import WorkflowExecution

PRINTS = {
    "activity": ["Result: Hello, World!"],
    "activity_heartbeat": ["Done by the last attempt: [3, 4, 5]"],
    "activity_method": ["2 rows, the last is HELLO; the database has ['hello', 'HELLO']"],
    "activity_retry": ["Result: Hello, World, at attempt 4!"],
    "child_workflow": ["Result: Hello, World!"],
    "continue_as_new": ["Result: hello-continue-id at iteration 5"],
    "cron": ["Hello, every minute!"] * 2,
    "exception": [
        "WorkflowFailureError",
        "ActivityError of compose_greeting",
        "ApplicationError of type NoGreeting: no greeting, details ['World']",
        "ApplicationError of type ValueError: World is nobody, details []",
    ],
    "local_activity": ["Result: Hello, World! (local: True)"],
    "parallel_activity": ["Result: Hello, user1!, Hello, user2!, Hello, user3!, Hello, user4!, Hello, user5!"],
    "patch": ["Hello, old run!", "Goodbye, new run!"],
    "query": ["In the end: Goodbye, World!"],
    "schedule": ["Hello, by schedule!"] * 3 + ["3 actions, note: enough"],
    "search_attributes": ["From 41 to 42, found: ['hello-search-id']"],
    "signal": ["Result: ['Hello, user1', 'Hello, user2', 'Hello, user3']"],
    "update": ["Hello, Ada!", "Refused: ValueError: a name, please", "Hello, Bo!", "Result: ['Ada', 'Bo']"],
    "wait_condition": ["given up after 3 reminders; approved by Ada"],
}
BY_THE_MINUTE = {"cron", "schedule"}  # run where time can be skipped
WAITS = BY_THE_MINUTE | {"patch"}  # whose main takes what to wait with


def program(name: str) -> Any:
    return import_module(f"tests.ported.hello_{name}")


@pytest.mark.parametrize("name", sorted(PRINTS))
def test_where_time_is_skipped(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with WorkflowEnvironment.start_time_skipping() as env:
        env.skip(3600 - env.now.timestamp() % 3600 + 30)  # half a minute past an hour
        async_to_sync(program(name).main)(*([env.sleep] if name in WAITS else []))
    assert capsys.readouterr().out.splitlines() == PRINTS[name]
    assert not WorkflowExecution.objects.filter(completed_at=None).exists()


def test_only_their_imports_are_weirs() -> None:
    here = Path(__file__).parent
    assert {path.stem.removeprefix("hello_") for path in here.glob("hello_*.py")} == PRINTS.keys()
    for path in here.glob("hello_*.py"):
        code = path.read_text()
        lines = [line for line in code.splitlines() if re.search(r"automation|django|tests\.", line)]
        assert lines, path
        assert all(re.match(r"from automation\.durable(\.\w+)? import ", line) for line in lines), path
