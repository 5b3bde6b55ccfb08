"""Time limits of executions and of activities, with workers that die as well as ones that hang."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest
from django.db import InterfaceError

from automation import clock
from automation.durable import control, give_up, id_policies, starts, statements_portable, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ChildWorkflowError, TimeoutError
from automation.durable.run_options import RunOptions
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, outcome, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Died, Faults, result, row

ONCE = RetryPolicy(maximum_attempts=1)
HOUR = 3600.0


async def sleeps(data: Any) -> Any:
    await asyncio.sleep(data)
    return "slept"


@pytest.fixture(autouse=True)
def _known() -> None:
    snippet(sleeps)


def start(seconds: float, options: RunOptions, **more: Any) -> uuid.UUID:
    new = starts.NewExecution("flows_snippet", ("sleeps", seconds), business_id="limited", options=options, **more)
    return id_policies.start(new).id


# -- executions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "execution"])
def test_an_execution_that_takes_too_long_is_timed_out(carrier: Carrier, name: str) -> None:
    began = clock.now()
    execution = start(2 * HOUR, RunOptions(**{f"{name}_timeout": HOUR}))  # type: ignore[arg-type]
    carrier.finish()
    one = row(execution)
    assert one.status == ExecutionStatus.TIMED_OUT
    assert one.error_message == f"the workflow took longer than its {name} timeout of 3600 s"
    assert one.completed_at is not None
    assert one.completed_at - began >= dt.timedelta(hours=1)
    assert steps(execution) == [(1, "timer", "cancelled")]


def test_one_that_is_in_time_is_not(carrier: Carrier) -> None:
    execution = start(HOUR / 2, RunOptions(run_timeout=HOUR, execution_timeout=HOUR))
    carrier.finish()
    assert result(execution) == "slept"
    clock.shift(2 * HOUR)
    carrier.sweep()
    assert result(execution) == "slept"
    assert row(execution).deadline is None


@pytest.mark.parametrize("state", ["parked", "paused", "planned"])
def test_a_deadline_holds_whatever_an_execution_waits_for(carrier: Carrier, state: str) -> None:
    async def broken(data: Any) -> Any:
        raise KeyError("a defect")

    snippet(broken)
    code = "broken" if state == "parked" else "sleeps"
    at = clock.now() + dt.timedelta(seconds=HOUR) if state == "planned" else None
    new = starts.NewExecution("flows_snippet", (code, 9 * HOUR), options=RunOptions(run_timeout=HOUR), scheduled_for=at)
    execution = id_policies.start(new).id
    carrier.drain()
    if state == "paused":
        control.pause(execution)
    for _ in range(3):
        clock.shift(HOUR * 0.9)  # which a run that is planned for later has not used up before it begins
        carrier.sweep()
        carrier.drain()
    assert row(execution).status == ExecutionStatus.TIMED_OUT


def test_the_execution_timeout_spans_all_runs(carrier: Carrier) -> None:
    async def again(data: Any) -> Any:
        await asyncio.sleep(600)
        workflow.continue_as_new(args=["again", data + 1])

    snippet(again)
    options = RunOptions(execution_timeout=HOUR, run_timeout=HOUR)
    id_policies.start(starts.NewExecution("flows_snippet", ("again", 1), business_id="limited", options=options))
    carrier.finish()
    statuses = list(WorkflowExecution.objects.order_by("created_at").values_list("status", flat=True))
    assert statuses == ["continued_as_new"] * 5 + ["timed_out"]


def test_a_run_that_timed_out_is_retried_until_the_execution_has(carrier: Carrier) -> None:
    policy = RetryPolicy(initial_interval=dt.timedelta(seconds=1))
    start(2 * HOUR, RunOptions(run_timeout=HOUR, execution_timeout=2.5 * HOUR, retry=policy))
    carrier.finish()
    rows = WorkflowExecution.objects.order_by("created_at")
    assert [one.status for one in rows] == ["timed_out"] * 3
    assert [one.error_message.split(" timeout")[0].split()[-1] for one in rows] == ["run", "run", "execution"]


def test_a_parent_hears_of_the_timeout_of_its_child(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        try:
            await workflow.execute_child_workflow(
                "flows_snippet", args=["sleeps", 2 * HOUR], run_timeout=dt.timedelta(hours=1)
            )
        except ChildWorkflowError as error:
            assert isinstance(error.cause, TimeoutError)  # noqa: PT017
            return error.cause.type.name if error.cause.type else None

    assert outcome(carrier, parent) == "START_TO_CLOSE"


def test_children_end_with_a_parent_that_timed_out(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        await workflow.execute_child_workflow("flows_snippet", args=["sleeps", 9 * HOUR])

    snippet(parent)
    new = starts.NewExecution("flows_snippet", ("parent",), options=RunOptions(run_timeout=HOUR))
    execution = id_policies.start(new).id
    carrier.finish()
    assert row(execution).status == ExecutionStatus.TIMED_OUT
    assert WorkflowExecution.objects.get(parent_id=execution).status == ExecutionStatus.TERMINATED


def test_start_delay_puts_the_beginning_and_the_deadline_off(carrier: Carrier) -> None:
    began = clock.now()
    execution = start(60, RunOptions(run_timeout=HOUR), start_delay=dt.timedelta(hours=5))
    carrier.finish()
    one = row(execution)
    assert result(execution) == "slept"
    assert one.started_at is not None
    assert one.started_at - began >= dt.timedelta(hours=5)


# -- activities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", [False, True], ids=["hangs", "dies"])
@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"start_to_close_timeout": 60}, "START_TO_CLOSE"),
        ({"start_to_close_timeout": 600, "heartbeat_timeout": 60}, "HEARTBEAT"),
        ({"schedule_to_close_timeout": 60}, "SCHEDULE_TO_CLOSE"),
    ],
)
def test_limits_hold_with_a_worker_that_hangs_or_dies(
    carrier: Carrier, limits: dict[str, float], kind: str, dies: bool
) -> None:
    """A hanging worker is alive by its heartbeat rows, and never comes back to this step."""

    async def waits(data: Any) -> Any:
        options = {"start_to_close_timeout": None, **{k: dt.timedelta(seconds=v) for k, v in limits.items()}}
        try:
            return await call("elsewhere", 1, retry_policy=ONCE, **options)
        except ActivityError as error:
            cause = error.cause
            return cause.type.name if isinstance(cause, TimeoutError) and cause.type else str(cause)

    def stop(point: str) -> bool:
        if point == "before flows_elsewhere":
            if dies:
                return True
            raise Hangs
        return False

    carrier.under(Faults(kill=stop))
    execution = begun(carrier, waits)
    carrier.under(Faults())
    carrier.finish(execution)
    found = result(execution)
    assert found == kind or (dies and "died during attempt 1" in found)
    assert activities.journal == []


class Hangs(Died):
    """The worker stays alive and is never heard of again, as far as this step goes."""


@pytest.fixture(autouse=True)
def _hanging(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    bury = carrier._bury

    def unless_hanging(worker: Any) -> None:
        import sys

        if not isinstance(sys.exc_info()[1], Hangs):
            bury(worker)

    monkeypatch.setattr(carrier, "_bury", unless_hanging)


def test_nobody_takes_it_within_schedule_to_start(carrier: Carrier) -> None:
    async def waits(data: Any) -> Any:
        try:
            await call("elsewhere", 1, schedule_to_start_timeout=dt.timedelta(minutes=5), retry_policy=RetryPolicy())
        except ActivityError as error:
            assert isinstance(error.cause, TimeoutError)  # noqa: PT017
            return error.cause.type.name if error.cause.type else None

    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    assert outcome(carrier, waits) == "SCHEDULE_TO_START"


def test_heartbeat_details_reach_the_next_attempt_and_the_error(carrier: Carrier) -> None:
    """Scenario 25, with a worker that dies: the last details that were written are what the next attempt gets."""
    from automation.durable import payloads

    async def waits(data: Any) -> Any:
        limits = {"heartbeat_timeout": dt.timedelta(seconds=30), "start_to_close_timeout": dt.timedelta(hours=1)}
        return await call("beating", "detail", retry_policy=RetryPolicy(), **limits)

    def kill(point: str) -> bool:
        return point == "after flows_beating" and len(activities.journal) == 1

    carrier.under(Faults(kill=kill))
    execution = begun(carrier, waits)
    carrier.finish(execution)
    assert result(execution) == ["detail", 1]
    assert payloads.decode(row(execution).steps.get().heartbeat) == ["detail", 2]


# -- an outcome that the database did not take -------------------------------------------------------------------------


def losing_the_database(carrier: Carrier, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Have the next call of a statement find the connection gone."""
    from automation.durable import statements

    lost: list[str] = []
    current = statements.current()

    class Losing:
        def __getattr__(self, wanted: str) -> Any:
            inner = getattr(current, wanted)
            if wanted != name or lost:
                return inner

            def raises(*_args: Any, **_options: Any) -> Any:
                lost.append(wanted)
                raise InterfaceError("connection already closed")

            return raises

    monkeypatch.setattr(statements, "current", Losing)
    return lost


