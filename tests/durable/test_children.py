"""Child workflows, and messages from one execution to another."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from automation import clock
from automation.durable import control, id_policies, starts, workflow
from automation.durable.common import RetryPolicy, WorkflowIDReusePolicy
from automation.durable.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from automation.durable.testing import WorkflowEnvironment
from automation.durable.workflow import ChildWorkflowCancellationType, ParentClosePolicy
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, ended, outcome, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row

DAY = 86_400.0


async def doubles(data: Any) -> Any:
    await call("echo", data)
    return 2 * data


async def sleeps(data: Any) -> Any:
    try:
        await asyncio.sleep(data or DAY)
    except asyncio.CancelledError:
        await call("echo", "child's cleanup")
        raise
    return "slept"


async def fails(data: Any) -> Any:
    raise ApplicationError("no such child", data, type="Broken")


snippet(doubles), snippet(sleeps), snippet(fails)


@pytest.fixture(autouse=True)
def _known() -> None:
    for function in (doubles, sleeps, fails):
        snippet(function)


def child(name: str, data: Any = None, **options: Any) -> Any:
    return workflow.execute_child_workflow("flows_snippet", args=[name, data], **options)


async def starting(name: str, data: Any = None, **options: Any) -> workflow.ChildWorkflowHandle:
    return await workflow.start_child_workflow("flows_snippet", args=[name, data], **options)


def children_of(execution: uuid.UUID) -> list[WorkflowExecution]:
    return list(WorkflowExecution.objects.filter(parent_id=execution).order_by("parent_seq", "created_at"))


# -- beginning and ending ----------------------------------------------------------------------------------------------


def test_a_child_runs_and_its_result_comes_back(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        first = await child("doubles", data)
        return [first, await child("doubles", first)]

    execution = ended(carrier, parent, 3).id
    assert result(execution) == [6, 12]
    assert [one.status for one in children_of(execution)] == ["completed", "completed"]
    assert steps(execution) == [(1, "flows_snippet", "completed"), (2, "flows_snippet", "completed")]


def test_many_children_at_once_are_one_decision(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        return await asyncio.gather(*(child("doubles", number) for number in range(data)))

    assert outcome(carrier, parent, 20) == [2 * number for number in range(20)]


def test_a_handle_knows_its_child_from_the_start(carrier: Carrier) -> None:
    seen: list[tuple[str, str | None]] = []

    async def parent(data: Any) -> Any:
        handle = await starting("doubles", 1)
        seen.append((handle.id, handle.first_execution_run_id))
        await asyncio.sleep(60)
        return [await handle, handle.id, handle.first_execution_run_id]

    execution = begun(carrier, parent)
    carrier.restart_workers()  # so that it is replayed
    carrier.finish(execution)
    (one,) = children_of(execution)
    assert result(execution) == [2, one.business_id, str(one.id)]
    assert len(seen) > 1
    assert len(set(seen)) == 1, "the child's id is not the same in every replay"


def test_a_failed_child_raises_with_its_cause(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        try:
            await child("fails", {"why": "x"}, id="child-1")
        except ChildWorkflowError as error:
            assert isinstance(error.cause, ApplicationError)  # noqa: PT017
            return [error.workflow_id, error.workflow_type, error.cause.type, error.cause.details[0]]

    assert outcome(carrier, parent) == ["child-1", "flows_snippet", "Broken", {"why": "x"}]


def test_what_a_child_failed_with_fails_its_parent(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        await child("fails")

    one = ended(carrier, parent)
    assert one.status == ExecutionStatus.FAILED
    assert "no such child" in one.error_message
    assert '"child"' in one.failure


def test_a_terminated_child_tells_its_parent(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        try:
            await child("sleeps")
        except ChildWorkflowError as error:
            return [type(error.cause).__name__, str(error.cause)]

    execution = begun(carrier, parent)
    (one,) = children_of(execution)
    control.terminate(one.id, "enough")
    carrier.drain()  # no sweep is needed
    assert result(execution) == [TerminatedError.__name__, "enough"]


def test_an_end_that_nobody_was_told_of_is_found_by_a_sweep(carrier: Carrier) -> None:
    """The child's worker dies right after the end was committed."""

    async def parent(data: Any) -> Any:
        return await child("doubles", 4)

    died = []

    def kill(point: str) -> bool:
        ends = WorkflowExecution.objects.filter(parent_id__isnull=False, completed_at__isnull=False).exists()
        if ends and not died:
            died.append(point)
            return True
        return False

    carrier.under(Faults(kill=kill))
    execution = begun(carrier, parent)
    assert died
    assert row(execution).status == ExecutionStatus.RUNNING
    carrier.finish(execution)
    assert result(execution) == 8


