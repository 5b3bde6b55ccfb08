"""Cancelling: of workflows, of activities by code, and how an activity learns of it (scenario 8)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from automation.durable import activity, control, registry, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError, CancelledError, is_cancelled_exception
from automation.durable.workflow import ActivityCancellationType
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, ended, outcome, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row

LIMIT = dt.timedelta(seconds=60)


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Puts an activity in the place of `flows_until_cancelled`."""
    known = registry.activity("flows_until_cancelled")

    def put(function: Callable[..., Any]) -> None:
        changed = replace(
            known,
            function=function,
            is_async=asyncio.iscoroutinefunction(function),
            raises_when_cancelled=not getattr(function, "quiet", False),
        )
        monkeypatch.setitem(registry._activities, "flows_until_cancelled", changed)

    return put


def beating(**options: Any) -> workflow.ActivityHandle:
    options.setdefault("heartbeat_timeout", dt.timedelta(seconds=10))
    return workflow.start_activity("flows_until_cancelled", 30.0, start_to_close_timeout=LIMIT, **options)


def cancelling(carrier: Carrier, when: str = "before flows_until_cancelled") -> None:
    """Cancel the workflow when its activity begins, and let it learn of it."""

    def cancel(point: str) -> bool:
        if point == when and not WorkflowExecution.objects.get().inbox_seq:
            control.cancel(WorkflowExecution.objects.get().id, "enough")
            carrier._deliver_next()
        return False

    carrier.under(Faults(kill=cancel))


# -- scenario 8 --------------------------------------------------------------------------------------------------------


def plain() -> str:
    while True:
        activity.heartbeat("alive")
        activity.wait_for_cancelled_sync(0.01)


def quiet() -> str:
    activity.wait_for_cancelled_sync()
    return "stopped by itself"


quiet.quiet = True  # type: ignore[attr-defined]


async def awaiting() -> str:
    while True:
        activity.heartbeat("alive")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", list(ActivityCancellationType))
@pytest.mark.parametrize("function", [plain, awaiting])
def test_cancelling_during_an_activity_that_heartbeats_runs_the_cleanup(
    carrier: Carrier, beats: Any, function: Callable[..., Any], kind: ActivityCancellationType
) -> None:
    began: list[float] = []

    def until_stopped(_seconds: float) -> Any:
        began.append(0)
        if kind == ActivityCancellationType.ABANDON:
            return "left alone"
        return function()

    async def until_stopped_async(_seconds: float) -> Any:
        began.append(0)
        if kind == ActivityCancellationType.ABANDON:
            return "left alone"
        return await function()

    async def cleans(data: Any) -> Any:
        try:
            await beating(cancellation_type=kind)
        except ActivityError as error:
            assert is_cancelled_exception(error)  # noqa: PT017
            await call("echo", "cleanup")
            raise

    beats(until_stopped_async if function is awaiting else until_stopped)
    cancelling(carrier)
    execution = begun(carrier, cleans)
    carrier.under(Faults())
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED, row(execution).error_message
    assert row(execution).error_message == "enough"
    assert [name for name, _, _ in activities.journal] == ["flows_echo"]
    assert began == [0]
    expected = "completed" if kind == ActivityCancellationType.ABANDON else "cancelled"
    assert steps(execution)[1] == (1, "flows_until_cancelled", expected)


def test_cancelling_during_a_sleep_runs_the_cleanup(carrier: Carrier) -> None:
    async def cleans(data: Any) -> Any:
        try:
            await asyncio.sleep(86_400)
        finally:
            await call("echo", "cleanup")

    execution = begun(carrier, cleans)
    control.cancel(execution)
    carrier.drain()
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert len(activities.journal) == 1


def test_what_is_shielded_goes_on(carrier: Carrier) -> None:
    async def shields(data: Any) -> Any:
        work = asyncio.ensure_future(workflow.execute_activity("flows_elsewhere", "work", start_to_close_timeout=LIMIT))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await call("echo", await work)
            raise

    snippet(shields)
    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    execution = begun(carrier, shields)
    control.cancel(execution)
    carrier.drain()
    carrier.under(Faults())
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert [name for name, _, _ in activities.journal] == ["flows_elsewhere", "flows_echo"]


