"""Starting workflows from the command line."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from automation.durable.client import SyncClient
from automation.durable.common import RetryPolicy
from automation.models import ExecutionStatus, WorkflowExecution
from automation.services import running
from tests.commands.conftest import Run
from tests.support.carrier import Carrier, result
from tests.support.processes import Worker
from tests.support.waiting import wait_until


def started(printed: str) -> uuid.UUID:
    return uuid.UUID(printed.split()[2])


def refused(run: Run, *words: str) -> str:
    before = WorkflowExecution.objects.count()
    with pytest.raises(CommandError) as caught:
        run(*words)
    assert WorkflowExecution.objects.count() == before, "what is refused starts nothing"
    return str(caught.value)


def test_it_starts_a_workflow_and_its_parameters_get_their_types(run: Run, carrier: Carrier) -> None:
    printed = run(
        *("trigger_workflow", "commands_plain", "--amount", "10.50", "--at=2027-03-01T09:30:00+00:00"),
        *("--ids", "1", "--ids", "2", "--urgent"),
    )
    carrier.finish()
    assert result(started(printed)) == ["10.50", "2027-03-01T09:30:00+00:00", "[1, 2]", "True"]


def test_parameters_come_as_json_too(run: Run, carrier: Carrier) -> None:
    given = {"amount": "3", "at": "2027-03-01T09:30:00+00:00", "ids": [7]}
    printed = run("trigger_workflow", "commands_plain", "--json-input", json.dumps(given), "--urgent", "no")
    carrier.finish()
    assert result(started(printed)) == ["3", "2027-03-01T09:30:00+00:00", "[7]", "False"]


@pytest.mark.parametrize("given", [{"user_id": 5, "email": "a@b.c"}, {"data": {"user_id": 5, "email": "a@b.c"}}])
def test_a_dataclass_is_given_by_its_fields(given: dict[str, Any], run: Run, carrier: Carrier) -> None:
    by_json = started(run("trigger_workflow", "commands_sign_up", "--json-input", json.dumps(given)))
    by_option = started(run("trigger_workflow", "commands_sign_up", "--user-id", "5", "--email", "a@b.c"))
    carrier.finish()
    assert result(by_json) == result(by_option) == {"user_id": 5, "email": "a@b.c", "name": "Nobody"}


def test_arguments_come_in_their_order(run: Run, carrier: Carrier) -> None:
    printed = run(*("trigger_workflows", "--domain", "system", "--workflow", "TestWorkflow", "--args", "hi", "5", "2"))
    carrier.finish()
    found = result(started(printed))
    assert (found["message"], round(found["slept"]), found["joined"]) == ("hi", 5, ["hi 0", "hi 1"])


def test_a_default_before_a_given_parameter_is_kept(run: Run, carrier: Carrier) -> None:
    printed = run("trigger_workflow", "TestWorkflow", "--members", "1")
    carrier.finish()
    assert result(started(printed))["joined"] == ["hello 0"]


def test_it_runs_on_the_queue_that_is_named(run: Run, db: None) -> None:
    here = WorkflowExecution.objects.get(id=started(run("trigger_workflow", "TestWorkflow")))
    there = WorkflowExecution.objects.get(
        id=started(run("trigger_workflow", "TestWorkflow", "--task-queue", "payments"))
    )
    elsewhere = WorkflowExecution.objects.get(
        id=started(run("trigger_workflow", "TestWorkflow", "--task-queue", "our-own"))
    )
    prefix = settings.TASK_QUEUE_PREFIX
    assert [row.queue for row in (here, there, elsewhere)] == [f"{prefix}-workflows", f"{prefix}-payment", "our-own"]


def test_an_id_is_given_to_one_open_execution(run: Run, db: None) -> None:
    first = started(run("trigger_workflow", "TestWorkflow", "--id", "smoke"))
    assert WorkflowExecution.objects.get(id=first).business_id == "smoke"
    assert f"execution {first} with the id 'smoke' has not ended yet" in refused(
        run, "trigger_workflow", "TestWorkflow", "--id", "smoke"
    )


TAKES = "takes: amount (Decimal), at (datetime), ids (list[int]), urgent (bool, default False)"
GOOD = {"amount": "1", "at": "2027-03-01", "ids": "1"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amuont": "1"}, [TAKES, "amuont: there is no such parameter; did you mean 'amount'?"]),
        ({"amount": None}, [TAKES, "amount: it is missing: Decimal is required"]),
        ({"amount": "ten"}, ["amount: expected Decimal, got 'ten'"]),
        ({"at": "soon"}, ["at: expected datetime, got 'soon'"]),
        ({"ids": "1,x"}, ["ids: expected a whole number, got 'x'"]),
        ({"urgent": "maybe"}, ["urgent: expected true or false, got 'maybe'"]),
    ],
)
def test_a_wrong_parameter_is_refused_with_the_right_ones(
    changes: dict[str, str | None], said: list[str], run: Run, db: None
) -> None:
    given = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    message = refused(run, "trigger_workflow", "commands_plain", *[f"--{name}={given[name]}" for name in given])
    for line in said:
        assert line in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trigger_workflow", "TestWorkfow"), "there is no workflow named 'TestWorkfow'; did you mean 'TestWorkflow'?"),
        (("trigger_workflow", "TestWorkflow", "--json-input", "{"), "--json-input is not JSON"),
        (("trigger_workflow", "TestWorkflow", "--json-input", "[1]"), "expected an object of parameters by name"),
        (("trigger_workflow", "TestWorkflow", "--json-input", '{"seconds": "2"}'), "seconds: expected a number"),
        (("trigger_workflow", "TestWorkflow", "--json-input", '{"members": true}'), "members: expected a whole number"),
        (
            ("trigger_workflow", "TestWorkflow", "--message", "a", "--json-input", '{"message": "b"}'),
            "message: it is given twice",
        ),
        (("trigger_workflow", "TestWorkflow", "--message", "a", "--message", "b"), "it is given 2 times"),
        (("trigger_workflow", "TestWorkflow", "hello"), "unexpected 'hello': parameters are given as --name value"),
        (("trigger_workflow", "automation"), "'automation' runs the workflows that organizers build"),
        (
            ("trigger_workflows", "--domain", "bookings", "--workflow", "TestWorkflow"),
            "TestWorkflow belongs to the domain 'system', not to 'bookings': --domain system",
        ),
        (
            ("trigger_workflows", "--domain", "sytem", "--workflow", "TestWorkflow"),
            "there is no domain named 'sytem'; did you mean 'system'?",
        ),
        (
            ("trigger_workflows", "--domain", "system", "--workflow", "TestWorkflow", "--args", *"1234"),
            "TestWorkflow takes 3 parameters, not 4: message (str, default 'hello')",
        ),
    ],
)
def test_what_cannot_be_started_is_refused(words: tuple[str, ...], said: str, run: Run, db: None) -> None:
    assert said in refused(run, *words)


def test_waiting_follows_a_workflow_that_continues_as_new(run: Run, carrier: Carrier) -> None:
    execution = started(run("trigger_workflow", "commands_countdown", "--number", "2"))
    carrier.finish()
    lines = list(running.follow(execution))
    assert [line.split(":")[0] for line in lines[:2]] == ["↻ continued as new", "↻ continued as new"]
    assert lines[2].startswith("✓ completed")
    assert running.succeeded(execution)
    assert running.result_of(execution) == "lift-off"


def test_waiting_follows_a_run_that_is_tried_again(carrier: Carrier) -> None:
    handle = SyncClient().start_workflow(
        "commands_countdown", 13, id="unlucky", task_queue="", retry_policy=RetryPolicy(maximum_attempts=2)
    )
    execution = uuid.UUID(handle.first_execution_run_id)
    carrier.finish()
    assert [line.split()[0] for line in running.follow(execution)] == ["↻", "✓"]
    assert running.succeeded(execution)


def test_waiting_ends_with_the_run_of_a_cron_schedule(carrier: Carrier) -> None:
    handle = SyncClient().start_workflow("commands_countdown", 0, id="daily", task_queue="", cron_schedule="0 3 * * *")
    execution = uuid.UUID(handle.first_execution_run_id)
    carrier.finish(execution)
    assert WorkflowExecution.objects.count() == 2, "the next one waits for its time"
    [line] = running.follow(execution)
    assert line.startswith("✓ completed")


@pytest.mark.real
def test_it_shows_each_step_as_it_ends(run: Run, worker: Callable[..., Worker]) -> None:
    worker(include=["tests.commands.definitions"])
    lines = run("trigger_workflow", "TestWorkflow", "--message", "hi", "--seconds", "0.3", "--wait").splitlines()

    assert lines[0].startswith("▶ TestWorkflow ")
    steps = [line.split()[:3] for line in lines[1:6]]
    assert steps[:2] == [["✓", "#1", "system_echo"], ["✓", "#2", "timer"]]
    assert sorted(steps[2:]) == [["✓", f"#{number}", "system_echo"] for number in (3, 4, 5)]
    assert lines[6].startswith("✓ completed after ")
    found = json.loads("\n".join(lines[7:]))
    assert (found["message"], found["joined"]) == ("hi", ["hi 0", "hi 1", "hi 2"])


@pytest.mark.real
def test_it_exits_with_1_when_the_workflow_fails(run: Run, worker: Callable[..., Worker]) -> None:
    worker(include=["tests.commands.definitions"])
    out = io.StringIO()
    with pytest.raises(CommandError, match="did not complete") as caught:
        call_command("trigger_workflow", "commands_refused", "--wait", stdout=out)
    assert caught.value.returncode == 1
    assert "✗ #1   flows_refuse" in out.getvalue()
    assert "failed after 1 attempt: refused this" in out.getvalue()


@pytest.mark.real
def test_it_says_when_nobody_serves_the_queue(run: Run, worker: Callable[..., Worker]) -> None:
    worker(queues=["another"])
    began = time.monotonic()
    with pytest.raises(CommandError, match=r"no worker serves the queue 'estuary-room'.* --task-queue estuary-room"):
        run("trigger_workflow", "TestWorkflow", "--task-queue", "rooms", "--wait")
    assert time.monotonic() - began < 10


@pytest.mark.real
def test_it_notices_that_the_only_worker_died(run: Run, worker: Callable[..., Worker]) -> None:
    node = worker()
    wait_until(lambda: node.log_text().count("ready."), 20)
    node.kill()
    began = time.monotonic()
    with pytest.raises(CommandError, match="no worker serves the queue"):
        run("trigger_workflow", "TestWorkflow", "--wait")
    assert time.monotonic() - began < 10


@pytest.mark.real
def test_it_waits_no_longer_than_it_is_told(run: Run, worker: Callable[..., Worker]) -> None:
    worker()
    with pytest.raises(CommandError, match=r"has not ended within 2 s \(it waits for #2 timer"):
        run("trigger_workflow", "TestWorkflow", "--seconds", "60", "--wait", "--timeout", "2")
    assert WorkflowExecution.objects.get().status == ExecutionStatus.RUNNING