@pytest.mark.parametrize("seed", range(6))
def test_children_survive_deaths_losses_and_duplicates(carrier: Carrier, seed: int) -> None:
    async def parent(data: Any) -> Any:
        handles = [await starting("doubles", number, id=f"child-{number}") for number in range(3)]
        others = await asyncio.gather(*(child("doubles", number) for number in range(3)))
        return [*others, *[await handle for handle in handles]]

    snippet(parent)
    carrier.under(Faults(seed=seed, loss=0.1, deaths=0.04, copies=2, order="random", interleaving=0.1, budget=40))
    execution = carrier.start("flows_snippet", "parent", None)
    carrier.finish()
    assert result(execution) == [0, 2, 4, 0, 2, 4]
    assert len(children_of(execution)) == 6


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_an_id_that_is_taken_raises_where_the_child_is_started(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        before = await call("echo", "before")
        try:
            await starting("sleeps", id="taken")
        except WorkflowAlreadyStartedError as error:
            return [before, error.workflow_id, await call("echo", "after")]

    id_policies.start(starts.NewExecution("flows_snippet", ("sleeps",), business_id="taken"))
    execution = begun(carrier, parent)
    carrier.drain()
    assert result(execution) == ["before", "taken", "after"]
    carrier.restart_workers()
    control.terminate(WorkflowExecution.objects.get(business_id="taken").id)
    carrier.finish()


def test_the_answer_to_a_start_is_the_same_in_a_replay(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        found = []
        for _ in range(3):
            try:
                handle = await starting("doubles", 1, id="one")
                found.append(handle.first_execution_run_id)
                await handle
            except WorkflowAlreadyStartedError:
                found.append("taken")
            await asyncio.sleep(60)
        return found

    execution = begun(carrier, parent)
    while row(execution).is_open:
        carrier.restart_workers()
        carrier.drain()
        if row(execution).is_open:
            carrier._move_on(clock.timestamp() + DAY, ())
    carrier.finish(execution)
    runs = [str(one.id) for one in children_of(execution)]
    assert result(execution) == runs
    assert len(runs) == 3


def test_the_reuse_policy_holds_for_children(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        await child("doubles", 1, id="once")
        try:
            await child("doubles", 1, id="once", id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)
        except WorkflowAlreadyStartedError:
            return "refused"

    assert outcome(carrier, parent) == "refused"


# -- the end of the parent ---------------------------------------------------------------------------------------------


def by_result(execution: uuid.UUID) -> None:
    """The parent's code ends by itself; see `goes_first`."""


def by_terminate(execution: uuid.UUID) -> None:
    control.terminate(execution)


def by_cancel(execution: uuid.UUID) -> None:
    control.cancel(execution)


@pytest.mark.parametrize("end", [by_result, by_terminate, by_cancel])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ParentClosePolicy.TERMINATE, ExecutionStatus.TERMINATED),
        (ParentClosePolicy.REQUEST_CANCEL, ExecutionStatus.CANCELLED),
        (ParentClosePolicy.ABANDON, ExecutionStatus.COMPLETED),
    ],
)
def test_the_close_policy_says_what_the_parents_end_means(
    carrier: Carrier, policy: ParentClosePolicy, expected: str, end: Callable[[uuid.UUID], None]
) -> None:
    async def goes_first(data: Any) -> Any:
        await starting("sleeps", parent_close_policy=policy)
        await asyncio.sleep(60 if data else DAY / 2)
        return "first"

    execution = begun(carrier, goes_first, end is by_result)
    end(execution)
    carrier.finish(execution)
    carrier.drain()
    (one,) = children_of(execution)
    if policy != ParentClosePolicy.ABANDON:
        assert row(one.id).status == expected, "it took a sweep"
    carrier.finish()
    assert row(one.id).status == expected
    cleaned = [key for name, key, _ in activities.journal if key.startswith(str(one.id))]
    assert bool(cleaned) == (policy == ParentClosePolicy.REQUEST_CANCEL)


