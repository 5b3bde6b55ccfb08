"""What people do to executions from outside."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from automation import clock
from automation.durable import control, starts, statements, states, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStatus, WorkflowExecution
from tests.durable.snippets import begun, ended, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row

ONCE = RetryPolicy(maximum_attempts=1)
broken: set[str] = set()
"""Names of things that do not work at the moment."""


@pytest.fixture(autouse=True)
def _mended() -> None:
    broken.clear()


@pytest.fixture
def sometimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`flows_echo` fails while its value is among `broken`."""
    from dataclasses import replace

    from automation.durable import registry

    known = registry.activity("flows_echo")

    def echo(value: Any) -> Any:
        activities._note()
        if value in broken:
            raise RuntimeError(f"{value} is broken")
        return value

    monkeypatch.setitem(registry._activities, "flows_echo", replace(known, function=echo))


async def sleeper(_data: Any) -> Any:
    await asyncio.sleep(86_400)
    return await call("echo", "awake")


# -- cancel and terminate ----------------------------------------------------------------------------------------------


def test_cancelling_what_has_not_begun_ends_it_at_once(carrier: Carrier) -> None:
    snippet(sleeper)
    execution = carrier.start("flows_snippet", "sleeper")
    control.cancel(execution, "changed my mind")
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert row(execution).error_message == "changed my mind"
    assert steps(execution) == []


def test_an_end_is_final(carrier: Carrier) -> None:
    async def quick(_data: Any) -> Any:
        return 1

    execution = ended(carrier, quick).id
    for act in (control.cancel, control.terminate, control.pause, control.retry, control.redrive, control.resume):
        with pytest.raises(Conflict):
            act(execution)  # type: ignore[operator]
    assert result(execution) == 1
    with pytest.raises(NotFound):
        control.cancel(uuid.uuid4())


def test_terminate_ends_at_once_and_asks_nobody(carrier: Carrier) -> None:
    async def cleans(_data: Any) -> Any:
        try:
            await asyncio.sleep(86_400)
        finally:
            await call("echo", "cleanup")

    execution = begun(carrier, cleans)
    control.terminate(execution, "enough")
    assert row(execution).status == ExecutionStatus.TERMINATED
    carrier.finish(execution)
    assert steps(execution) == [(1, "timer", "cancelled")]
    assert activities.journal == []


def test_an_outcome_that_comes_after_terminate_changes_nothing(carrier: Carrier) -> None:
    async def works(_data: Any) -> Any:
        return await call("echo", 1)

    def terminate(point: str) -> bool:
        if point == "before flows_echo":
            control.terminate(WorkflowExecution.objects.get().id)
        return False

    carrier.under(Faults(kill=terminate))
    execution = begun(carrier, works)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.TERMINATED
    assert row(execution).result == ""


def test_a_cancel_while_a_step_runs_is_seen_after_it(carrier: Carrier) -> None:
    async def two(_data: Any) -> Any:
        await call("echo", 1)
        return await call("echo", 2)

    def cancel(point: str) -> bool:
        if point == "after flows_echo" and not WorkflowExecution.objects.get().inbox_seq:
            control.cancel(WorkflowExecution.objects.get().id)
        return False

    carrier.under(Faults(kill=cancel))
    execution = begun(carrier, two)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert len(activities.journal) <= 2


def test_a_cancel_that_crosses_the_end_is_not_lost_when_its_message_is(carrier: Carrier) -> None:
    """The end is decided without having read the inbox; nobody but a sweep can bring the execution on."""

    async def ends(_data: Any) -> Any:
        return await call("echo", 1)

    def cancel(point: str) -> bool:
        if point == "after flows_echo" and not WorkflowExecution.objects.get().inbox_seq:
            control.cancel(WorkflowExecution.objects.get().id)
        return False

    carrier.under(Faults(kill=cancel, lose=lambda message: message.args[0][0][1] is None))
    execution = begun(carrier, ends)
    carrier.under(Faults())
    carrier.finish(execution, days=0.01)
    assert row(execution).status in (ExecutionStatus.CANCELLED, ExecutionStatus.COMPLETED)


