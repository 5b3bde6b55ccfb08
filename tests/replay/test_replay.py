"""Recorded histories replay unchanged, whatever has become of the engine; and code that has changed is found out."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from automation.durable import registry, workflow
from automation.durable.exceptions import NondeterminismError
from automation.durable.histories import WorkflowHistory
from automation.durable.replay import Run
from automation.durable.worker import Replayer
from automation.models import StepKind
from tests.replay import recording
from tests.replay.workflows import WORKFLOWS, Order, call

RECORDED = sorted(recording.DIRECTORY.glob("*.json"))


def history(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((recording.DIRECTORY / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_history_replays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, str] = {}
    ask = Run.ask

    def noting(run: Run, *args: Any, **options: Any) -> int:
        seq = ask(run, *args, **options)
        asked[seq] = options.get("input", "")
        return seq

    monkeypatch.setattr(Run, "ask", noting)
    result = Replayer(workflows=WORKFLOWS).replay(path.read_text())
    assert result.replay_failure is None
    # Times, random numbers and what outcomes were made of are what they were, too.
    steps = [step for step in result.history.records()[1] if step.seq > 0 and step.kind == StepKind.ACTIVITY]
    assert {step.seq: step.input for step in steps} == {step.seq: asked[step.seq] for step in steps}


def test_no_recorded_history_has_been_edited() -> None:
    """A change that breaks one breaks executions that are under way: it is the change that has to go."""
    assert recording.SUMS.read_text() == "".join(f"{recording.sum_of(path)}  {path.name}\n" for path in RECORDED)


def test_every_scenario_is_recorded(db: None) -> None:
    if os.environ.get("WEIR_RECORD"):
        print(recording.record())
    names = {name for scenario in recording.SCENARIOS for name in recording.play(scenario)}
    recorded = {path.stem for path in recording.DIRECTORY.glob("*.json")}
    assert names == recorded, "record what is missing: see tests/replay/README.md"


def test_what_is_recorded_today_replays_today(db: None) -> None:
    for scenario in recording.SCENARIOS:
        for text in recording.play(scenario).values():
            Replayer(workflows=WORKFLOWS).replay(text)


def test_a_replay_needs_no_database_and_leaves_nothing_registered(django_db_blocker: Any) -> None:
    with django_db_blocker.block():
        Replayer(workflows=WORKFLOWS).replay(history("everything"))
    with pytest.raises(registry.UnknownName):
        registry.workflow("replay_everything")


def test_histories_are_replayed_together_as_in_the_sdk() -> None:
    broken = history("everything")
    broken["events"][1]["name"] = "replay_renamed"
    fine = WorkflowHistory.from_json("conversation", history("conversation"))
    replayer = Replayer(workflows=WORKFLOWS)
    results = asyncio.run(replayer.replay_workflows([fine, broken], raise_on_replay_failure=False))
    assert list(results.replay_failures) == [broken["events"][0]["id"]]
    with pytest.raises(NondeterminismError):
        asyncio.run(replayer.replay_workflow(broken))
    with pytest.raises(TypeError, match="Replayer has no 'plugins'"):
        Replayer(workflows=WORKFLOWS, plugins=[object()])


@workflow.defn(name="replay_everything")
class AsksForSomethingElse:
    @workflow.run
    async def run(self, order: Order) -> None:
        await call("refuse", 1)


@workflow.defn(name="replay_everything")
class AsksForLess:
    @workflow.run
    async def run(self, order: Order) -> None:
        await call("flaky", "x")


@workflow.defn(name="replay_conversation")
class WaitsForMore:
    @workflow.run
    async def run(self, wanted: int) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    async def say(self, text: str) -> None: ...


@workflow.defn(name="replay_everything")
class Breaks:
    @workflow.run
    async def run(self, order: Order) -> None:
        raise KeyError(order.number)


@workflow.defn(name="replay_everything")
class Sleeps:
    @workflow.run
    async def run(self, order: Order) -> None:
        await workflow.sleep(1)


@pytest.mark.parametrize(
    ("changed", "name", "message"),
    [
        (AsksForSomethingElse, "everything", r"step #1: the history says activity 'replay_flaky', but .*_refuse'"),
        (Sleeps, "everything", r"step #1: the history says activity 'replay_flaky', but the code asks for timer"),
        (AsksForLess, "everything", "step #2: the history says .* and its outcome, but the code asks for nothing"),
        (AsksForLess, "everything-under-way", "step #2: the history says"),
        (WaitsForMore, "conversation", r"the history says"),
    ],
)  # fmt: skip
def test_changed_code_is_found_out(changed: type, name: str, message: str) -> None:
    with pytest.raises(NondeterminismError, match=message):
        Replayer(workflows=[changed]).replay(history(name))


def test_a_defect_of_the_code_is_no_success() -> None:
    failure = Replayer(workflows=[Breaks]).replay(history("everything"), raise_on_replay_failure=False).replay_failure
    assert failure is not None


def test_a_history_from_before_a_column_replays() -> None:
    old = history("everything")
    for event in old["events"]:
        for column in ("deadline", "memo", "search_attributes", "parent_id", "heartbeat", "worker"):
            event.pop(column, None)
        event["a_column_that_was_dropped"] = 1
    Replayer(workflows=WORKFLOWS).replay(old)


def test_a_history_is_recorded_from_the_command_line(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    with recording.WorkflowEnvironment.start_time_skipping(workflows=WORKFLOWS) as env:
        env.start("replay_conversation", 3, id="talk").signal("say", "hello")
        call_command("executions", "history", "talk", "--record")
        Replayer(workflows=WORKFLOWS).replay(capsys.readouterr().out)
