"""A step that waits for its time is moved, run at once, or not run; whatever was on its way for the former time."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from typing import Any

import pytest
from django.db import connection, connections, transaction

from automation import clock
from automation.durable import control, interventions, statements, workflow
from automation.durable.common import RetryPolicy
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStep, StepStatus
from tests.durable.snippets import begun, somebody_waits
from tests.flows import activities
from tests.support.carrier import Carrier, Faults, result, row
from tests.support.waiting import wait_until

DAY = 86_400.0


def waits(seconds: float) -> Any:
    """A chain whose second step waits, and what follows it; without a chain, a step that waits for another attempt."""

    async def chained(_data: Any) -> Any:
        return await workflow.chain(
            workflow.step("flows_echo", 1),
            workflow.step("flows_echo", 2, start_delay=dt.timedelta(seconds=seconds)),
            workflow.step("flows_echo", 3),
        )

    return chained


async def retried(_data: Any) -> Any:
    policy = RetryPolicy(initial_interval=dt.timedelta(days=1), maximum_attempts=3)
    return [
        await workflow.execute_activity(
            "flows_flaky", args=["x", 1], retry_policy=policy, start_to_close_timeout=dt.timedelta(minutes=1)
        )
    ]


def step(execution: uuid.UUID, seq: int = 2) -> ExecutionStep:
    return ExecutionStep.objects.get(execution_id=execution, seq=seq)


@pytest.mark.parametrize("seconds", [5.0, DAY])
def test_sent_now_it_does_not_wait(carrier: Carrier, seconds: float) -> None:
    execution = begun(carrier, waits(seconds))
    before = clock.now()
    interventions.move(execution, 2, before)
    carrier.drain()
    assert result(execution) == [1, 2, 3]
    assert (step(execution).started_at - before).total_seconds() < seconds  # type: ignore[operator]
    assert len(activities.journal) == 3


@pytest.mark.parametrize("seconds", [5.0, DAY])
def test_moved_it_runs_at_the_other_time_alone(carrier: Carrier, seconds: float) -> None:
    execution = begun(carrier, waits(seconds))
    at = clock.now() + dt.timedelta(seconds=3 * seconds)
    interventions.move(execution, 2, at)
    clock.shift(seconds + 1)  # the former time, for which a message may be under way
    carrier.sweep()
    carrier.drain()
    assert step(execution).status == StepStatus.PENDING
    carrier.finish(execution)
    assert result(execution) == [1, 2, 3]
    assert at <= step(execution).started_at <= at + dt.timedelta(seconds=2)  # type: ignore[operator]
    assert step(execution).attempt == 1


@pytest.mark.parametrize("seconds", [5.0, DAY])
def test_settled_it_does_not_run_and_what_follows_goes_on(carrier: Carrier, seconds: float) -> None:
    execution = begun(carrier, waits(seconds))
    interventions.settle(execution, 2, {"status": "skipped"})
    carrier.drain()
    assert result(execution) == [1, {"status": "skipped"}, 3]
    assert (step(execution).attempt, step(execution).worker) == (1, "")
    assert len(activities.journal) == 2


def test_the_first_step_of_a_chain(carrier: Carrier) -> None:
    async def late(_data: Any) -> Any:
        delay = dt.timedelta(days=1)
        return await workflow.chain(
            workflow.group(
                workflow.step("flows_echo", 1, start_delay=delay), workflow.step("flows_echo", 2, start_delay=delay)
            ),
            workflow.step("flows_echo", 3),
        )

    execution = begun(carrier, late)
    interventions.settle(execution, 1, None)
    carrier.drain()
    assert step(execution, 3).status == StepStatus.PENDING, "the other member of its stage still waits"
    interventions.move(execution, 2, clock.now())
    carrier.drain()
    assert result(execution) == [[None, 2], 3]


def test_a_retry_that_waits(carrier: Carrier) -> None:
    execution = begun(carrier, retried)
    assert step(execution, 1).attempt == 1
    interventions.move(execution, 1, clock.now())
    carrier.drain()
    assert result(execution) == ["x"]
    assert step(execution, 1).attempt == 2


@pytest.mark.parametrize("settled", [False, True])
def test_a_lost_message_is_made_up_for(carrier: Carrier, settled: bool) -> None:
    execution = begun(carrier, waits(40 * DAY))
    at = clock.now()
    interventions.settle(execution, 2, 2) if settled else interventions.move(execution, 2, at)
    carrier.forget_messages()
    carrier.finish(execution, days=1)
    assert result(execution) == [1, 2, 3]


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_messages_in_any_order_and_number(carrier: Carrier, order: str) -> None:
    carrier.under(Faults(order=order, copies=3))
    execution = begun(carrier, waits(5.0))
    interventions.move(execution, 2, clock.now() + dt.timedelta(seconds=2))
    interventions.move(execution, 2, clock.now() + dt.timedelta(seconds=9))
    interventions.move(execution, 2, clock.now() + dt.timedelta(seconds=1))
    carrier.finish(execution)
    assert result(execution) == [1, 2, 3]
    assert step(execution).attempt == 1


def test_what_does_not_wait_is_left(carrier: Carrier) -> None:
    execution = begun(carrier, waits(DAY))
    for seq in (1, 3):  # over, and not its turn yet
        with pytest.raises(Conflict, match="does not wait"):
            interventions.move(execution, seq, clock.now())
        with pytest.raises(Conflict, match="does not wait"):
            interventions.settle(execution, seq, None)
    with pytest.raises(NotFound):
        interventions.move(execution, 99, clock.now())
    with pytest.raises(NotFound):
        interventions.move(uuid.uuid4(), 1, clock.now())
    control.pause(execution)
    with pytest.raises(Conflict, match="paused"):
        interventions.move(execution, 2, clock.now())
    control.resume(execution)
    ExecutionStep.objects.filter(execution_id=execution, seq=2).update(status=StepStatus.RUNNING)
    with pytest.raises(Conflict, match="does not wait"):
        interventions.settle(execution, 2, None)
    control.terminate(execution)
    with pytest.raises(Conflict, match="terminated"):
        interventions.settle(execution, 2, None)
    assert row(execution).status == "terminated"


def test_its_own_time_limit_holds(carrier: Carrier) -> None:
    async def limited(_data: Any) -> Any:
        return await workflow.execute_activity(
            "flows_flaky",
            args=["x", 1],
            retry_policy=RetryPolicy(initial_interval=dt.timedelta(hours=1)),
            schedule_to_close_timeout=dt.timedelta(days=1),
        )

    execution = begun(carrier, limited)
    with pytest.raises(Conflict, match="has to end before"):
        interventions.move(execution, 1, clock.now() + dt.timedelta(days=2))
    interventions.move(execution, 1, clock.now() + dt.timedelta(hours=20))
    carrier.finish(execution)
    assert result(execution) == "x"


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.parametrize("first", ["claim", "move"])
def test_of_a_worker_and_a_person_at_the_same_moment_one_comes_first(carrier: Carrier, first: str) -> None:
    """Each asks while the other's transaction is open, and is answered once that has ended."""
    execution = begun(carrier, waits(5.0))
    clock.shift(10)
    now = clock.now()
    [member] = statements.current().load_members(execution, [2])

    def claim() -> bool:
        return statements.current().claim(member, "somebody", now, now + dt.timedelta(minutes=1)) is not None

    def move() -> bool:
        try:
            interventions.move(execution, 2, now + dt.timedelta(hours=1))
        except Conflict:
            return False
        return True

    asked, other = (claim, move) if first == "claim" else (move, claim)
    answers: list[bool] = []

    def ask() -> None:
        try:
            answers.append(other())
        finally:
            connections.close_all()

    thread = threading.Thread(target=ask)
    with transaction.atomic():
        assert asked()
        thread.start()
        wait_until(somebody_waits, 20)
    thread.join(20)
    assert answers == [False]
    assert step(execution).status == (StepStatus.RUNNING if first == "claim" else StepStatus.PENDING)