def test_a_workflow_may_refuse_to_be_cancelled(carrier: Carrier) -> None:
    async def stays(data: Any) -> Any:
        try:
            await beating()
        except ActivityError:
            return "not me"

    cancelling(carrier)
    execution = begun(carrier, stays)
    carrier.finish(execution)
    assert result(execution) == "not me"


# -- what code cancels -------------------------------------------------------------------------------------------------


def test_a_cancelled_handle_raises_an_activity_error_which_is_an_asyncio_one_too(carrier: Carrier) -> None:
    async def cancels(data: Any) -> Any:
        handle = workflow.start_activity("flows_elsewhere", 1, start_to_close_timeout=LIMIT)
        await asyncio.sleep(5)
        handle.cancel()
        found = []
        for kind in (ActivityError, asyncio.CancelledError):
            try:
                await handle
            except kind as error:
                found.append([type(error.__cause__).__name__, is_cancelled_exception(error)])
        return [*found, handle.done(), handle.cancel()]

    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    expected = [["CancelledError", True], ["CancelledError", True], True, False]
    execution = begun(carrier, cancels)
    carrier.settle()
    assert result(execution) == expected
    assert steps(execution)[0] == (1, "flows_elsewhere", "cancelled")


def test_an_error_of_a_cancelled_activity_fails_a_workflow_that_nobody_cancelled(carrier: Carrier) -> None:
    async def lets_go(data: Any) -> Any:
        handle = beating()
        await asyncio.sleep(0)
        handle.cancel()
        await handle

    one = ended(carrier, lets_go)
    assert one.status == ExecutionStatus.FAILED
    assert one.error_message == "Activity cancelled: Cancelled"


@pytest.mark.parametrize("how", ["wait_for", "timeout", "gather", "task group"])
def test_asyncios_own_cancelling_works_on_activities(carrier: Carrier, how: str) -> None:
    async def waits(data: Any) -> Any:
        handle = workflow.start_activity("flows_elsewhere", 1, start_to_close_timeout=LIMIT)
        try:
            match data:
                case "wait_for":
                    await asyncio.wait_for(handle, 5)
                case "timeout":
                    async with asyncio.timeout(5):
                        await handle
                case "gather":
                    await asyncio.gather(handle, breaks())
                case "task group":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(waiting(handle))
                        group.create_task(breaks())
        except TimeoutError:
            return "too late"
        except ApplicationError:
            handle.cancel()
            return "broken"
        except ExceptionGroup as group_error:
            return [str(error) for error in group_error.exceptions]

    async def waiting(handle: Any) -> Any:
        return await handle

    async def breaks() -> None:
        await asyncio.sleep(1)
        raise ApplicationError("broken")

    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    execution = begun(carrier, waits, how)
    carrier.settle()
    late = how in ("wait_for", "timeout")
    assert result(execution) == ("too late" if late else ["broken"] if how == "task group" else "broken")
    assert steps(execution)[0][2] == "cancelled"


def test_waiting_for_a_cancellation_gives_what_the_activity_comes_to(carrier: Carrier, beats: Any) -> None:
    """One that does not stop completes, and that is what the code gets."""

    async def waits(data: Any) -> Any:
        handle = beating(cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)
        try:
            await asyncio.wait_for(asyncio.shield(handle), 1)
        except TimeoutError:
            handle.cancel()
        return await handle

    def finishes(_seconds: float) -> str:
        stop = activity.cancellation_details
        assert stop() is None
        carrier.settle()
        activity.wait_for_cancelled_sync(20)
        details = stop()
        return f"cancelled: {details.cancel_requested if details else None}"

    finishes.quiet = True  # type: ignore[attr-defined]
    beats(finishes)
    execution = begun(carrier, waits)
    carrier.finish(execution)
    assert result(execution) == "cancelled: True"