def test_cancelling_an_activity_that_heartbeats_stops_it(carrier: Carrier) -> None:
    async def stops(_data: Any) -> Any:
        try:
            await call("until_cancelled", 30.0, heartbeat_timeout=dt.timedelta(seconds=10))
        except asyncio.CancelledError:
            await call("echo", "cleanup")
            raise

    def cancel(point: str) -> bool:
        if point == "before flows_until_cancelled" and not WorkflowExecution.objects.get().inbox_seq:
            control.cancel(WorkflowExecution.objects.get().id)
            carrier._deliver_next()
        return False

    carrier.under(Faults(kill=cancel))
    execution = begun(carrier, stops)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert [name for name, _, _ in activities.journal] == ["flows_until_cancelled", "flows_echo"]


def test_an_attempt_that_fails_after_it_was_cancelled_is_not_tried_again(carrier: Carrier) -> None:
    async def gives_up(_data: Any) -> Any:
        try:
            await asyncio.wait_for(call("fail", 1, retry_policy=RetryPolicy()), 0.5)
        except TimeoutError:
            await asyncio.sleep(600)
            return "gave up"

    def wait(point: str) -> bool:
        if point == "after flows_fail":
            clock.shift(1)
            carrier.sweep()
            carrier._deliver_next()
        return False

    carrier.under(Faults(kill=wait))
    execution = begun(carrier, gives_up)
    carrier.under(Faults())
    carrier.finish(execution)
    assert result(execution) == "gave up"
    assert len(activities.journal) == 1


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (control.terminate, ExecutionStatus.TERMINATED),
        (lambda execution: states.dead_letter(execution, "given up", clock.now()), ExecutionStatus.DEAD_LETTER),
    ],
    ids=["terminated", "given up"],
)
def test_a_visit_writes_nothing_more_into_what_has_ended_under_it(
    carrier: Carrier, end: Callable[[uuid.UUID], Any], status: str
) -> None:
    async def goes_on(_data: Any) -> Any:
        return [await call("echo", number) for number in range(3)]

    def ends(point: str) -> bool:
        if point == "before flows_echo":
            end(execution)
        return False

    snippet(goes_on)
    execution = carrier.start("flows_snippet", "goes_on")
    carrier.under(Faults(kill=ends)).drain()
    assert row(execution).status == status
    assert len(activities.journal) == 1
    assert steps(execution) == [(1, "flows_echo", "completed")], "what was done counts, and nothing follows"


# -- pause and resume --------------------------------------------------------------------------------------------------


def test_nothing_new_starts_while_paused(carrier: Carrier) -> None:
    async def three(_data: Any) -> Any:
        return [await call("echo", number) for number in range(3)]

    def pause(point: str) -> bool:
        if point == "before flows_echo" and row(execution_).paused_at is None and len(activities.journal) == 1:
            control.pause(execution_)
        return False

    snippet(three)
    execution_ = carrier.start("flows_snippet", "three")
    carrier.under(Faults(kill=pause)).drain()
    assert len(activities.journal) == 2  # what was running has finished
    for _ in range(5):
        clock.shift(30)
        carrier.sweep()
        carrier.drain()
    assert len(activities.journal) == 2
    assert [status for _, _, status in steps(execution_)] == ["completed", "completed"]
    with pytest.raises(Conflict, match="paused already"):
        control.pause(execution_)

    carrier.under(Faults())
    control.resume(execution_)
    carrier.drain()  # no sweep is needed
    assert result(execution_) == [0, 1, 2]
    assert len(activities.journal) == 3
    with pytest.raises(Conflict):
        control.resume(execution_)


def test_a_timer_that_comes_due_while_paused_fires_on_resume(carrier: Carrier) -> None:
    execution = begun(carrier, sleeper)
    control.pause(execution)
    clock.shift(2 * 86_400)
    for _ in range(3):
        carrier.sweep()
        carrier.drain()
    assert steps(execution) == [(1, "timer", "pending")]
    control.resume(execution)
    carrier.finish(execution, days=0.01)
    assert result(execution) == "awake"


def test_a_timer_keeps_its_time_through_a_pause(carrier: Carrier) -> None:
    execution = begun(carrier, sleeper)
    run_at = row(execution).steps.get().run_at
    control.pause(execution)
    clock.shift(3600)
    control.resume(execution)
    carrier.finish(execution)
    assert result(execution) == "awake"
    assert row(execution).steps.get(seq=1).run_at == run_at


