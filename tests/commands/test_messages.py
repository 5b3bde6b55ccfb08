"""Signals, queries, updates and restarts from the command line."""

from __future__ import annotations

import json
import uuid

import pytest
from django.core.management.base import CommandError

from automation.durable import hooks, registry, workflow
from automation.models import WorkflowExecution
from tests.commands.conftest import Run
from tests.flows.workflows import call
from tests.support.carrier import Carrier, result


@workflow.defn(name="commands_desk")
class Desk:
    @workflow.init
    def __init__(self, start: int, label: str = "desk") -> None:
        self.total = start
        self.label = label
        self.closed = False

    @workflow.run
    async def run(self, start: int, label: str = "desk") -> list[object]:
        await workflow.wait_condition(lambda: self.closed)
        return [self.label, await call("add", self.total, 1)]

    @workflow.signal
    def add(self, amount: int, note: str = "") -> None:
        self.total += amount
        self.label += note

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.query
    def state(self) -> dict[str, object]:
        return {"total": self.total, "label": self.label}

    @workflow.update
    def rename(self, label: str) -> str:
        before, self.label = self.label, label
        return before

    @rename.validator
    def check_rename(self, label: str) -> None:
        if not label:
            raise ValueError("a desk has a name")


registry.register_workflow(Desk)


@pytest.fixture
def desk(carrier: Carrier) -> uuid.UUID:
    execution = carrier.start("commands_desk", 1, business_id="desk-1")
    carrier.drain()
    return execution


def test_it_signals_and_queries(run: Run, carrier: Carrier, desk: uuid.UUID) -> None:
    assert run("executions", "signal", "desk-1", "add", "5", "!") == "desk-1 has the signal add\n"
    sent = json.loads(run("executions", "signal", "desk-1", "add", "7", "--json"))
    assert sent == {"id": "desk-1", "signal": "add", "sent": True}
    assert json.loads(run("executions", "query", "desk-1", "state")) == {"total": 13, "label": "desk!"}


def test_a_signal_that_no_method_takes_is_doubted(run: Run, desk: uuid.UUID) -> None:
    """The code may set a handler for it yet: it waits in the inbox."""
    assert run("executions", "signal", "desk-1", "wake-up").splitlines() == [
        "commands_desk takes it once its code sets a handler for it: its signals are add, close",
        "desk-1 has the signal wake-up",
    ]


def test_it_updates(run: Run, carrier: Carrier, desk: uuid.UUID) -> None:
    before = hooks.on_wait(lambda seconds: carrier.drain())
    try:
        assert json.loads(run("executions", "update", "desk-1", "rename", "table")) == "desk"
        answer = json.loads(run("executions", "update", "desk-1", "rename", "chair", "--update-id", "u", "--json"))
        assert answer == {"id": "u", "stage": "completed", "result": "table"}
        with pytest.raises(CommandError, match="a desk has a name"):
            run("executions", "update", "desk-1", "rename", "")
    finally:
        hooks.on_wait(before)
    with pytest.raises(CommandError, match="is admitted, not completed; to wait on: --update-id v"):
        run("executions", "update", "desk-1", "rename", "stool", "--update-id", "v", "--wait", "0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("signal", "desk-1", "ad", "1"), "no signal 'ad'; did you mean 'add'"),
        (("signal", "desk-1", "add"), r"takes amount \(int\), note \(str, default ''\), and was given 0"),
        (("signal", "desk-1", "add", "much"), "args.0: expected a whole number, got 'much'"),
        (("query", "desk-1", "stat"), "did you mean 'state'"),
        (("query", "desk-1", "nothing-like-it"), "known are: state"),
        (("update", "desk-1", "rename", "a", "b"), "was given 2"),
        (("signal", "nobody", "add", "1"), "there is no execution 'nobody'"),
        (("restart", "desk-1"), "cancel or terminate it before you restart it"),
        (("restart", "desk-1", "--input", "{"), "--input is no JSON"),
        (("restart", "desk-1", "--input", "3"), "--input is a JSON list"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(
    run: Run, desk: uuid.UUID, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run("executions", *words)


def test_it_restarts_with_other_arguments(run: Run, carrier: Carrier, desk: uuid.UUID) -> None:
    run("executions", "signal", "desk-1", "close")
    carrier.finish(desk)
    new = json.loads(run("executions", "restart", "desk-1", "--input", '{"start": 40, "label": "other"}', "--json"))
    assert new["restart_of"] == "desk-1"
    again = uuid.UUID(new["id"])
    carrier.drain()
    run("executions", "signal", str(again), "close")
    carrier.finish(again)
    assert result(again) == ["other", 41]
    with pytest.raises(CommandError, match="did you mean 'start'"):
        run("executions", "restart", str(again), "--input", '{"stat": 40}')
    copied = run("executions", "restart", str(again), "--from-step", "1")
    carrier.finish(WorkflowExecution.objects.latest("id").id)
    assert copied == f"started {WorkflowExecution.objects.latest('id').id}\n"


def test_help_has_an_example(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    for what in ("signal", "query", "update", "restart"):
        with pytest.raises(SystemExit):
            run("executions", what, "--help")
        assert f"python manage.py executions {what} order-4711" in capsys.readouterr().out