def test_waiting_for_the_cancellation_of_one_that_has_not_begun(carrier: Carrier) -> None:
    async def waits(data: Any) -> Any:
        kind = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        handle = workflow.start_activity("flows_elsewhere", 1, start_to_close_timeout=LIMIT, cancellation_type=kind)
        await asyncio.sleep(5)
        handle.cancel()
        try:
            await handle
        except ActivityError as error:
            return type(error.cause).__name__

    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere"))
    execution = begun(carrier, waits)
    carrier.settle()
    assert result(execution) == CancelledError.__name__
    assert steps(execution)[0] == (1, "flows_elsewhere", "cancelled")
    carrier.finish()


def test_an_attempt_that_fails_after_it_was_asked_to_stop_counts_as_cancelled(carrier: Carrier, beats: Any) -> None:
    async def waits(data: Any) -> Any:
        handle = beating(
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED, retry_policy=RetryPolicy()
        )
        try:
            await handle
        except ActivityError as error:
            cause = error.cause
            await call("echo", str(cause.__cause__) if cause else "")
            raise

    def breaks(_seconds: float) -> None:
        activity.wait_for_cancelled_sync(20)
        raise RuntimeError("in the middle of it")

    beats(breaks)
    cancelling(carrier)
    execution = begun(carrier, waits)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED
    assert "in the middle of it" in ExecutionStep.objects.get(execution=execution, seq=2).output


@pytest.mark.parametrize("seed", range(4))
def test_cancelling_survives_deaths_losses_and_duplicates(carrier: Carrier, seed: int) -> None:
    async def cancels(data: Any) -> Any:
        found = []
        for kind in ActivityCancellationType:
            handle = workflow.start_activity("flows_elsewhere", 1, start_to_close_timeout=LIMIT, cancellation_type=kind)
            await asyncio.sleep(0.01)
            handle.cancel()
            try:
                found.append(await handle)
            except ActivityError as error:
                assert isinstance(error.cause, CancelledError)  # noqa: PT017
                found.append(1)
            await asyncio.sleep(1)
        return found

    carrier.under(Faults(seed=seed, loss=0.2, deaths=0.05, copies=2, order="random", interleaving=0.1, budget=40))
    assert outcome(carrier, cancels) == [1, 1, 1]


# -- what an activity asks ---------------------------------------------------------------------------------------------


def test_a_plain_activity_is_interrupted_by_its_next_heartbeat(carrier: Carrier, beats: Any) -> None:
    found: list[Any] = []

    def heartbeats(_seconds: float) -> None:
        while not activity.is_cancelled():
            activity.heartbeat()
        with activity.shield_thread_cancel_exception():
            activity.heartbeat("not here")
        found.append(activity.cancellation_details())
        activity.heartbeat()
        found.append("not reached")

    async def waits(data: Any) -> Any:
        await beating(cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)

    beats(heartbeats)
    cancelling(carrier)
    execution = begun(carrier, waits)
    carrier.finish(execution)
    assert found == [activity.ActivityCancellationDetails(cancel_requested=True)]
    assert row(execution).status == ExecutionStatus.CANCELLED


def test_methods_and_classes_are_called_by_their_own_names(carrier: Carrier) -> None:
    from tests.flows.activities import echo

    class Greeter:
        @activity.defn(name="flows_echo")
        def greet(self, name: str) -> str:
            raise AssertionError("the registered one is run")

    class Callable_:
        @activity.defn(name="flows_echo")
        def __call__(self, name: str) -> str:
            raise AssertionError("the registered one is run")

    async def calls(data: Any) -> Any:
        limit = {"start_to_close_timeout": LIMIT}
        return [
            await workflow.execute_activity_method(Greeter.greet, "method", **limit),
            await workflow.start_activity_method(Greeter.greet, "started", **limit),
            await workflow.execute_activity_class(Callable_, "class", **limit),
            await workflow.start_activity_class(Callable_, "started", **limit),
            await workflow.execute_local_activity_method(Greeter.greet, "local", **limit),
            await workflow.execute_local_activity_class(Callable_, "local", **limit),
            await workflow.execute_activity(echo, "function", **limit),
        ]

    assert outcome(carrier, calls) == ["method", "started", "class", "started", "local", "local", "function"]
