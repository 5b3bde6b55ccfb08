"""Activities that are completed from outside (scenario 9; with another process in test_completions_real.py)."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from automation import clock
from automation.durable import activity, completions, control, registry, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityCancelledOutside, ActivityError, ApplicationError, TimeoutError
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStatus, ExecutionStep
from tests.durable.snippets import begun, steps
from tests.flows.workflows import call
from tests.support.carrier import Carrier, result, row

tokens: list[bytes] = []


@pytest.fixture(autouse=True)
def _hands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """`flows_echo` gives its token away and ends without an outcome; `flows_async_echo` likewise."""
    from dataclasses import replace

    tokens.clear()

    def hands_out(_value: Any) -> None:
        tokens.append(activity.info().task_token)
        activity.raise_complete_async()

    async def hands_out_async(value: Any) -> None:
        hands_out(value)

    for name, function in (("flows_echo", hands_out), ("flows_async_echo", hands_out_async)):
        monkeypatch.setitem(registry._activities, name, replace(registry.activity(name), function=function))


async def waits(data: Any) -> Any:
    """Waits for what comes from outside; `data` are options of the activity in seconds."""
    options = {name: dt.timedelta(seconds=value) for name, value in (data or {}).items()}
    try:
        return await call("echo", 1, retry_policy=RetryPolicy(maximum_attempts=2), **options)
    except ActivityError as error:
        cause = error.cause
        found = [type(cause).__name__, str(cause)]
        if isinstance(cause, TimeoutError):
            found += [cause.type.name if cause.type else "", list(cause.last_heartbeat_details)]
        return found


def waiting(carrier: Carrier, **options: float) -> uuid.UUID:
    options = {"start_to_close_timeout": 3600.0, **options}
    return begun(carrier, waits, options)


@pytest.mark.parametrize("name", ["echo", "async_echo", "local"])
def test_its_result_arrives(carrier: Carrier, name: str) -> None:
    async def one(data: Any) -> Any:
        limit = dt.timedelta(hours=1)
        if name == "local":
            return await workflow.group(workflow.step("flows_echo", 1, start_to_close_timeout=limit))
        return await call(name, 1, start_to_close_timeout=limit)

    execution = begun(carrier, one)
    completions.complete(completions.by_token(tokens[0]), {"from": "outside"})
    carrier.drain()  # no sweep is needed
    assert result(execution) == ([{"from": "outside"}] if name == "local" else {"from": "outside"})


def test_by_ids(carrier: Carrier) -> None:
    async def named(data: Any) -> Any:
        return await call("echo", 1, activity_id="approval", start_to_close_timeout=dt.timedelta(hours=1))

    execution = begun(carrier, named)
    completions.complete(completions.by_ids(str(execution), None, "approval"), "approved")
    carrier.drain()
    assert result(execution) == "approved"
    unnamed = waiting(carrier)
    with pytest.raises(NotFound, match="no running activity 'approval'"):
        completions.by_ids(str(unnamed), None, "approval")
    completions.complete(completions.by_ids(str(unnamed), str(unnamed), "1"), "by number")
    carrier.drain()
    assert result(unnamed) == "by number"


def test_an_activity_that_completed_before_it_let_go(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the token is quicker than the worker."""
    from dataclasses import replace

    def hurries(_value: Any) -> None:
        completions.complete(completions.by_token(activity.info().task_token), "quick")
        activity.raise_complete_async()

    monkeypatch.setitem(registry._activities, "flows_echo", replace(registry.activity("flows_echo"), function=hurries))
    execution = waiting(carrier)
    carrier.drain()
    assert result(execution) == "quick"
    carrier.finish()


def test_no_worker_is_waited_for(carrier: Carrier) -> None:
    execution = waiting(carrier)
    carrier.restart_workers()
    for _ in range(10):
        clock.shift(120)
        carrier.sweep()
        carrier.drain()
    assert steps(execution) == [(1, "flows_echo", "running")]
    assert len(tokens) == 1
    completions.complete(completions.by_token(tokens[0]), "late but in time")
    carrier.drain()
    assert result(execution) == "late but in time"


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"start_to_close_timeout": 600.0}, "START_TO_CLOSE"),
        ({"heartbeat_timeout": 60.0}, "HEARTBEAT"),
        ({"schedule_to_close_timeout": 900.0}, "SCHEDULE_TO_CLOSE"),
    ],
)
def test_its_time_limits_hold(carrier: Carrier, options: dict[str, float], kind: str) -> None:
    execution = waiting(carrier, **options)
    completions.heartbeat(completions.by_token(tokens[0]), "half way")
    carrier.finish(execution)
    found = result(execution)
    assert found[0] == "TimeoutError"
    assert found[2] == kind
    assert len(tokens) == (1 if kind == "SCHEDULE_TO_CLOSE" else 2)
    if kind == "HEARTBEAT":
        assert found[3] == ["half way"]


