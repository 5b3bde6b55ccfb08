"""What holds while a worker has something: how long nobody looks, who is taken for dead, what is given up, by rows."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from typing import Any

import pytest
from django.conf import settings

from automation import clock
from automation.durable import give_up, liveness, options, recovery, runner, statements, states
from automation.durable.common import RetryPolicy
from automation.models import ExecutionStatus, ExecutionStep, StepStatus, WorkerHeartbeat, WorkflowExecution
from tests.durable.snippets import begun
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, row

pytestmark = pytest.mark.usefixtures("carrier")
LEASE = dt.timedelta(seconds=settings.DURABLE_LEASE)


def node(pids: list[int], seen: dt.timedelta = dt.timedelta()) -> str:
    """A worker of a node that was last seen so long ago, whose process had this process's number."""
    now = clock.unmoved()
    id_ = f"node-{uuid.uuid4().hex[:8]}"
    WorkerHeartbeat.objects.create(
        id=id_, node=id_, hostname="here", pid=os.getpid(), pids=pids, started_at=now, seen_at=now - seen
    )
    return f"{id_}/{os.getpid()}"


def held(worker: str, due: dt.datetime, **changes: Any) -> WorkflowExecution:
    """An execution that this worker advances or carries."""
    values = {"status": "running", "queue": "q", "created_at": due, "started_at": due, **changes}
    return WorkflowExecution.objects.create(definition="flows_snippet", input="[]", worker=worker, due=due, **values)


def running(worker: str, due: dt.datetime | None, **changes: Any) -> ExecutionStep:
    """A step that this worker runs."""
    now = clock.now()
    execution = held("", now + 100 * LEASE)
    limits = {"kind": "activity", "name": "flows_echo", "queue": "q", "status": "running", "attempt": 1, "seq": 1}
    values = {**limits, "created_at": now, "started_at": now, **changes}
    return ExecutionStep.objects.create(execution=execution, worker=worker, due=due, **values)


def again(step: ExecutionStep) -> ExecutionStep:
    return ExecutionStep.objects.get(id=step.id)


# -- leases ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"start_to_close": 3600.0}, settings.DURABLE_LEASE),
        ({"start_to_close": settings.DURABLE_LEASE / 2}, settings.DURABLE_LEASE / 2),
        ({"start_to_close": 3600.0, "heartbeat": settings.DURABLE_LEASE / 4}, settings.DURABLE_LEASE / 4),
    ],
)
def test_an_attempt_s_lease_ends_with_the_first_of_its_limits(limits: dict[str, float], seconds: float) -> None:
    now = clock.now()
    text = options.StepOptions(**limits).dump()  # type: ignore[arg-type]
    assert runner.lease_of(text, now) == now + dt.timedelta(seconds=seconds)


def test_a_living_worker_keeps_its_step_for_another_lease_and_no_longer() -> None:
    now = clock.now()
    long = options.StepOptions(start_to_close=3600.0).dump()
    step = running(node([os.getpid()]), now - dt.timedelta(seconds=1), options=long)
    recovery.sweep()
    after = again(step)
    assert (after.status, after.attempt) == (StepStatus.RUNNING, 1)
    assert after.due is not None
    assert now < after.due <= clock.now() + LEASE, "so that its death is noticed then, not when its time is over"


def test_a_living_worker_keeps_its_execution_for_another_lease() -> None:
    now = clock.now()
    execution = held(node([os.getpid()]), now - dt.timedelta(seconds=1))
    recovery.sweep()
    after = row(execution.id)
    assert (after.worker, after.epoch) == (execution.worker, execution.epoch)
    assert after.due is not None
    assert now < after.due <= clock.now() + LEASE


def test_a_process_that_its_node_has_not_reported_since_it_took_an_execution_is_dead() -> None:
    """The claim was made a lease before it is looked at; a report from the time between need not be the next one."""
    worker = node([1], seen=LEASE / 5)
    assert LEASE / 5 + liveness.REPORT_MARGIN < LEASE
    execution = held(worker, clock.now() - dt.timedelta(milliseconds=1))
    recovery.sweep()
    assert (row(execution.id).worker, row(execution.id).recoveries) == ("", 1)


def test_who_lets_an_execution_go_has_its_running_steps_watched() -> None:
    step = running("somebody/1", None)
    execution = row(step.execution_id)
    lease = clock.now() + LEASE
    assert not statements.current().let_go(execution.id, execution.epoch, execution.inbox_seq, lease)
    assert again(step).due == lease
    assert (row(execution.id).worker, row(execution.id).due) == ("", None)


# -- giving up ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 3])
def test_what_was_claimed_and_had_not_begun_has_used_no_attempt_up(attempts: int) -> None:
    text = options.StepOptions(start_to_close=60.0, retry=RetryPolicy(maximum_attempts=attempts)).dump()
    step = running("somebody/1", clock.now(), options=text)
    steps = ExecutionStep.objects.filter(id=step.id)
    give_up.what_may_have_happened(steps, set(), clock.now())
    assert (again(step).status, again(step).attempt) == (StepStatus.RUNNING, 0)
    steps.update(attempt=attempts)
    give_up.what_may_have_happened(steps, {(step.execution_id, 1)}, clock.now())
    assert (again(step).status, again(step).attempt) == (StepStatus.FAILED, attempts)


def test_only_the_attempt_that_was_lost_gives_its_execution_up() -> None:
    now = clock.now()
    step = running("somebody/1", now)
    lost = again(step)
    ExecutionStep.objects.filter(id=step.id).update(attempt=2)  # it runs again, meanwhile
    assert not states.dead_letter(step.execution_id, "lost", now, lost)
    assert row(step.execution_id).status == ExecutionStatus.RUNNING
    assert states.dead_letter(step.execution_id, "lost", now, again(step))
    assert again(step).status == StepStatus.DEAD_LETTER


@pytest.mark.parametrize("status", ["completed", "terminated", "parked", "dead_letter"])
def test_what_has_ended_or_waits_for_a_person_is_not_given_up(status: str) -> None:
    execution = held("", clock.now(), status=status)
    assert not states.dead_letter(execution.id, "lost", clock.now())
    assert (row(execution.id).status, row(execution.id).epoch) == (status, execution.epoch)


def test_an_advance_is_brought_back_so_many_times_and_no_more(carrier: Carrier) -> None:
    async def one(_data: Any) -> Any:
        return await call("echo", 1)

    carrier.under(Faults(kill=lambda point: point == "after take_over"))
    execution = begun(carrier, one)
    carrier.finish(execution)
    after = row(execution)
    assert (after.status, after.recoveries) == (ExecutionStatus.DEAD_LETTER, settings.DURABLE_MAX_RECOVERIES)
    assert f"lost its worker {settings.DURABLE_MAX_RECOVERIES + 1} times" in after.error_message


# -- a step that is to stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["its worker died", "it took too long"])
def test_an_attempt_that_was_asked_to_stop_is_not_made_again(how: str) -> None:
    past = clock.now() - dt.timedelta(seconds=120)
    text = options.StepOptions(start_to_close=60.0).dump()
    worker = "nobody/1" if how == "its worker died" else node([os.getpid()])
    step = running(worker, clock.now(), options=text, cancel_requested=True, created_at=past, started_at=past)
    recovery.sweep()
    after = again(step)
    assert (after.status, after.attempt) == (StepStatus.CANCELLED, 1)
    assert after.completed_at is not None