async def one_step(data: Any) -> Any:
    try:
        return await call(*data)
    except ActivityError as error:
        return str(error.cause)


@pytest.mark.parametrize("queue", ["echo", "elsewhere"])
def test_a_step_without_attempts_left_does_not_run_twice(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    async def once(data: Any) -> Any:
        try:
            return await call(queue, 1, retry_policy=ONCE)
        except ActivityError as error:
            return str(error.cause)

    lost = losing_the_database(carrier, monkeypatch, "finish" if queue == "echo" else "settle")
    execution = begun(carrier, once)
    carrier.finish(execution)
    assert lost
    assert len(activities.journal) == 1
    found = result(execution)
    assert found.startswith(give_up.OUTCOME_LOST)
    assert "whether it took effect is not known" in found


def test_one_with_attempts_left_runs_again(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice(data: Any) -> Any:
        return await call("echo", 1, retry_policy=RetryPolicy(maximum_attempts=2))

    losing_the_database(carrier, monkeypatch, "finish")
    assert outcome(carrier, twice) == 1
    assert [attempt for _, _, attempt in activities.journal] == [1, 2]


def test_a_transactional_one_runs_again_since_its_writes_were_rolled_back(carrier: Carrier) -> None:
    async def once(data: Any) -> Any:
        return await call("enter", "note", retry_policy=ONCE)

    carrier.under(Faults(kill=lambda point: point == "before flows_enter" and not carrier.deaths))
    execution = begun(carrier, once)
    running = ExecutionStep.objects.filter(execution=execution, status="running")
    give_up.what_may_have_happened(running, {(execution, 1)}, clock.now())
    assert running.get().attempt == 1


def test_one_that_was_claimed_and_had_not_begun_runs(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chunk several are claimed ahead; the database is gone when the first outcomes are written."""

    async def many(data: Any) -> Any:
        options = {"start_to_close_timeout": dt.timedelta(seconds=20), "retry_policy": ONCE}
        members = (workflow.step("flows_echo", number, **options) for number in range(12))
        return [str(one) for one in await workflow.group(*members, return_exceptions=True)]

    calls = 0
    original = statements_portable.settle_many

    def third_fails(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InterfaceError("connection already closed")
        return original(*args, **options)

    monkeypatch.setattr("automation.durable.statements_portable.settle_many", third_fails)
    monkeypatch.setattr("automation.durable.statements_postgres.settle_many", third_fails)
    execution = begun(carrier, many)
    carrier.finish(execution)
    found = result(execution)
    lost = [text for text in found if "failed" in text]
    keys = [key for _, key, _ in activities.journal]
    assert len(keys) == len(set(keys)) == 12, "a step ran twice, or not at all"
    assert 0 < len(lost) < 12
    assert ExecutionStep.objects.filter(execution=execution, status="failed").count() == len(lost)
