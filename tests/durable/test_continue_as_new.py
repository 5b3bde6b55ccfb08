"""Runs that follow on one another: continue-as-new, and the retry of an execution."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest

from automation import clock
from automation.durable import continuing, control, id_policies, payloads, starts, workflow
from automation.durable.common import RetryPolicy
from automation.durable.deliveries import signal
from automation.durable.exceptions import ApplicationError
from automation.durable.run_options import RunOptions
from automation.errors import Conflict
from automation.models import ExecutionStatus, WorkflowExecution
from tests.durable.snippets import begun, ended, snippet
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row


async def counts(data: Any) -> Any:
    """Ten runs; each does a little."""
    data = data or {"number": 1}
    await call("echo", data["number"])
    await asyncio.sleep(60)
    if data["number"] < 10:
        workflow.continue_as_new(args=["counts", {"number": data["number"] + 1}])
    return data["number"]


@pytest.fixture(autouse=True)
def _known() -> None:
    snippet(counts)


def runs() -> list[WorkflowExecution]:
    return list(WorkflowExecution.objects.order_by("created_at", "id"))


# -- scenario 10 -------------------------------------------------------------------------------------------------------


def test_ten_times_is_ten_linked_runs_with_short_histories(carrier: Carrier) -> None:
    first = id_policies.start(starts.NewExecution("flows_snippet", ("counts",), business_id="counter")).id
    carrier.finish()
    found = runs()
    assert [one.status for one in found] == ["continued_as_new"] * 9 + ["completed"]
    assert {one.business_id for one in found} == {"counter"}
    assert [one.previous_run_id for one in found] == [None, *[one.id for one in found[:-1]]]
    assert {one.first_run_id for one in found[1:]} == {first}
    assert [one.steps.count() for one in found] == [2] * 10
    assert result(found[-1].id) == 10
    assert continuing.last_run(row(first)).id == found[-1].id
    assert [name for name, _, _ in activities.journal] == ["flows_echo"] * 10


def test_without_an_id_of_the_callers_the_first_runs_stays_the_workflow_id(carrier: Carrier) -> None:
    seen: set[str] = set()

    async def twice(data: Any) -> Any:
        seen.add(workflow.info().workflow_id)
        if data is None:
            workflow.continue_as_new(args=["twice", 2])
        return workflow.info().run_id

    execution = begun(carrier, twice)
    carrier.finish()
    assert seen == {str(execution)}
    assert result(continuing.last_run(row(execution)).id) != str(execution)


@pytest.mark.parametrize("seed", range(4))
def test_a_chain_survives_deaths_losses_and_duplicates(carrier: Carrier, seed: int) -> None:
    carrier.under(Faults(seed=seed, loss=0.15, deaths=0.05, copies=2, order="random", interleaving=0.1, budget=60))
    id_policies.start(starts.NewExecution("flows_snippet", ("counts",), business_id="counter"))
    carrier.finish()
    assert [one.status for one in runs()] == ["continued_as_new"] * 9 + ["completed"]


def test_what_is_not_said_stays_as_it_was(carrier: Carrier) -> None:
    async def changes(data: Any) -> Any:
        if data == 1:
            workflow.continue_as_new(args=["changes", 2])
        if data == 2:
            workflow.continue_as_new(
                args=["changes", 3],
                memo={"note": "new"},
                search_attributes={"Kind": ["large"]},
                run_timeout=dt.timedelta(minutes=5),
                backoff_start_interval=dt.timedelta(hours=1),
            )
        return "done"

    snippet(changes)
    began = clock.now()
    options = RunOptions(execution_timeout=86_400.0, run_timeout=3600.0)
    new = starts.NewExecution(
        "flows_snippet", ("changes", 1), business_id="c", memo={"note": "old"}, search_attributes={"Kind": ["small"]}
    )
    id_policies.start(starts.replace(new, options=options, priority=2))
    carrier.finish()
    one, two, three = runs()
    assert [payloads.decode(run.memo) for run in (one, two, three)] == [{"note": "old"}] * 2 + [{"note": "new"}]
    assert [run.search_attributes for run in (one, two, three)] == [{"Kind": "small"}] * 2 + [{"Kind": "large"}]
    assert [run.priority for run in (one, two, three)] == [2, 2, 2]
    assert three.scheduled_for is not None
    assert three.started_at is not None
    assert three.started_at - began >= dt.timedelta(hours=1)
    assert three.deadline == three.scheduled_for + dt.timedelta(minutes=5)


def test_another_workflow_may_take_over(carrier: Carrier) -> None:
    async def hands_over(data: Any) -> Any:
        workflow.continue_as_new(["call", "echo", "new hands"], workflow="flows_script")

    execution = begun(carrier, hands_over)
    carrier.finish()
    last = continuing.last_run(row(execution))
    assert last.definition == "flows_script"
    assert result(last.id) == "new hands"


# -- signals -----------------------------------------------------------------------------------------------------------


async def collects(data: Any) -> Any:
    """Takes up to two signals a run; stops at "stop"."""
    heard: list[Any] = []
    workflow.set_signal_handler("say", heard.append)
    await call("echo", 1)
    await workflow.wait_condition(lambda: bool(heard))
    said = [*(data or []), *heard]
    if "stop" not in said:
        workflow.continue_as_new(args=["collects", said])
    return said


def send(count: int) -> None:
    target = WorkflowExecution.objects.get(completed_at=None, business_id="collector")
    signal(target.id, "say", payloads.encode([count if count < 12 else "stop"]), f"test:{count}")


def test_no_signal_is_lost_between_two_runs(carrier: Carrier) -> None:
    """One is sent at every turn that the runs take, right before and after each of their commits."""
    snippet(collects)
    sent = 0

    def send_now(point: str) -> bool:
        nonlocal sent
        if point in ("before append", "after append", "before take_over", "before publish") and sent < 12:
            from django.db import connection

            if not connection.in_atomic_block:
                sent += 1
                send(sent)
        return False

    id_policies.start(starts.NewExecution("flows_snippet", ("collects",), business_id="collector"))
    carrier.under(Faults(kill=send_now))
    carrier.drain()
    carrier.under(Faults())
    while sent < 12:
        sent += 1
        send(sent)
        carrier.drain()
    carrier.finish()
    said = result(runs()[-1].id)
    assert said == [*range(1, 12), "stop"]


# -- children and parents ----------------------------------------------------------------------------------------------


def test_a_parent_waits_for_the_last_run_of_its_child(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        handle = await workflow.start_child_workflow("flows_snippet", args=["counts", {"number": 8}])
        return [await handle, handle.first_execution_run_id]

    execution = ended(carrier, parent).id
    children = list(WorkflowExecution.objects.filter(parent_id=execution).order_by("created_at"))
    assert result(execution) == [10, str(children[0].id)]
    assert [child.status for child in children] == ["continued_as_new", "continued_as_new", "completed"]


def test_cancelling_reaches_the_run_that_is_going_on(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        await workflow.execute_child_workflow("flows_snippet", args=["counts", None])

    execution = begun(carrier, parent)
    while WorkflowExecution.objects.filter(parent_id=execution).count() < 3:
        carrier._move_on(clock.timestamp() + 86_400, ())
        carrier.drain()
    control.cancel(execution)
    carrier.finish()
    assert row(execution).status == ExecutionStatus.CANCELLED
    last = WorkflowExecution.objects.filter(parent_id=execution).order_by("created_at").last()
    assert last is not None
    assert last.status == ExecutionStatus.CANCELLED


# -- the retry of an execution -----------------------------------------------------------------------------------------


def retried(policy: RetryPolicy, name: str, data: Any = None) -> uuid.UUID:
    new = starts.NewExecution("flows_snippet", (name, data), business_id="retried", options=RunOptions(retry=policy))
    return id_policies.start(new).id


def test_an_execution_is_retried_as_its_policy_says(carrier: Carrier) -> None:
    async def third_time(data: Any) -> Any:
        if workflow.info().attempt < 3:
            raise ApplicationError("not yet")
        return workflow.info().attempt

    snippet(third_time)
    began = clock.now()
    first = retried(RetryPolicy(initial_interval=dt.timedelta(seconds=60)), "third_time")
    carrier.finish()
    assert [one.status for one in runs()] == ["failed", "failed", "completed"]
    last = continuing.last_run(row(first))
    assert result(last.id) == 3
    assert last.started_at is not None
    assert last.started_at - began >= dt.timedelta(seconds=180)


def test_a_retry_policy_gives_up(carrier: Carrier) -> None:
    async def never(data: Any) -> Any:
        raise ApplicationError("never", non_retryable=data)

    snippet(never)
    policy = RetryPolicy(initial_interval=dt.timedelta(seconds=1), maximum_attempts=3)
    retried(policy, "never", False)
    carrier.finish()
    assert [one.status for one in runs()] == ["failed"] * 3
    WorkflowExecution.objects.all().delete()
    retried(policy, "never", True)
    carrier.finish()
    assert [one.status for one in runs()] == ["failed"]


def test_a_parent_hears_of_the_last_attempt_only(carrier: Carrier) -> None:
    async def second_time(data: Any) -> Any:
        if workflow.info().attempt < 2:
            raise ApplicationError("not yet")
        return "well"

    async def parent(data: Any) -> Any:
        policy = RetryPolicy(initial_interval=dt.timedelta(seconds=5))
        return await workflow.execute_child_workflow("flows_snippet", args=["second_time", None], retry_policy=policy)

    snippet(second_time)
    assert result(ended(carrier, parent).id) == "well"


def test_the_hook_for_cron_starts_the_next_run(carrier: Carrier) -> None:
    async def twice(data: Any) -> Any:
        await call("echo", 1)
        if len(activities.journal) >= 3:
            await asyncio.sleep(10 * 86_400)

    snippet(twice)
    before = continuing._next_time
    continuing.on_cron(lambda schedule, now: now + dt.timedelta(hours=int(schedule)))
    try:
        options = RunOptions(cron="1")
        id_policies.start(starts.NewExecution("flows_snippet", ("twice",), business_id="cron", options=options))
        carrier.drain()
        while len(activities.journal) < 3:
            carrier._move_on(clock.timestamp() + 86_400, ())
            carrier.drain()
    finally:
        continuing.on_cron(before)
    found = runs()
    assert [one.status for one in found] == ["completed", "completed", "running"]
    assert found[1].scheduled_for == found[0].completed_at + dt.timedelta(hours=1)  # type: ignore[operator]
    control.terminate(found[-1].id)


def test_a_run_knows_what_the_one_before_came_to(carrier: Carrier) -> None:
    async def knows(data: Any) -> Any:
        last = workflow.get_last_failure()
        if last is None:
            raise ApplicationError("the first time")
        return [str(last), workflow.has_last_completion_result(), workflow.get_last_completion_result()]

    snippet(knows)
    first = retried(RetryPolicy(initial_interval=dt.timedelta(seconds=1)), "knows")
    carrier.finish()
    assert result(continuing.last_run(row(first)).id) == ["the first time", False, None]


def test_a_handler_may_continue_as_new(carrier: Carrier) -> None:
    async def listens(data: Any) -> Any:
        def go(number: int) -> None:
            workflow.continue_as_new(args=["listens", number])

        workflow.set_signal_handler("go", go)
        await workflow.wait_condition(lambda: data == 2)
        return data

    execution = begun(carrier, listens, 0)
    signal(execution, "go", payloads.encode([2]), "test:go")
    carrier.finish()
    assert [one.status for one in runs()] == ["continued_as_new", "completed"]
    assert result(runs()[-1].id) == 2


def test_an_execution_that_another_follows_is_not_retried_by_hand(carrier: Carrier) -> None:
    async def fails(data: Any) -> Any:
        await call("refuse", 1)

    snippet(fails)
    first = retried(RetryPolicy(initial_interval=dt.timedelta(days=1), maximum_attempts=2), "fails")
    carrier.drain()
    assert row(first).status == ExecutionStatus.FAILED
    with pytest.raises(Conflict, match="workflow id 'retried' is in use"):
        control.retry(first)
    carrier.finish()