def test_an_abandoned_child_is_started_even_if_its_parent_ends_at_once(carrier: Carrier) -> None:
    async def fires_and_forgets(data: Any) -> Any:
        handle = await starting("doubles", 21, parent_close_policy=ParentClosePolicy.ABANDON)
        return handle.id

    execution = ended(carrier, fires_and_forgets).id
    carrier.finish()
    (one,) = children_of(execution)
    assert result(execution) == one.business_id
    assert result(one.id) == 42


def test_a_close_policy_is_carried_out_though_the_process_died(carrier: Carrier) -> None:
    async def goes_first(data: Any) -> Any:
        await starting("sleeps")
        await call("echo", 1)
        return "first"

    died = []

    def kill(point: str) -> bool:
        if not died and WorkflowExecution.objects.filter(parent_id=None, completed_at__isnull=False).exists():
            died.append(point)
            return True
        return False

    snippet(goes_first)
    execution = carrier.start("flows_snippet", "goes_first", None)
    carrier.under(Faults(kill=kill)).drain()
    assert died
    (one,) = children_of(execution)
    assert row(one.id).is_open
    carrier.finish(days=0.1)
    assert row(one.id).status == ExecutionStatus.TERMINATED


# -- cancelling a child ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "waits", "child_ends"),
    [
        (ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED, True, ExecutionStatus.CANCELLED),
        (ChildWorkflowCancellationType.TRY_CANCEL, False, ExecutionStatus.CANCELLED),
        (ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED, False, ExecutionStatus.CANCELLED),
        (ChildWorkflowCancellationType.ABANDON, False, ExecutionStatus.COMPLETED),
    ],
)
def test_cancelling_a_child(
    carrier: Carrier, kind: ChildWorkflowCancellationType, waits: bool, child_ends: str
) -> None:
    async def parent(data: Any) -> Any:
        handle = await starting("sleeps", cancellation_type=kind, parent_close_policy=ParentClosePolicy.ABANDON)
        await asyncio.sleep(60)
        before = workflow.now()
        handle.cancel()
        try:
            await handle
        except ChildWorkflowError as error:
            assert isinstance(error.cause, CancelledError)  # noqa: PT017
            waited = workflow.now() > before
            await asyncio.sleep(600)
            return waited

    execution = ended(carrier, parent).id
    carrier.finish()
    assert result(execution) == waits
    (one,) = children_of(execution)
    assert row(one.id).status == child_ends