@pytest.mark.parametrize("pauses", [1, 2, 3])
def test_a_canvas_goes_on_after_a_pause_without_waiting_for_a_sweep(carrier: Carrier, pauses: int) -> None:
    async def chains(_data: Any) -> Any:
        return await workflow.chain(
            workflow.step("flows_echo", 1),
            workflow.group(workflow.step("flows_echo", 2), workflow.step("flows_elsewhere", 3)),
            workflow.step("flows_echo", 4),
        )

    def pause(point: str) -> bool:
        if point.startswith("before flows_") and row(execution).paused_at is None and len(activities.journal) == pauses:
            control.pause(execution)
        return False

    snippet(chains)
    execution = carrier.start("flows_snippet", "chains")
    carrier.under(Faults(kill=pause)).drain()
    assert row(execution).paused_at is not None
    assert len(activities.journal) == pauses + 1
    for _ in range(4):
        clock.shift(20)
        carrier.sweep()
        carrier.drain()
    assert len(activities.journal) == pauses + 1
    carrier.under(Faults())
    control.resume(execution)
    carrier.drain()
    assert result(execution) == [1, [2, 3], 4]


def test_pausing_what_is_planned_keeps_it_from_starting(carrier: Carrier) -> None:
    snippet(sleeper)
    at = clock.now() + dt.timedelta(hours=1)
    execution = carrier.start("flows_snippet", "sleeper", scheduled_for=at)
    control.pause(execution)
    clock.shift(7200)
    carrier.sweep()
    carrier.drain()
    assert row(execution).status == ExecutionStatus.PENDING
    control.resume(execution)
    carrier.finish(execution)
    assert result(execution) == "awake"


# -- retry -------------------------------------------------------------------------------------------------------------


def test_a_retry_keeps_what_succeeded(carrier: Carrier, sometimes: None) -> None:
    async def three(_data: Any) -> Any:
        return [await call("echo", name, retry_policy=ONCE) for name in ("one", "two", "three")]

    broken.add("two")
    row_ = ended(carrier, three)
    assert row_.status == ExecutionStatus.FAILED
    assert "two is broken" in row_.error_message
    with pytest.raises(Conflict):
        control.redrive(row_.id)
    broken.clear()
    control.retry(row_.id)
    carrier.finish(row_.id)
    assert result(row_.id) == ["one", "two", "three"]
    assert len(activities.journal) == 4
    assert row(row_.id).error_message == ""


def test_a_retry_can_fail_again(carrier: Carrier, sometimes: None) -> None:
    async def one(_data: Any) -> Any:
        await asyncio.sleep(60)
        return await call("echo", "one", retry_policy=ONCE)

    broken.add("one")
    execution = ended(carrier, one).id
    for _ in range(2):
        control.retry(execution)
        carrier.finish(execution)
        assert row(execution).status == ExecutionStatus.FAILED
    broken.clear()
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == "one"


@pytest.mark.parametrize("restart", [False, True])
def test_a_retry_goes_on_with_what_the_failure_cut_off(carrier: Carrier, sometimes: None, restart: bool) -> None:
    """The failure of one of three in parallel ended the others; they are part of what was not finished."""

    async def three(_data: Any) -> Any:
        async def later() -> Any:
            await asyncio.sleep(3600)
            return await call("echo", "later")

        waiting = asyncio.create_task(later())
        other = asyncio.create_task(call("elsewhere", "other"))
        return await asyncio.gather(waiting, other, call("echo", "bad", retry_policy=ONCE))

    broken.add("bad")
    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    execution = begun(carrier, three)
    carrier.drain()
    assert row(execution).status == ExecutionStatus.FAILED
    carrier.under(Faults())
    if restart:
        carrier.restart_workers()
    broken.clear()
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == ["later", "other", "bad"]


def test_a_retry_of_a_chain_runs_the_failed_and_the_skipped(carrier: Carrier, sometimes: None) -> None:
    async def chain(_data: Any) -> Any:
        return await workflow.chain(
            *(workflow.step("flows_echo", name, retry_policy=ONCE) for name in "abc"),
            workflow.group(*(workflow.step("flows_echo", name, retry_policy=ONCE) for name in "de")),
            workflow.step("flows_elsewhere", "f"),
        )

    broken.update("be")
    execution = ended(carrier, chain).id
    assert [status for _, _, status in steps(execution)] == ["completed", "failed", *["skipped"] * 4]
    broken.discard("b")
    control.retry(execution)
    carrier.finish(execution)
    assert [status for _, _, status in steps(execution)] == [*["completed"] * 4, "failed", "skipped"]
    broken.clear()
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == ["a", "b", "c", ["d", "e"], "f"]
    assert sorted(name for name, _, _ in activities.journal).count("flows_echo") == 7


