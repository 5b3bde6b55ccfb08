"""The test environment itself: time, replaced activities, ends; and activities by themselves."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import async_to_sync

from automation import clock
from automation.durable import activity, canvas, live_runs, registry, workflow
from automation.durable.client import WorkflowUpdateFailedError
from automation.durable.common import RawValue, RetryPolicy
from automation.durable.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TerminatedError,
    WorkflowAlreadyStartedError,
    WorkflowFailureError,
)
from automation.durable.testing import ActivityEnvironment, Stuck, WorkflowEnvironment
from automation.durable.testing.fixtures import activity_environment
from automation.durable.worker import Worker
from automation.models import ExecutionStatus, StepStatus, WorkflowExecution
from tests.flows import activities
from tests.flows.models import Posting
from tests.flows.workflows import call, snippet

__all__ = ["activity_environment"]

DAY = dt.timedelta(days=1)
LIMIT = dt.timedelta(seconds=20)
START = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)


@workflow.defn(name="testing_loop")
class Loop:
    @workflow.run
    async def run(self, days: int) -> list[str]:
        times = []
        for _ in range(days):
            await workflow.sleep(DAY)
            times.append(await workflow.execute_activity("testing_stamp", start_to_close_timeout=LIMIT))
        return times


def stamp() -> str:
    return clock.now().isoformat()


@dataclasses.dataclass
class Order:
    number: int
    paid_at: dt.datetime | None = None


@workflow.defn(name="testing_order")
class OrderWorkflow:
    @workflow.run
    async def run(self, order: Order) -> Order:
        charged: Order = await workflow.execute_activity(
            charge,
            order,
            start_to_close_timeout=LIMIT,
            retry_policy=RetryPolicy(initial_interval=dt.timedelta(seconds=10), maximum_attempts=3),
        )
        return charged


@activity.defn(name="testing_charge")
def charge(order: Order) -> Order:
    raise AssertionError("tests do not charge")


def play(env: WorkflowEnvironment, code: Callable[[Any], Awaitable[Any]], data: Any = None) -> Any:
    snippet(code)
    return env.run("flows_snippet", code.__name__, data)


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_loop_of_thirty_days_has_exact_times() -> None:
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": stamp}, start_at=START) as env:
        times = env.run(Loop.run, 30)
        assert [dt.datetime.fromisoformat(time) for time in times] == [START + n * DAY for n in range(1, 31)]
        assert env.now == START + 30 * DAY


def test_retries_come_when_the_policy_says() -> None:
    attempts: list[tuple[dt.datetime, int]] = []

    def flaky(order: Order) -> Order:
        attempts.append((clock.now(), activity.info().attempt))
        if len(attempts) < 3:
            raise ConnectionError("away")
        return dataclasses.replace(order, paid_at=clock.now())

    with WorkflowEnvironment.start_time_skipping(activities={"testing_charge": flaky}, start_at=START) as env:
        after = [START + dt.timedelta(seconds=seconds) for seconds in (0, 10, 30)]
        assert env.run(OrderWorkflow.run, Order(7)) == Order(7, after[2])
        assert attempts == [(after[0], 1), (after[1], 2), (after[2], 3)]


def test_timers_a_little_apart_fire_each_at_its_own_time() -> None:
    async def apart(_data: Any) -> list[float]:
        began = workflow.time()

        async def one(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return round(workflow.time() - began, 6)

        return list(await asyncio.gather(*(one(3_600 + n / 10) for n in range(5))))

    with WorkflowEnvironment.start_time_skipping() as env:
        assert play(env, apart) == [3_600.0, 3_600.1, 3_600.2, 3_600.3, 3_600.4]


def test_a_test_moves_time_as_far_as_it_likes() -> None:
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": stamp}, start_at=START) as env:
        handle = env.start(Loop, 3, id="loop")
        assert (handle.id, handle.status, env.now) == ("loop", ExecutionStatus.RUNNING, START)
        env.skip(1.5 * DAY)
        assert (env.now, len(handle.activities())) == (START + 1.5 * DAY, 1)
        env.skip_to(START + 2 * DAY)
        assert len(handle.activities()) == 2
        with pytest.raises(Stuck, match="it has not ended within 0:00:01"):
            handle.result(within=dt.timedelta(seconds=1))
        assert len(handle.result()) == 3
        assert [step.kind for step in handle.steps] == ["timer", "activity"] * 3


def test_a_planned_start_waits_for_its_time() -> None:
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": stamp}, start_at=START) as env:
        handle = env.start(Loop, 1, start_delay=DAY)
        assert handle.status == ExecutionStatus.PENDING
        assert [dt.datetime.fromisoformat(time) for time in handle.result()] == [START + 2 * DAY]


def test_time_is_put_back_afterwards() -> None:
    before, publish = clock.now(), canvas._publish
    with WorkflowEnvironment.start_time_skipping() as env:
        env.skip(365 * DAY)
        assert clock.now() > before + 364 * DAY
    assert dt.timedelta(0) <= clock.now() - before < DAY
    assert canvas._publish is publish
    with pytest.raises(RuntimeError, match="not open"):
        env.settle()


def test_an_environment_within_another_gives_its_time_back() -> None:
    with WorkflowEnvironment.start_time_skipping(start_at=START) as outer:
        with WorkflowEnvironment.start_time_skipping(start_at=START + DAY) as inner:
            inner.skip(DAY)
            assert clock.now() == START + 2 * DAY
        assert outer.now == START
        outer.skip(60)
        assert outer.now == START + dt.timedelta(seconds=60)


def test_time_goes_on_by_itself_where_skipping_is_disabled() -> None:
    with WorkflowEnvironment.start_time_skipping(start_at=START) as env:
        env.skip(DAY)
        with env.auto_time_skipping_disabled():
            first = env.now
            env.skip(0.01)
            assert first >= START + DAY
            assert env.now >= first + dt.timedelta(seconds=0.01)
        stopped = env.now
        assert START + DAY < stopped == env.now
    assert clock.now() > START


def test_a_local_environment_takes_the_time_that_it_takes() -> None:
    async def naps(_data: Any) -> float:
        began = workflow.time()
        await asyncio.sleep(0.05)
        return workflow.time() - began

    with WorkflowEnvironment.start_local() as env:
        assert not env.supports_time_skipping
        assert play(env, naps) >= 0.05


# -- activities --------------------------------------------------------------------------------------------------------


def test_mocks_stand_in_for_activities() -> None:
    for mock in (Mock(return_value=Order(8)), AsyncMock(return_value=Order(8))):
        with WorkflowEnvironment.start_time_skipping(activities=[charge]) as env:
            env.replace_activities({"testing_charge": mock})
            assert env.run(OrderWorkflow.run, Order(7)) == Order(8)
        mock.assert_called_once_with(Order(7))


def test_decorated_functions_and_methods_stand_in_for_activities_of_their_name() -> None:
    class Bank:
        charged = 0

        @activity.defn(name="testing_charge")
        async def charge(self, order: Order) -> Order:
            self.charged += order.number
            return order

    bank = Bank()
    with WorkflowEnvironment.start_time_skipping(activities=[bank.charge]) as env:
        env.run(OrderWorkflow.run, Order(7))
        env.run(OrderWorkflow.run, Order(5))
    assert bank.charged == 12


def test_replacements_are_undone_and_may_be_changed_on_the_way() -> None:
    real = registry.activity("flows_echo")
    with WorkflowEnvironment.start_time_skipping(activities={"flows_echo": lambda value: [value]}) as env:

        async def echoes(_data: Any) -> Any:
            return await call("echo", 1)

        assert play(env, echoes) == [1]
        env.replace_activities({"flows_echo": lambda value: {"value": value}})
        assert play(env, echoes) == {"value": 1}
    assert registry.activity("flows_echo") is real
    with pytest.raises(registry.UnknownName):
        registry.workflow("testing_order")


def test_what_is_no_activity_is_refused_with_words() -> None:
    with pytest.raises(TypeError, match="is not an activity: decorate it"):
        WorkflowEnvironment.start_time_skipping(activities=[stamp]).open()
    with pytest.raises(TypeError, match="'testing_stamp': expected a function, got 3"):
        WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": 3}).open()  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="is not a workflow"), WorkflowEnvironment.start_time_skipping() as env:
        env.run(stamp)
    with pytest.raises(TypeError, match="unknown options: speed"):
        WorkflowEnvironment.start_time_skipping(speed=2)


def test_chains_groups_and_other_queues_run_too() -> None:
    async def spreads(_data: Any) -> Any:
        members = [workflow.step("flows_echo", n, start_to_close_timeout=LIMIT) for n in range(100)]
        far = workflow.step(activities.elsewhere, "far", start_to_close_timeout=LIMIT)
        late = workflow.step(activities.echo, "late", start_to_close_timeout=LIMIT, start_delay=DAY)
        return await workflow.chain(workflow.group(*members), far, late)

    with WorkflowEnvironment.start_time_skipping(start_at=START) as env:
        assert play(env, spreads) == [list(range(100)), "far", "late"]
        assert env.now == START + DAY


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_failure_is_raised_with_its_causes() -> None:
    def refuse(_order: Order) -> Order:
        raise ApplicationError("no money", {"left": 3}, type="Refused", non_retryable=True)

    with WorkflowEnvironment.start_time_skipping(activities={"testing_charge": refuse}) as env:
        with pytest.raises(WorkflowFailureError, match="no money") as failed:
            env.run(OrderWorkflow.run, Order(7))
        error = failed.value.cause
        assert isinstance(error, ActivityError)
        assert isinstance(error.cause, ApplicationError)
        assert (error.cause.type, error.cause.details) == ("Refused", ({"left": 3},))


def test_a_defect_of_the_code_fails_the_test_at_once_and_says_where() -> None:
    async def broken(_data: Any) -> None:
        raise KeyError("nothing there")

    with WorkflowEnvironment.start_time_skipping() as env, pytest.raises(Stuck, match=r"parked: .*nothing there"):
        play(env, broken)


def test_what_waits_for_nothing_that_will_happen_fails_the_test() -> None:
    async def waits(_data: Any) -> None:
        await call("echo", 1)
        await workflow.wait_condition(lambda: False)

    with WorkflowEnvironment.start_time_skipping() as env:
        with pytest.raises(Stuck, match=r"nothing is due any more(?s:.*)#1 activity flows_echo: completed"):
            play(env, waits)
        with pytest.raises(Stuck, match="it did not happen within 1 day"):
            env.wait_until(lambda: False, within=DAY)


def test_an_activity_cannot_wait_for_its_own_worker() -> None:
    with WorkflowEnvironment.start_time_skipping() as env:
        env.replace_activities({"flows_echo": lambda _value: env.run("flows_script", ["sleep", 1])})

        async def nests(_data: Any) -> Any:
            return await call("echo", 1, retry_policy=RetryPolicy(maximum_attempts=1))

        with pytest.raises(WorkflowFailureError) as failed:
            play(env, nests)
        assert "cannot wait for what its own worker does" in str(failed.value.cause.cause)  # type: ignore[union-attr]


def test_handles_cancel_terminate_pause_resume_and_retry() -> None:
    failing = Mock(side_effect=[ApplicationError("once", non_retryable=True), "2026"])
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": failing}) as env:
        cancelled = env.start(Loop, 2)
        cancelled.cancel("enough")
        with pytest.raises(WorkflowFailureError) as error:
            cancelled.result()
        assert isinstance(error.value.cause, CancelledError)
        ended = env.start(Loop, 2)
        ended.terminate("now")
        with pytest.raises(WorkflowFailureError) as error:
            ended.result()
        assert isinstance(error.value.cause, TerminatedError)
        paused = env.start(Loop, 1)
        paused.pause()
        env.skip(10 * DAY)
        assert [step.status for step in paused.steps] == [StepStatus.PENDING]
        paused.resume()
        with pytest.raises(WorkflowFailureError):
            paused.result()
        paused.retry()
        assert paused.result() == ["2026"]
        assert failing.call_count == 2


def test_an_id_is_taken_while_its_execution_is_open() -> None:
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": stamp}) as env:
        first = env.start(Loop, 1, id="once")
        with pytest.raises(WorkflowAlreadyStartedError):
            env.start(Loop, 1, id="once")
        assert env.handle(first.execution).result() == env.handle(first.run_id).result()


# -- async code --------------------------------------------------------------------------------------------------------


def test_it_is_an_async_context_manager_as_in_the_sdk() -> None:
    @async_to_sync
    async def use() -> None:
        async with await WorkflowEnvironment.start_time_skipping(start_at=START) as env:
            assert await env.get_current_time() == START
            await env.sleep(DAY)
            await env.sleep(60)
            assert await env.get_current_time() == START + DAY + dt.timedelta(minutes=1)
        env = await WorkflowEnvironment.start_local(ui=True)
        await env.shutdown()
        await env.shutdown()

    use()


# -- one activity by itself --------------------------------------------------------------------------------------------


def test_an_activity_runs_by_itself(activity_environment: ActivityEnvironment) -> None:
    assert activity_environment.run(activities.add, 1, b=2) == 3
    assert not activity.in_activity()
    activity_environment.info = dataclasses.replace(activity_environment.default_info(), attempt=2)
    assert activity_environment.run(activities.flaky, "x", 1) == "x"
    with pytest.raises(ValueError, match="attempt 2 of x failed"):
        activity_environment.run(activities.flaky, "x", 2)


def test_its_heartbeats_are_seen_and_its_details_given() -> None:
    env = ActivityEnvironment()
    beats: list[tuple[Any, ...]] = []
    env.on_heartbeat = lambda *details: beats.append(details)
    with pytest.raises(RuntimeError, match="after its heartbeat"):
        env.run(activities.beating, "here")
    env.info = dataclasses.replace(env.default_info(), heartbeat_details=list(beats[0]), attempt=2)
    assert env.run(activities.beating, "there") == ["here", 1]
    assert beats == [("here", 1), ("there", 2)]


def test_it_is_asked_to_stop() -> None:
    env = ActivityEnvironment()
    env.on_heartbeat = lambda *_details: env.cancel()
    with pytest.raises(ApplicationError, match="asked to stop"):
        env.run(activities.until_cancelled, 60.0)

    @activity.defn
    async def waits() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return f"stopped, {activity.is_cancelled()}"
        return "never asked"

    async def use() -> str:
        env = ActivityEnvironment()
        task = asyncio.ensure_future(env.run(waits))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        env.cancel()
        return str(await task)

    assert asyncio.run(use()) == "stopped, True"


def test_a_transactional_activity_rolls_back_by_itself_too() -> None:
    env = ActivityEnvironment()
    with pytest.raises(RuntimeError, match="after the write"):
        env.run(activities.enter_and_fail, "x", 1)
    assert not Posting.objects.exists()


# -- messages, and the client ------------------------------------------------------------------------------------------


@workflow.defn(name="testing_counter")
class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.done = False

    @workflow.run
    async def run(self, start: int) -> int:
        self.count += start
        await workflow.wait_condition(lambda: self.done)
        return self.count

    @workflow.signal
    def add(self, a: int, b: int = 0) -> None:
        self.count += a + b

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def current(self) -> int:
        return self.count

    @workflow.update
    async def double_tomorrow(self) -> int:
        await workflow.sleep(DAY)
        self.count *= 2
        return self.count

    @double_tomorrow.validator
    def _check(self) -> None:
        if self.count > 100:
            raise ValueError("too many")


def test_handles_signal_query_and_update() -> None:
    with WorkflowEnvironment.start_time_skipping(start_at=START) as env:
        handle = env.start(Counter.run, 1, id="counter", memo={"for": "tests"})
        handle.signal(Counter.add, 2, 3)
        handle.signal("add", 4)
        assert handle.query(Counter.current) == handle.query("current") == 10
        assert handle.update(Counter.double_tomorrow) == 20
        assert env.now == START + DAY
        handle.signal(Counter.add, 100)
        with pytest.raises(WorkflowUpdateFailedError, match="too many"):
            handle.execute_update("double_tomorrow")
        assert handle.client_handle.describe().workflow_type == "testing_counter"
        handle.signal("finish")
        assert handle.result() == 120


def test_the_clients_waiting_lets_things_happen_here() -> None:
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": stamp}, start_at=START) as env:
        assert len(env.client.sync.execute_workflow(Loop.run, 30, id="loop")) == 30
        assert env.now == START + 30 * DAY

        @async_to_sync
        async def use() -> None:
            handle = await env.client.start_workflow(Counter.run, 5, id="counter")
            await handle.signal(Counter.add, 1)
            assert await handle.query(Counter.current) == 6
            assert await handle.execute_update(Counter.double_tomorrow) == 12
            await handle.signal(Counter.finish)
            assert await handle.result() == 12
            stuck = await env.client.start_workflow(Counter.run, 5, id="stuck")
            with pytest.raises(Stuck, match="testing_counter stuck: running"):
                await stuck.result()

        use()
        assert env.now == START + 31 * DAY


def test_a_whole_test_of_the_sdk_runs_as_it_is() -> None:
    """As its users write them: an environment, a worker with mocked activities, a client."""

    @activity.defn(name="testing_charge")
    async def charge_mocked(order: Order) -> Order:
        return dataclasses.replace(order, paid_at=START)

    @async_to_sync
    async def use() -> None:
        async with (
            await WorkflowEnvironment.start_time_skipping() as env,
            Worker(
                env.client,
                task_queue="orders",
                workflows=[OrderWorkflow],
                activities=[charge_mocked],
                activity_executor=None,
            ),
        ):
            order = await env.client.execute_workflow(
                OrderWorkflow.run, Order(7), id=str(uuid.uuid4()), task_queue="orders"
            )
            assert order == Order(7, START)

    use()


def test_an_activity_is_completed_from_outside() -> None:
    tokens: list[bytes] = []

    def ask(_order: Order) -> Order:
        tokens.append(activity.info().task_token)
        activity.raise_complete_async()

    with WorkflowEnvironment.start_time_skipping(activities=[charge]) as env:
        env.replace_activities({"testing_charge": ask})
        handle = env.start(OrderWorkflow.run, Order(7))
        assert handle.status == ExecutionStatus.RUNNING
        env.client.sync.get_async_activity_handle(task_token=tokens[0]).complete(Order(9))
        assert handle.result() == Order(9)


def test_a_handle_follows_its_workflow_from_run_to_run() -> None:
    @workflow.defn(name="testing_relay")
    class Relay:
        @workflow.run
        async def run(self, left: int) -> str:
            await workflow.sleep(DAY)
            if left:
                workflow.continue_as_new(left - 1)
            return workflow.info().run_id

    with WorkflowEnvironment.start_time_skipping(start_at=START) as env:
        handle = env.start(Relay.run, 3, id="relay")
        first = handle.execution.id
        assert handle.result() == str(handle.execution.id)
        assert handle.execution.id != first == handle.run_id
        assert env.now == START + 4 * DAY


def test_children_and_their_parents_run_here() -> None:
    @workflow.defn(name="testing_parent")
    class Parent:
        @workflow.run
        async def run(self, days: int) -> list[str]:
            result: list[str] = await workflow.execute_child_workflow(Loop.run, days, id="the-child")
            return result

    with WorkflowEnvironment.start_time_skipping(
        activities={"testing_stamp": stamp}, workflows=[Loop], start_at=START
    ) as env:
        assert env.run(Parent.run, 2) == [(START + n * DAY).isoformat() for n in (1, 2)]
        child = env.handle(WorkflowExecution.objects.get(business_id="the-child"))
        assert len(child.result()) == 2


# -- what code can ask about itself ------------------------------------------------------------------------------------


def test_what_code_makes_by_chance_is_the_same_in_every_replay() -> None:
    seen: list[Any] = []

    async def asks(_data: Any) -> Any:
        register = workflow.register_random_seed_callback
        register(seen.append)
        workflow.set_current_details("at work")
        found = [
            str(workflow.uuid7()),
            str(workflow.uuid4()),
            workflow.random().random(),
            workflow.new_random().random(),
            workflow.new_random("dice").random(),
            workflow.new_random("dice").random(),
            workflow.random_seed() == workflow.info().execution_id.int,
            workflow.is_failure_exception(ApplicationError("x")),
            workflow.is_failure_exception(KeyError("x")),
            workflow.get_current_details(),
        ]
        seen.append(found)
        await workflow.sleep(DAY, event_groups=[workflow.create_event_group("night", label="Night")])
        return found

    with WorkflowEnvironment.start_time_skipping(start_at=START) as env:
        snippet(asks)
        handle = env.start("flows_snippet", "asks", None)
        live_runs.forget()
        assert handle.result() == seen[0] == seen[1]
    found = seen[0]
    first = uuid.UUID(found[0])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first.int >> 80 == int(START.timestamp() * 1000)
    assert found[4] == found[5] != found[3]
    assert found[6:] == [True, True, False, "at work"]


def test_an_activity_reaches_the_client_and_knows_its_priority() -> None:
    async def ask(_order: Order) -> Order:
        count = await activity.client().count_workflows("WorkflowType = 'testing_order'")
        converter = activity.payload_converter()
        assert converter.from_payload(converter.to_payload(Order(1)), Order) == Order(1)
        return Order(count.count * 10 + (activity.info().priority.priority_key or 0))

    with WorkflowEnvironment.start_time_skipping(activities=[charge]) as env:
        env.replace_activities({"testing_charge": ask})
        assert env.run(OrderWorkflow.run, Order(7)) == Order(10)
    with pytest.raises(RuntimeError, match="not in an activity"):
        activity.client()


# -- dynamic definitions -----------------------------------------------------------------------------------------------


@workflow.defn(dynamic=True)
class AnyWorkflow:
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        order = workflow.payload_converter().from_payload(args[0].payload, Order)
        plain = await workflow.execute_activity("testing_unheard_of", args=[order, 2], start_to_close_timeout=LIMIT)
        grouped = await workflow.group(
            *(
                workflow.step(name, n, start_to_close_timeout=LIMIT)
                for n, name in enumerate(("testing_a", "flows_echo"))
            )
        )
        return [workflow.info().workflow_type, len(args), plain, *grouped]


@activity.defn(dynamic=True)
def any_activity(args: Sequence[RawValue]) -> Any:
    return [activity.info().activity_type, [activity.payload_converter().from_payload(arg.payload) for arg in args]]


def test_dynamic_definitions_take_what_no_other_does() -> None:
    with WorkflowEnvironment.start_time_skipping(activities=[any_activity], workflows=[AnyWorkflow]) as env:
        result = env.run("testing_anything", Order(7), "more")
        assert result[:2] == ["testing_anything", 2]
        assert result[2] == ["testing_unheard_of", [{"number": 7, "paid_at": None}, 2]]
        assert result[3:] == [["testing_a", [0]], 1]
        assert env.run("flows_script", ["call", "echo", 1]) == 1
        with pytest.raises(ValueError, match="started by a name"):
            env.start(AnyWorkflow.run, 1)
        assert "" not in [definition.name for definition in (*registry.activities(), *registry.workflows())]
    with pytest.raises(registry.UnknownName):
        registry.activity("testing_unheard_of")


def test_dynamic_definitions_have_no_name_and_one_argument() -> None:
    with pytest.raises(ValueError, match="either a name or dynamic=True"):
        activity.defn(name="x", dynamic=True)(any_activity)
    with pytest.raises(ValueError, match=r"takes one argument, \(args: Sequence\[RawValue\]\)"):
        activity.defn(dynamic=True)(stamp)
