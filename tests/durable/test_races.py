"""What happens between two lines: a run that continues as new while somebody speaks to it, a message that comes while a
step runs and whose wake-up is lost, a worker that dies between a delivery and its record."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from automation import clock
from automation.durable import (
    control,
    deadlines,
    deliveries,
    external,
    inbox,
    live_runs,
    payloads,
    queries,
    statements,
    updates,
    visits,
    workflow,
)
from automation.durable.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    SyncClient,
    SyncWorkflowHandle,
    WorkflowUpdateStage,
)
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ChildWorkflowError
from automation.durable.replay import Run
from automation.durable.run_options import RunOptions
from automation.durable.schedules import firing
from automation.durable.updates import UpdateStage
from automation.models import ExecutionStatus, ExecutionStep, StepKind, WorkflowExecution, WorkflowSchedule
from tests.durable.snippets import begun, ended, outcome, snippet
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Died, Faults, result, row


def relay(carrier: Carrier) -> SyncWorkflowHandle:
    """A workflow that continues as new at each "turn", waiting."""
    handle = SyncClient().start_workflow("flows_relay", id="relay", result_type=list)
    carrier.drain()
    return handle


def runs_of_relay() -> list[str]:
    rows = WorkflowExecution.objects.filter(definition="flows_relay").order_by("created_at", "id")
    return list(rows.values_list("status", flat=True))


def turn_before(monkeypatch: pytest.MonkeyPatch, carrier: Carrier, module: Any, name: str) -> None:
    """Have the relay continue as new right before the first call of this function, which has its old run in hand."""
    real, signal = getattr(module, name), inbox.signal
    turned: list[int] = []

    def call_late(execution: uuid.UUID, *args: Any, **options: Any) -> Any:
        if not turned:
            turned.append(1)
            carrier.drain()
            assert signal(execution, "turn", payloads.encode([0])) is not None
            carrier.drain()
        return real(execution, *args, **options)

    monkeypatch.setattr(module, name, call_late)


# -- a run that continues as new ---------------------------------------------------------------------------------------


def test_what_comes_together_with_the_last_word_is_heard_by_the_next_run(carrier: Carrier) -> None:
    handle = relay(carrier)
    handle.signal("turn", 0)
    handle.signal("see", 1)
    handle.signal("see", 2)
    update = updates.put(row_of("relay").id, "add", payloads.encode([3, 7]), "an update")
    first = row_of("relay").id
    carrier.drain()
    assert runs_of_relay() == ["continued_as_new", "running"]
    assert list(row(first).steps.values_list("name", flat=True)) == ["turn"]
    assert updates.look(first, update, "an update").output == '"added 7"'
    assert handle.get_update_handle("an update").result() == "added 7"
    handle.signal("close")
    carrier.finish()
    assert handle.result() == [[1, 2], 7]


def test_a_request_to_cancel_that_comes_with_the_last_word_cancels_the_next_run(carrier: Carrier) -> None:
    handle = relay(carrier)
    handle.signal("turn", 0)
    handle.cancel(reason="enough")
    carrier.finish()
    assert runs_of_relay() == ["continued_as_new", "cancelled"]
    assert row_of("relay").error_message == "enough"


def test_no_worker_dies_between_a_run_and_the_next(carrier: Carrier) -> None:
    """Before or after it has written the next one, there are not two of them, and not none."""

    async def twice(number: Any) -> Any:
        if number < 2:
            workflow.continue_as_new(args=["twice", number + 1])
        return number

    snippet(twice)
    writes = ("before INSERT workflowexecution", "after INSERT workflowexecution")
    carrier.under(Faults(kill=lambda point: point in writes and point not in carrier.deaths, queries=True))
    execution = carrier.start("flows_snippet", "twice", 1)
    carrier.finish()
    assert sorted(carrier.deaths) == sorted(writes)
    runs = WorkflowExecution.objects.order_by("created_at", "id")
    assert [run.status for run in runs] == ["continued_as_new", "completed"]
    assert runs[1].previous_run_id == execution


def row_of(business_id: str) -> WorkflowExecution:
    found = deliveries.find(business_id)
    assert found is not None
    return row(found.id)


def test_a_program_s_message_reaches_the_run_that_is_there(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = relay(carrier)
    turn_before(monkeypatch, carrier, inbox, "signal")
    handle.signal("see", 1)
    turn_before(monkeypatch, carrier, updates, "put")
    before = WorkflowUpdateStage.ADMITTED
    monkeypatch.setattr("automation.durable.client.handles.wait_for_update", lambda *_: iter(()))
    handle.start_update("add", args=[2, 5], id="mine", wait_for_stage=before)
    carrier.drain()
    turn_before(monkeypatch, carrier, control, "cancel")
    handle.cancel()
    carrier.finish()
    assert runs_of_relay() == ["continued_as_new"] * 3 + ["cancelled"]
    [update] = ExecutionStep.objects.filter(kind=StepKind.UPDATE)
    assert (update.status, update.output) == ("completed", '"added 5"')
    assert ExecutionStep.objects.filter(kind=StepKind.SIGNAL, name="see").count() == 1


def test_a_workflow_s_message_reaches_the_run_that_is_there(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tells(_data: Any) -> Any:
        await workflow.get_external_workflow_handle("relay").signal("see", 4)
        await workflow.get_external_workflow_handle("relay").signal("close")
        return "told"

    handle = relay(carrier)
    turn_before(monkeypatch, carrier, deliveries, "signal")
    assert outcome(carrier, tells) == "told"
    assert handle.result() == [[4], 0]
    assert runs_of_relay() == ["continued_as_new", "completed"]


def test_a_parent_s_end_reaches_a_child_that_continues_meanwhile(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leaves(_data: Any) -> Any:
        await workflow.start_child_workflow("flows_relay", id="relay")
        return "gone"

    turn_before(monkeypatch, carrier, control, "terminate")
    assert outcome(carrier, leaves) == "gone"
    assert runs_of_relay() == ["continued_as_new", "terminated"]


def test_a_parent_s_cancel_reaches_a_child_that_continues_meanwhile(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancels(_data: Any) -> Any:
        handle = await workflow.start_child_workflow("flows_relay", id="relay")
        await asyncio.sleep(60)
        handle.cancel()
        try:
            await handle
        except ChildWorkflowError as error:
            return type(error.cause).__name__

    turn_before(monkeypatch, carrier, deliveries, "cancel")
    assert outcome(carrier, cancels) == "CancelledError"
    assert runs_of_relay() == ["continued_as_new", "cancelled"]


# -- a message that comes while a step runs ----------------------------------------------------------------------------


def says_during(carrier: Carrier, point: str, then: Callable[[], None] = lambda: None) -> list[uuid.UUID]:
    """Have "say" signalled to the execution in the returned list at a point, with nobody told of it."""
    about: list[uuid.UUID] = []
    said: list[int] = []

    def say(here: str) -> bool:
        if here == point and not said:
            said.append(1)
            with carrier.broker_away():
                inbox.signal(about[0], "say", payloads.encode(["hello"]))
            then()
        return False

    carrier.under(Faults(kill=say))
    return about


async def waits_for_a_word(slow: Any) -> Any:
    heard: list[Any] = []
    workflow.set_signal_handler("say", heard.append)
    policy = RetryPolicy(initial_interval=dt.timedelta(hours=1))
    task = asyncio.create_task(call(*slow, retry_policy=policy))
    await workflow.wait_condition(lambda: bool(heard))
    task.cancel()
    return heard


def test_a_message_that_came_during_a_failing_attempt_does_not_wait_for_the_next(carrier: Carrier) -> None:
    snippet(waits_for_a_word)
    about = says_during(carrier, "after flows_flaky")
    about.append(carrier.start("flows_snippet", "waits_for_a_word", ["flaky", 1, 1]))
    carrier.drain()
    carrier.finish(*about, days=0.01)
    assert result(about[0]) == ["hello"]


def test_a_message_that_came_during_a_long_step_is_read_while_it_runs(carrier: Carrier) -> None:
    """Also where whoever was to be woken for it was not told."""
    meanwhile: list[str] = []

    def linger() -> None:
        for _ in range(2):
            clock.shift(settings.DURABLE_LEASE + 0.5)
            carrier.sweep()
            carrier.deliver_one()
        meanwhile.append(row(about[0]).status)

    snippet(waits_for_a_word)
    about = says_during(carrier, "before flows_echo", linger)
    about.append(carrier.start("flows_snippet", "waits_for_a_word", ["echo", 1]))
    carrier.drain()
    assert meanwhile == ["completed"]
    carrier.finish(*about)
    assert result(about[0]) == ["hello"]


@pytest.mark.parametrize("kind", ["signal", "update", "cancel"])
def test_a_message_whose_wake_up_is_lost_is_read_after_a_sweep(carrier: Carrier, kind: str) -> None:
    handle = relay(carrier)
    execution = row_of("relay")
    with carrier.broker_away():
        match kind:
            case "signal":
                handle.signal("close")
            case "update":
                updates.put(execution.id, "add", payloads.encode([1, 2]), "an update")
            case "cancel":
                handle.cancel()
    clock.shift(settings.DURABLE_REPUBLISH_MIN + 0.1)
    carrier.sweep()
    carrier.drain()
    assert execution.steps.get(seq=-1).resolved_seq == 1


def test_a_sweep_of_deadlines_that_comes_too_early_ends_nobody(carrier: Carrier) -> None:
    """It looks again under the lock: another process may see the same list, or have another clock."""
    execution = carrier.start("flows_relay", options=RunOptions(run_timeout=60.0))
    carrier.drain()
    assert not deadlines.time_out(execution, clock.now())
    assert row(execution).is_open
    assert deadlines.time_out(execution, clock.now() + dt.timedelta(seconds=61))
    assert row(execution).status == ExecutionStatus.TIMED_OUT


# -- a worker that dies in between -------------------------------------------------------------------------------------


def test_a_cancel_that_ended_its_target_at_once_is_not_denied_the_second_time(carrier: Carrier) -> None:
    async def cancels(_data: Any) -> Any:
        await workflow.get_external_workflow_handle("later").cancel()
        return "cancelled"

    later = clock.now() + dt.timedelta(days=1)
    target = carrier.start("flows_relay", business_id="later", scheduled_for=later)

    def dies(point: str) -> bool:
        if point != "before UPDATE executionstep" or carrier.deaths or connection.in_atomic_block:
            return False
        return row(target).status == ExecutionStatus.CANCELLED

    carrier.under(Faults(kill=dies, queries=True))
    execution = begun(carrier, cancels)
    assert carrier.deaths
    carrier.finish(execution)
    assert result(execution) == "cancelled"


def test_a_message_that_its_sender_takes_back_while_it_is_delivered_stays_taken_back(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver, delivered = deliveries.signal, []

    def deliver_late(*args: Any) -> None:
        delivered.append(args)
        sent.update(status="cancelled", resolved_seq=0, due=None)  # as a decision does that is written meanwhile
        deliver(*args)

    async def speaks(_data: Any) -> Any:
        await workflow.get_external_workflow_handle("relay").signal("see", 1)

    relay(carrier)
    monkeypatch.setattr(deliveries, "signal", deliver_late)
    sent = ExecutionStep.objects.filter(kind="external")
    execution = begun(carrier, speaks)
    step = row(execution).steps.get(seq=1)
    assert (step.status, step.due, len(delivered)) == ("cancelled", None, 1)
    assert not external.see_to(execution, 1), "nobody is woken for it"
    assert len(delivered) == 1


def test_a_message_that_was_delivered_is_not_delivered_again_to_be_seen(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def speaks(_data: Any) -> Any:
        await workflow.get_external_workflow_handle("relay").signal("see", 1)
        return "heard"

    def dies(point: str) -> bool:
        return not carrier.deaths and point == "before take_over" and carrier.points["after append"] > appended

    target = relay(carrier)
    appended = carrier.points["after append"]
    execution = begun(carrier.under(Faults(kill=dies)), speaks)
    assert carrier.deaths
    assert row(execution).steps.get(seq=1).status == "completed"
    monkeypatch.setattr(deliveries, "signal", lambda *args: pytest.fail("it has been delivered"))
    assert external.see_to(execution, 1), "its outcome has not been seen"
    target.signal("close")
    carrier.finish(execution)
    assert result(execution) == "heard"


def test_a_child_that_begins_anew_with_its_parent_hears_again_what_it_was_told(carrier: Carrier) -> None:
    async def tells(_data: Any) -> Any:
        handle = await workflow.start_child_workflow("flows_relay", id="relay", result_type=list)
        await handle.signal("see", 1)
        await call("broken", "told")
        await handle.signal("see", 2)
        await handle.signal("close")
        return await handle

    execution = ended(carrier, tells).id
    assert row(execution).status == ExecutionStatus.FAILED
    assert runs_of_relay() == ["terminated"]
    activities.mended.add("told")
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == [[1, 2], 0]
    activities.mended.clear()


def test_an_update_is_answered_wherever_its_worker_dies(carrier: Carrier) -> None:
    def answered() -> None:
        handle = relay(carrier)
        run = row_of("relay").id
        seq = updates.put(run, "add", payloads.encode([1, 2]), "an update")
        for _ in range(10):  # it goes on for ever: whatever was lost comes back with the next sweeps
            carrier.drain()
            if updates.look(run, seq).stage is UpdateStage.COMPLETED:
                break
            clock.shift(settings.DURABLE_LEASE + settings.DURABLE_REPUBLISH_MIN)
            carrier.sweep()
        assert updates.look(run, seq).output == '"added 2"'
        handle.terminate()

    passed: list[str] = []
    at: list[int] = [0]

    def dies(point: str) -> bool:
        passed.append(point)
        return len(passed) == at[0]

    carrier.under(Faults(kill=dies, queries=True))
    answered()
    quiet = len(passed)
    assert quiet > 10
    for number in range(1, quiet + 1):
        passed.clear()
        at[0] = number
        answered()


def test_a_schedule_starts_each_moment_once_wherever_a_sweep_dies(carrier: Carrier) -> None:
    action = ScheduleActionStartWorkflow("flows_script", args=[["call", "nothing"]], id="job")
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(dt.timedelta(hours=1))])
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    SyncClient().create_schedule("hourly", Schedule(action, spec, policy))
    places = ("before UPDATE workflowschedule", "after INSERT workflowexecution")
    carrier.under(Faults(kill=lambda point: point in places and point not in carrier.deaths, queries=True))
    clock.shift(2 * 3600)
    for _ in range(4):
        with contextlib.suppress(Died), carrier.as_worker():
            firing.sweep(clock.now())
        carrier.drain()
    assert sorted(carrier.deaths) == sorted(places)
    starts = WorkflowSchedule.objects.get().starts
    assert starts in (2, 3)  # depending on where in an hour the test begins
    assert WorkflowExecution.objects.count() == starts


@pytest.mark.parametrize(
    "plan",
    [
        ["all", ["call", "refuse", 3], ["local", "flaky", 2, 2], ["broken", 1]],
        ["all", ["local", "refuse", 3], ["local", "flaky", 2, 1], ["broken", 1]],
        ["all", ["background", ["local", "flaky", 2, 2], ["group", ["refuse", 3]]], ["broken", 1]],
    ],
    ids=["an activity", "a local activity", "a group"],
)
def test_what_a_retry_does_again_does_not_move_the_time_of_what_followed_it(carrier: Carrier, plan: list[Any]) -> None:
    """The code had gone on from that failure to a timer, whose time is past when the failure has been had again."""
    execution = carrier.start("flows_script", plan)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.FAILED
    clock.shift(3600)
    activities.mended.add(1)
    control.retry(execution)
    carrier.finish(execution)
    activities.mended.clear()
    assert result(execution)[-1] == "mended 1"


def test_a_database_that_fails_workflow_code_parks_nobody(carrier: Carrier) -> None:
    asked: list[int] = []

    async def asks(_data: Any) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise OperationalError("the connection is lost")  # as `get_last_completion_result` may
        return "answered"

    execution = begun(carrier, asks)
    assert [type(error) for error in carrier.errors] == [OperationalError]
    carrier.finish(execution)
    assert result(execution) == "answered"
    assert row(execution).recoveries == 0


def test_code_that_a_failing_visit_leaves_behind_is_closed_on_the_spot(carrier: Carrier) -> None:
    closed: list[str] = []

    async def works(_data: Any) -> Any:
        try:
            return await call("echo", 1)
        finally:
            closed.append("closed")

    def fails(point: str) -> bool:
        if point == "before begin" and not carrier.errors:
            assert closed == []
            raise OperationalError("the connection is lost")
        return False

    carrier.under(Faults(kill=fails))
    snippet(works)
    execution = carrier.start("flows_snippet", "works")
    carrier.deliver_one()
    assert closed == ["closed"]
    carrier.finish(execution)
    assert result(execution) == 1


def test_a_failing_visit_leaves_a_run_alone_that_another_thread_goes_on_with(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(_data: Any) -> Any:
        await workflow.wait_condition(lambda: False)

    snippet(waits)
    kept, other = (carrier.start("flows_snippet", "waits") for _ in range(2))
    monkeypatch.setattr(visits, "TOGETHER", 1)
    taken: list[Run] = []

    class Fails:
        def __getattr__(self, name: str) -> Any:
            return getattr(statements.current(), name)

        def take_over(self, wanted: Sequence[tuple[uuid.UUID, int | None]], *args: Any) -> Any:
            if wanted[0][0] == kept:
                return statements.current().take_over(wanted, *args)
            run = live_runs.take(queries.record_of(row(kept)))  # as another thread does, which goes on with it
            assert run is not None
            taken.append(run)
            raise OperationalError("the connection is lost")

    with carrier.as_worker():
        visit = carrier.visit()
        monkeypatch.setattr(visit, "statements", Fails())
        with pytest.raises(OperationalError):
            visit.executions([(kept, None), (other, None)])
    assert [run.loop.is_closed() for run in taken] == [False]
    taken[0].close()