def test_a_retry_when_the_code_had_handled_the_failure(carrier: Carrier, sometimes: None) -> None:
    """The code went on after the failure; with the step mended it goes another way, and that is meant."""

    async def handles(_data: Any) -> Any:
        try:
            await call("echo", "first", retry_policy=ONCE)
        except ActivityError:
            await call("echo", "comfort")
            raise
        return await call("echo", "second")

    broken.add("first")
    execution = ended(carrier, handles).id
    broken.clear()
    control.retry(execution)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.COMPLETED


def test_only_what_has_a_failed_step_can_be_retried(carrier: Carrier) -> None:
    from automation.durable.exceptions import ApplicationError

    async def raises(_data: Any) -> Any:
        raise ApplicationError("by itself")

    with pytest.raises(Conflict, match="no failed step"):
        control.retry(ended(carrier, raises).id)


# -- planned -----------------------------------------------------------------------------------------------------------


def planned(count: int = 3, hours: float = 1) -> list[uuid.UUID]:
    snippet(sleeper)
    at = clock.now() + dt.timedelta(hours=hours)
    return starts.start_many(
        [starts.NewExecution("flows_snippet", ("sleeper",), scheduled_for=at) for _ in range(count)]
    )


def test_planned_executions_start_at_their_time(carrier: Carrier) -> None:
    ids = planned()
    carrier.drain()
    assert {row(id_).status for id_ in ids} == {ExecutionStatus.PENDING}
    carrier.finish(*ids)
    for id_ in ids:
        one = row(id_)
        assert one.scheduled_for is not None
        assert one.started_at is not None
        assert dt.timedelta(seconds=-0.1) < one.started_at - one.scheduled_for < dt.timedelta(seconds=1)


def test_planned_executions_can_be_cancelled(carrier: Carrier) -> None:
    ids = planned()
    begun_ = begun(carrier, sleeper)
    chosen = WorkflowExecution.objects.filter(id__in=[*ids[:2], begun_])
    assert control.cancel_planned(chosen, "the booking was cancelled") == 2
    carrier.finish()
    assert [row(id_).status for id_ in ids] == ["cancelled", "cancelled", "completed"]
    assert row(ids[0]).error_message == "the booking was cancelled"
    assert row(ids[0]).started_at is None


@pytest.mark.parametrize("hours", [0.001, 0.5, 9])
def test_planned_executions_can_be_moved(carrier: Carrier, hours: float) -> None:
    ids = planned(2, hours=1)
    at = clock.now() + dt.timedelta(hours=hours)
    assert control.move_planned([(ids[0], at, 7)]) == 1
    carrier.finish(*ids)
    moved = row(ids[0])
    assert moved.booking_sequence == 7
    assert moved.started_at is not None
    assert dt.timedelta(seconds=-0.1) < moved.started_at - at < dt.timedelta(seconds=1)
    assert control.move_planned([(ids[0], at, 8)]) == 0


def test_a_message_for_the_old_time_does_nothing(carrier: Carrier) -> None:
    ids = planned(1, hours=0.002)  # within the horizon: its message is on its way
    assert len(carrier.messages) == 1
    at = clock.now() + dt.timedelta(days=1)
    control.move_planned([(ids[0], at, 1)])
    clock.shift(60)
    carrier.drain()
    carrier.sweep()
    carrier.drain()
    assert row(ids[0]).status == ExecutionStatus.PENDING
    carrier.finish(*ids)
    assert row(ids[0]).started_at is not None


@pytest.mark.parametrize("change", ["move", "revive"])
def test_what_was_sent_before_a_plan_was_changed_is_void(carrier: Carrier, change: str) -> None:
    [execution] = planned(1)
    at, before = clock.now(), row(execution).epoch
    if change == "move":
        control.move_planned([(execution, at, 1)])
    else:
        control.cancel_planned(WorkflowExecution.objects.filter(id=execution), "not now")
        control.revive_planned([(execution, at, None)])

    def taken(epoch: int) -> list[uuid.UUID]:
        lease = at + dt.timedelta(seconds=10)
        return [one.id for one in statements.current().take_over([(execution, epoch)], "a worker", at, lease)]

    assert taken(before) == [], "at the new time, too"
    assert taken(row(execution).epoch) == [execution]


