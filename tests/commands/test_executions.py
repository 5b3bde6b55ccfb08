"""Looking at executions, and steering them, from the command line."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import pytest
from django.core.management.base import CommandError

from automation import clock
from automation.durable import starts
from automation.models import ExecutionStatus, StepStatus, WorkflowExecution
from tests.commands.conftest import Run
from tests.support.carrier import Carrier, Faults, row


def as_json(run: Run, *words: str) -> Any:
    return json.loads(run("executions", *words, "--json"))


def ids(run: Run, *words: str) -> list[str]:
    return [found["id"] for found in as_json(run, "list", *words)]


def status(execution: uuid.UUID) -> str:
    return row(execution).status


def test_it_lists_by_what_is_asked_for(run: Run, carrier: Carrier) -> None:
    refused = carrier.start("commands_refused")
    carrier.finish(refused)  # ids sort by the millisecond of their making
    done = carrier.start("TestWorkflow", queue="estuary-room")
    carrier.finish(done)
    waits = carrier.start("TestWorkflow", "later", 86_400.0, business_id="the-late-one")
    carrier.drain()

    assert ids(run) == [str(one) for one in (waits, done, refused)], "newest first"
    assert ids(run, "--limit", "1") == [str(waits)]
    assert ids(run, "--status", "failed", "running") == [str(waits), str(refused)]
    assert ids(run, "--workflow", "TestWorkflow", "--status", "completed") == [str(done)]
    assert ids(run, "--domain", "system") == [str(waits), str(done)]
    assert ids(run, "--queue", "rooms") == [str(done)]
    assert ids(run, "--since", "1h") == ids(run)
    assert ids(run, "--since", (clock.now() + dt.timedelta(hours=1)).isoformat()) == []
    assert ids(run, "--paused") == []

    lines = run("executions", "list").splitlines()
    assert lines[0].split() == ["id", "workflow", "status", "queue", "created", "error"]
    assert lines[1].split()[:4] == ["the-late-one", "TestWorkflow", "running", "estuary-workflows"]
    assert "Refused: refused this" in lines[3]


def test_another_namespace_is_not_seen(run: Run, carrier: Carrier, settings: Any) -> None:
    execution = carrier.start("TestWorkflow")
    settings.WORKFLOW_NAMESPACE = "another"
    assert run("executions", "list") == "No executions.\n"
    with pytest.raises(CommandError, match=f"there is no execution '{execution}'"):
        run("executions", "terminate", str(execution))
    assert status(execution) == ExecutionStatus.PENDING


def test_it_shows_what_went_in_and_out(run: Run, carrier: Carrier) -> None:
    execution = carrier.start("TestWorkflow", "hi", 1.0, 2, business_id="smoke")
    carrier.finish(execution)
    found = as_json(run, "show", "smoke")
    assert (found["id"], found["domain"], found["status"]) == (str(execution), "system", "completed")
    assert found["input"] == ["hi", 1.0, 2]
    assert found["result"]["joined"] == ["hi 0", "hi 1"]
    assert found["steps"] == {"completed": 4}
    assert "steps          4 completed" in run("executions", "show", str(execution)).splitlines()

    history = as_json(run, "history", "smoke")
    assert [(step["seq"], step["kind"], step["name"]) for step in history] == [
        (1, "activity", "system_echo"),
        (2, "timer", "timer"),
        (3, "activity", "system_echo"),
        (4, "activity", "system_echo"),
    ]
    assert [step["order"] for step in history[:2]] == [1, 2]
    assert history[2]["input"] == ["hi 0"]
    assert history[2]["output"]["message"] == "hi 0"
    assert len(run("executions", "history", "smoke").splitlines()) == 5


def test_the_failure_is_shown(run: Run, carrier: Carrier) -> None:
    execution = carrier.start("commands_refused")
    carrier.finish(execution)
    assert "refused this" in as_json(run, "show", str(execution))["error"]
    assert as_json(run, "history", str(execution))[0]["failure"] == "refused this"


def test_an_execution_is_cancelled_with_its_reason(run: Run, carrier: Carrier) -> None:
    execution = carrier.start("TestWorkflow", "hi", 86_400.0)
    carrier.drain()
    assert run("executions", "cancel", str(execution), "--reason", "no need") == f"{execution} asked to end\n"
    carrier.finish(execution)
    assert status(execution) == ExecutionStatus.CANCELLED
    assert as_json(run, "history", str(execution))[0]["kind"] == "cancel"


def test_an_execution_is_terminated(run: Run, carrier: Carrier) -> None:
    execution = carrier.start("TestWorkflow", "hi", 86_400.0)
    carrier.drain()
    assert as_json(run, "terminate", str(execution), "--reason", "now") == [
        {"id": str(execution), "done": True, "message": "terminated"}
    ]
    assert (status(execution), row(execution).error_message) == (ExecutionStatus.TERMINATED, "now")


def test_a_paused_one_waits_until_it_is_resumed(run: Run, carrier: Carrier) -> None:
    execution = carrier.start("TestWorkflow", "hi", 1.0, business_id="smoke")
    run("executions", "pause", "smoke")
    carrier.drain()
    assert ids(run, "--paused") == [str(execution)]
    assert run("executions", "list").splitlines()[1].split()[2] == "paused"
    assert not row(execution).steps.exists()
    run("executions", "resume", "smoke")
    carrier.finish(execution)
    assert status(execution) == ExecutionStatus.COMPLETED


def test_a_failed_one_is_retried(run: Run, carrier: Carrier) -> None:
    execution = carrier.start("commands_refused")
    carrier.finish(execution)
    run("executions", "retry", str(execution))
    assert status(execution) == ExecutionStatus.RUNNING
    carrier.finish(execution)
    assert row(execution).steps.get().attempt == 2


def test_a_dead_letter_is_redriven(run: Run, carrier: Carrier) -> None:
    carrier.under(Faults(kill=lambda point: point == "after system_echo"))
    execution = carrier.start("TestWorkflow", "hi", 1.0)
    carrier.finish(execution)
    assert status(execution) == ExecutionStatus.DEAD_LETTER
    assert row(execution).steps.get().status == StepStatus.DEAD_LETTER
    carrier.under(Faults())
    run("executions", "redrive", str(execution))
    carrier.finish(execution)
    assert status(execution) == ExecutionStatus.COMPLETED


def test_one_that_cannot_does_not_hold_up_the_others(run: Run, carrier: Carrier) -> None:
    done, waits = carrier.start("TestWorkflow"), carrier.start("TestWorkflow", "hi", 86_400.0)
    carrier.finish(done)
    with pytest.raises(CommandError, match=rf"{done} has ended already \(completed\); it cannot be terminated"):
        run("executions", "terminate", str(done), "nobody", str(waits))
    assert status(waits) == ExecutionStatus.TERMINATED


def test_an_id_of_ones_own_means_the_open_one(run: Run, carrier: Carrier) -> None:
    first = carrier.start("commands_refused", business_id="order")
    carrier.finish(first)
    second = carrier.start("TestWorkflow", "hi", 86_400.0, business_id="order")
    assert as_json(run, "show", "order")["id"] == str(second)
    run("executions", "terminate", "order")
    assert as_json(run, "show", "order")["id"] == str(second), "the latest, when none is open"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--status", "borken"), "there is no status 'borken'; there are: pending, running"),
        (("list", "--since", "yesterday"), "'yesterday' is no time: expected 90m, 2h, 7d or 2027-03-01T09:30"),
        (("list", "--domain", "bokings"), "there is no domain named 'bokings'; did you mean 'booking'?"),
        (("show", "nobody"), "there is no execution 'nobody'"),
        (("poke", "x"), "invalid choice: 'poke'"),
    ],
)
def test_what_there_is_not_is_refused(words: tuple[str, ...], said: str, run: Run, db: None) -> None:
    with pytest.raises(CommandError) as caught:
        run("executions", *words)
    assert said in str(caught.value)


def test_figures_are_of_what_ran(run: Run, carrier: Carrier) -> None:
    good = [carrier.start("TestWorkflow", "hi", 2.0) for _ in range(3)]
    bad = carrier.start("commands_refused")
    carrier.finish(*good, bad)
    starts.start_many([starts.NewExecution("TestWorkflow")])
    found = {one["workflow"]: one for one in json.loads(run("workflow_stats", "--json"))["workflows"]}
    assert {key: found["TestWorkflow"][key] for key in ("total", "open", "completed", "failed", "failure_rate")} == {
        **{"total": 4, "open": 1, "completed": 3, "failed": 0, "failure_rate": 0.0}
    }
    assert 2.0 <= found["TestWorkflow"]["seconds"] < 10
    assert found["commands_refused"]["failure_rate"] == 1.0
    assert "commands_refused" not in run("workflow_stats", "--domain", "system")
    assert run("workflow_stats").splitlines()[1].split()[:7] == ["TestWorkflow", "system", "4", "1", "3", "0", "0"]
    moved = (clock.now() + dt.timedelta(days=1)).isoformat()
    assert "No executions." in run("workflow_stats", "--since", moved)
    assert WorkflowExecution.objects.count() == 5