def test_heartbeats_keep_it_alive_and_say_when_it_is_to_stop(carrier: Carrier) -> None:
    execution = waiting(carrier, heartbeat_timeout=60.0)
    for number in range(5):
        clock.shift(40)
        completions.heartbeat(completions.by_token(tokens[0]), number)
        carrier.sweep()
    assert len(tokens) == 1
    control.cancel(execution)
    carrier.drain()
    step = ExecutionStep.objects.get(execution=execution, seq=1)
    assert step.cancel_requested
    with pytest.raises(ActivityCancelledOutside):
        completions.heartbeat(completions.by_token(tokens[0]), 5)
    completions.report_cancellation(completions.by_token(tokens[0]))
    carrier.finish()
    assert steps(execution)[1] == (1, "flows_echo", "cancelled")


def test_a_failure_from_outside_is_retried_as_the_policy_says(carrier: Carrier) -> None:
    execution = waiting(carrier)
    completions.fail(completions.by_token(tokens[0]), RuntimeError("first"), ["so far"])
    assert row(execution).steps.get().heartbeat == '["so far"]'
    carrier.settle()
    assert len(tokens) == 2
    with pytest.raises(Conflict, match="attempt 1 is over"):
        completions.by_token(tokens[0])
    completions.fail(completions.by_token(tokens[1]), ApplicationError("second", type="Outside"))
    carrier.drain()
    assert result(execution) == ["ApplicationError", "Outside: second"]


def test_a_canvas_whose_message_is_lost_does_not_wait_for_a_time_that_is_over(carrier: Carrier) -> None:
    async def together(_data: Any) -> Any:
        limit = dt.timedelta(days=3)
        return await workflow.group(
            workflow.step("flows_add", 2, 2, start_to_close_timeout=limit),
            workflow.step("flows_echo", 1, start_to_close_timeout=limit),
        )

    execution = begun(carrier, together)
    carrier.sweep()
    clock.shift(3600)
    carrier.sweep()
    carrier.drain()  # its first member, which has ended, is looked at when the other one's time is over
    completions.complete(completions.by_token(tokens[0]), "outside")
    carrier.forget_messages()
    carrier.finish(execution, days=1)
    assert result(execution) == [4, "outside"]


def test_an_outcome_is_taken_once(carrier: Carrier) -> None:
    execution = waiting(carrier)
    step, again = completions.by_token(tokens[0]), completions.by_token(tokens[0])
    completions.complete(step, 1)
    for act in (
        lambda: completions.complete(again, 2),
        lambda: completions.fail(again, RuntimeError()),
        lambda: completions.heartbeat(again),
        lambda: completions.report_cancellation(again),
        lambda: completions.by_token(tokens[0]),
    ):
        with pytest.raises(Conflict):
            act()
    carrier.drain()
    assert result(execution) == 1


def test_an_ended_workflow_takes_no_outcome(carrier: Carrier) -> None:
    execution = waiting(carrier)
    control.terminate(execution)
    completions.complete(completions.by_token(tokens[0]), 1)  # the attempt still is what it was
    carrier.finish()
    assert row(execution).status == ExecutionStatus.TERMINATED
    assert row(execution).result == ""


@pytest.mark.parametrize("token", ["", "x", b"\xff", "0197f3c2-8a51-7c04-9d1e-3b5a7c9e1f20:1:1", "a:b:c:d"])
def test_a_token_that_is_none_is_refused(carrier: Carrier, token: str | bytes) -> None:
    with pytest.raises(NotFound, match="no task token"):
        completions.by_token(token)


def test_tokens_of_one_project_mean_nothing_to_another(carrier: Carrier, settings: Any) -> None:
    waiting(carrier)
    settings.SECRET_KEY = "somebody else's"
    with pytest.raises(NotFound):
        completions.by_token(tokens[0])