def test_cancelled_plans_can_be_revived(carrier: Carrier) -> None:
    ids = planned()
    control.cancel_planned(WorkflowExecution.objects.filter(id__in=ids), "booking cancelled")
    at = clock.now() + dt.timedelta(hours=3)
    assert control.revive_planned([(id_, at, None) for id_ in ids[:2]]) == 2
    carrier.finish()
    assert [row(id_).status for id_ in ids] == ["completed", "completed", "cancelled"]
    assert row(ids[0]).error_message == ""
    assert control.revive_planned([(ids[0], at, None)]) == 0


def test_a_plan_can_be_given_other_arguments(carrier: Carrier) -> None:
    async def tells(data: Any) -> Any:
        return data

    snippet(tells)
    at = clock.now() + dt.timedelta(hours=1)
    execution = carrier.start("flows_snippet", "tells", "old", scheduled_for=at)
    control.rebase_planned(WorkflowExecution.objects.filter(id=execution), None, ("tells", "new"))  # type: ignore[arg-type]
    carrier.finish(execution)
    assert result(execution) == "new"


# -- starting ----------------------------------------------------------------------------------------------------------


def test_a_start_rolls_back_with_its_transaction(carrier: Carrier) -> None:
    from django.db import transaction

    snippet(sleeper)
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        carrier.start("flows_snippet", "sleeper")
        1 / 0  # noqa: B018
    assert not WorkflowExecution.objects.exists()
    assert carrier.published == []

    with transaction.atomic():
        execution = carrier.start("flows_snippet", "sleeper")
        assert carrier.published == []  # nobody may look for the row before it is there
    assert len(carrier.published) == 1
    carrier.finish(execution)


def test_one_open_execution_for_each_business_id(carrier: Carrier) -> None:
    snippet(sleeper)
    new = starts.NewExecution("flows_snippet", ("sleeper",), business_id="order-1")
    first = starts.start_many([new])
    assert starts.start_many([new, new]) == []
    carrier.finish(*first)
    assert len(starts.start_many([new])) == 1  # the first has ended


def test_what_is_not_to_run_is_recorded_with_its_reason(carrier: Carrier) -> None:
    execution = starts.record_cancelled(starts.NewExecution("flows_snippet", ("sleeper",)), "its time had passed")
    assert execution is not None
    carrier.finish()
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert row(execution).error_message == "its time had passed"
    assert carrier.published == []


def test_a_cancel_that_crosses_an_advance_s_end_is_not_lost_when_its_message_is(carrier: Carrier) -> None:
    async def wakes(_data: Any) -> Any:
        await asyncio.sleep(5)
        return "woke"

    execution = begun(carrier, wakes)

    def cancel(point: str) -> bool:
        if point == "before append" and not row(execution).inbox_seq:
            control.cancel(execution)
        return False

    carrier.under(Faults(kill=cancel, lose=lambda message: message.args[0][0][1] is None))
    clock.shift(6)
    carrier.drain()
    assert row(execution).inbox_seq == 1
    carrier.under(Faults())
    carrier.finish(execution, days=0.01)
    assert row(execution).status in (ExecutionStatus.CANCELLED, ExecutionStatus.COMPLETED)


@pytest.mark.parametrize("point", ["before begin", "before append"])
def test_a_cancel_that_crosses_the_beginning_is_not_lost_when_its_message_is(carrier: Carrier, point: str) -> None:
    """The worker that has just taken the execution over lives, so no sweep would ask; it must look itself."""

    async def begins(data: Any) -> Any:
        if data == "before append":
            return "nothing to wait for"
        return await call("echo", 1)

    def cancel(here: str) -> bool:
        if here == point and not WorkflowExecution.objects.get().inbox_seq:
            control.cancel(WorkflowExecution.objects.get().id)
        return False

    def lose(message: Any) -> bool:
        return bool(message.task == "execute_workflow" and message.args[0][0][1] is None)

    carrier.under(Faults(kill=cancel, lose=lose))
    execution = begun(carrier, begins, point)
    assert row(execution).inbox_seq == 1
    assert not row(execution).is_open