def test_cancelling_the_parent_cancels_the_child_it_waits_for(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        try:
            await child("sleeps")
        finally:
            await call("echo", "parent's cleanup")

    execution = begun(carrier, parent)
    control.cancel(execution, "no more")
    carrier.drain()
    assert row(execution).status == ExecutionStatus.CANCELLED
    (one,) = children_of(execution)
    assert one.status == ExecutionStatus.CANCELLED
    carrier.finish()
    assert [key.split(":")[0] for _, key, _ in activities.journal] == [str(one.id), str(execution)]


def test_a_child_that_is_cancelled_before_it_was_written_is_never_written(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        task = asyncio.create_task(child("doubles", 1))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except ChildWorkflowError as error:
            return str(error)

    execution = ended(carrier, parent).id
    assert result(execution) == "Child workflow cancelled"
    assert children_of(execution) == []


# -- messages ----------------------------------------------------------------------------------------------------------


def test_signals_reach_children_and_others(carrier: Carrier) -> None:
    async def listens(data: Any) -> Any:
        heard: list[Any] = []
        workflow.set_signal_handler("say", heard.append)
        await workflow.wait_condition(lambda: len(heard) == 3)
        return heard

    async def parent(data: Any) -> Any:
        handle = await starting("listens", id="listener")
        await handle.signal("say", "one")
        await workflow.get_external_workflow_handle("listener").signal("say", {"n": 2})
        await workflow.get_external_workflow_handle("listener", run_id=handle.first_execution_run_id).signal("say", 3)
        return await handle

    snippet(listens)
    assert outcome(carrier, parent) == ["one", {"n": 2}, 3]


def test_a_message_to_nobody_raises(carrier: Carrier) -> None:
    async def speaks(data: Any) -> Any:
        try:
            await workflow.get_external_workflow_handle("nobody").signal("say", 1)
        except ApplicationError as error:
            return [error.type, str(error)]

    found = outcome(carrier, speaks)
    assert found[0] == "ExternalWorkflowExecutionNotFound"
    assert "nobody" in found[1]


def test_cancelling_another_execution(carrier: Carrier) -> None:
    async def cancels(data: Any) -> Any:
        await workflow.get_external_workflow_handle("victim").cancel()
        return "asked"

    victim = id_policies.start(starts.NewExecution("flows_snippet", ("sleeps",), business_id="victim")).id
    carrier.drain()
    assert outcome(carrier, cancels) == "asked"
    carrier.finish()
    assert row(victim).status == ExecutionStatus.CANCELLED


@pytest.mark.parametrize("point", ["before append", "after append", "before take_over", "after publish"])
def test_a_message_is_taken_once_wherever_its_sender_dies(carrier: Carrier, point: str) -> None:
    async def listens(data: Any) -> Any:
        heard: list[Any] = []
        workflow.set_signal_handler("say", heard.append)
        await asyncio.sleep(3600)
        return heard

    async def speaks(data: Any) -> Any:
        for number in range(3):
            await workflow.get_external_workflow_handle("listener").signal("say", number)
        return "said"

    snippet(listens)
    listener = id_policies.start(starts.NewExecution("flows_snippet", ("listens",), business_id="listener")).id
    carrier.drain()
    died: list[str] = []

    def kill(here: str) -> bool:
        sent = ExecutionStep.objects.filter(kind="signal").count()
        if here == point and sent and len(died) < sent:
            died.append(here)
            return True
        return False

    snippet(speaks)
    speaker = carrier.start("flows_snippet", "speaks", None)
    carrier.under(Faults(kill=kill, copies=2))
    carrier.finish(speaker, days=0.02)
    carrier.under(Faults())
    carrier.finish()
    assert result(speaker) == "said"
    assert result(listener) == [0, 1, 2]


def test_two_that_signal_each_other(carrier: Carrier) -> None:
    async def player(data: Any) -> Any:
        balls: list[int] = []
        workflow.set_signal_handler("ball", balls.append)
        other = workflow.get_external_workflow_handle(data["other"])
        if data["serves"]:
            await other.signal("ball", 0)
        count = 0
        while count < 5:
            await workflow.wait_condition(lambda: bool(balls))
            count += 1
            ball = balls.pop(0)
            if ball < 9:
                await other.signal("ball", ball + 1)
        return count

    snippet(player)
    ids = [
        id_policies.start(
            starts.NewExecution("flows_snippet", ("player", {"other": other, "serves": me == "b"}), business_id=me)
        ).id
        for me, other in (("a", "b"), ("b", "a"))
    ]
    carrier.under(Faults(interleaving=0.2, order="random"))
    carrier.finish()
    assert [result(one) for one in ids] == [5, 5]


# -- scenario 13 -------------------------------------------------------------------------------------------------------


def test_a_sliding_window_of_children_never_exceeds_its_bound(settings: Any) -> None:
    """A thousand records, each a child's, ten at a time; each child notes how many are under way, by their rows."""
    bound, records = 10, 1000
    settings.DURABLE_LINK_BUDGET = settings.DURABLE_CHUNK_BUDGET = 1000
    under_way = WorkflowExecution.objects.filter(parent_id__isnull=False, completed_at=None)
    counts: list[int] = []
    done: list[int] = []

    @workflow.defn(name="window_record")
    class Record:
        @workflow.run
        async def run(self, number: int) -> int:
            if not workflow.unsafe.is_replaying():
                with _outside():
                    counts.append(under_way.count())
            await asyncio.sleep(1 + number % 3)
            done.append(number)
            return number

    @workflow.defn(name="window")
    class Window:
        @workflow.run
        async def run(self) -> list[int]:
            at_work: list[asyncio.Future[int]] = []
            results: list[int] = []
            for number in range(records):
                if len(at_work) == bound:
                    ready, at_work = await workflow.wait(at_work, return_when=asyncio.FIRST_COMPLETED)
                    results += [one.result() for one in ready]
                at_work.append(await workflow.start_child_workflow(Record.run, number))
            return sorted(results + [one.result() for one in (await workflow.wait(at_work))[0]])

    with WorkflowEnvironment.start_time_skipping(workflows=[Window, Record]) as env:
        assert env.run(Window.run) == list(range(records))
    assert len(counts) == records
    assert max(counts) == bound, "never more than the bound, and as many as it allows"
    assert sorted(done) == list(range(records)), "each record once"


def _outside() -> Any:
    from automation.durable import current

    return current.outside()


# -- retry of a parent -------------------------------------------------------------------------------------------------


def test_retrying_a_parent_starts_the_child_again_that_its_failure_ended(carrier: Carrier) -> None:
    once = RetryPolicy(maximum_attempts=1)

    async def parent(data: Any) -> Any:
        waiting = asyncio.create_task(child("sleeps", 3600.0))
        await asyncio.sleep(60)
        return [await call("flaky", "step", 1, retry_policy=once), await waiting]

    one = ended(carrier, parent)
    assert one.status == ExecutionStatus.FAILED
    carrier.finish()
    assert [child.status for child in children_of(one.id)] == ["terminated"]
    control.retry(one.id)
    carrier.finish()
    assert result(one.id) == ["step", "slept"]
    assert [child.status for child in children_of(one.id)] == ["terminated", "completed"]


def test_options_of_a_child_stand_in_its_row(carrier: Carrier) -> None:
    async def parent(data: Any) -> Any:
        return await child(
            "doubles", 1, memo={"note": "n"}, search_attributes={"Kind": ["small"]}, run_timeout=dt.timedelta(hours=1)
        )

    execution = ended(carrier, parent).id
    (one,) = children_of(execution)
    assert one.memo == '{"note":"n"}'
    assert one.search_attributes == {"Kind": "small"}
    assert one.deadline is not None
    assert one.parent_seq == 1


def test_a_child_that_is_cancelled_with_the_last_breath_of_its_parent_is_cancelled(carrier: Carrier) -> None:
    async def leaves(data: Any) -> Any:
        handle = await starting(
            "sleeps",
            cancellation_type=ChildWorkflowCancellationType.TRY_CANCEL,
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
        await asyncio.sleep(60)
        handle.cancel()
        return "left"

    execution = ended(carrier, leaves).id
    carrier.finish()
    assert result(execution) == "left"
    assert [one.status for one in children_of(execution)] == [ExecutionStatus.CANCELLED]


def test_a_pool_of_locks_shared_by_ten_workflows_is_never_exceeded(carrier: Carrier) -> None:
    """Scenario 13: one workflow owns three locks; ten others ask it for one by signals, and give it back."""
    locks, users = 3, 10

    async def owner(data: Any) -> Any:
        waiting: list[str] = []
        given: list[str] = []
        back: list[str] = []
        workflow.set_signal_handler("take", waiting.append)
        workflow.set_signal_handler("give back", back.append)
        while len(back) < users:
            await workflow.wait_condition(
                lambda: len(back) == users or bool(waiting and len(given) - len(back) < locks)
            )
            if waiting:
                given.append(waiting.pop(0))
                await workflow.get_external_workflow_handle(given[-1]).signal("taken")
        return len(back)

    async def user(data: Any) -> Any:
        taken: list[bool] = []
        workflow.set_signal_handler("taken", lambda: taken.append(True))
        pool = workflow.get_external_workflow_handle("pool")
        await pool.signal("take", workflow.info().workflow_id)
        await workflow.wait_condition(lambda: bool(taken))
        if not workflow.unsafe.is_replaying():
            held.add(workflow.info().workflow_id)
            most.append(len(held))
        await call("echo", data)
        await asyncio.sleep(5)
        if not workflow.unsafe.is_replaying():
            held.discard(workflow.info().workflow_id)
        await pool.signal("give back", workflow.info().workflow_id)

    held: set[str] = set()
    most: list[int] = []
    snippet(owner), snippet(user)
    pool = id_policies.start(starts.NewExecution("flows_snippet", ("owner",), business_id="pool")).id
    for number in range(users):
        id_policies.start(starts.NewExecution("flows_snippet", ("user", number), business_id=f"user-{number}"))
    carrier.under(Faults(order="random", copies=2, interleaving=0.2, seed=13))
    carrier.finish()
    assert result(pool) == users
    assert max(most) == locks, "never more than there are locks, and as many as there are"
    assert len(most) == users
    assert not held
    assert len(activities.journal) == users
