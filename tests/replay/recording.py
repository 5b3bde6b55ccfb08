"""How the histories in this directory came to be; see README.md for when to add one.

Each scenario is played in a time-skipping environment; what it yields is recorded under its own name.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from automation.durable import histories, liveness
from automation.durable.client import WorkflowUpdateFailedError
from automation.durable.histories import WorkflowHistory
from automation.durable.testing import WorkflowEnvironment
from automation.models import WorkflowExecution
from tests.replay.workflows import ACTIVITIES, WORKFLOWS, Conversation, Everything, Family, Order

DIRECTORY = Path(__file__).parent / "histories"
SUMS = DIRECTORY / "SHA256SUMS"
"""Of each history as it was recorded; `sha256sum --check` reads it."""
ROOT = Path(__file__).parents[2]
START = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)

Scenario = Callable[[WorkflowEnvironment], Iterator[tuple[str, WorkflowExecution]]]


def everything(env: WorkflowEnvironment) -> Iterator[tuple[str, WorkflowExecution]]:
    handle = env.start(Everything.run, Order(7, START), id="everything")
    env.skip(4)
    yield "everything-under-way", handle.execution
    handle.result()
    yield "everything", handle.execution


def conversation(env: WorkflowEnvironment) -> Iterator[tuple[str, WorkflowExecution]]:
    handle = env.start(Conversation.run, 5, id="conversation", start_signal="say", start_signal_args=["early"])
    handle.signal("say", "hello")
    with contextlib.suppress(WorkflowUpdateFailedError):
        handle.update("ask", "")
    env.skip(4000)
    yield "conversation-under-way", handle.execution
    handle.update("ask", "anybody?")
    handle.signal("say", "bye")
    handle.result()
    yield "conversation", handle.execution
    cancelled = env.start(Conversation.run, 9, id="cancelled")
    cancelled.signal("say", "hello")
    cancelled.cancel("enough")
    yield "conversation-cancelled", cancelled.execution


def family(env: WorkflowEnvironment) -> Iterator[tuple[str, WorkflowExecution]]:
    handle = env.start(Family.run, 1, id="family")
    handle.result()
    yield "family-continued", WorkflowExecution.objects.get(id=handle.run_id)
    yield "family", handle.execution


SCENARIOS: list[Scenario] = [everything, conversation, family]


def play(scenario: Scenario) -> dict[str, str]:
    """The histories that a scenario leaves, as JSON by name; without what speaks of this machine."""
    with WorkflowEnvironment.start_time_skipping(activities=ACTIVITIES, workflows=WORKFLOWS, start_at=START) as env:
        return {name: _text(histories.export(row)) for name, row in scenario(env)}


def _text(history: WorkflowHistory) -> str:
    text = history.to_json().replace(f"{ROOT}/", "").replace(liveness.worker_id(), "recorder/1")
    return f"{text}\n"


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record() -> list[str]:
    """Write the histories that are missing; those that are there are never written again. Returns their names."""
    written = []
    for scenario in SCENARIOS:
        for name, text in play(scenario).items():
            path = DIRECTORY / f"{name}.json"
            if not path.exists():
                path.write_text(text)
                written.append(name)
                lines = [*SUMS.read_text().splitlines(), f"{sum_of(path)}  {path.name}"]
                SUMS.write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split("  ")[1])))
    return written
