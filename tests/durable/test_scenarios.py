"""Scenarios, each as its sentence says it, that no other test holds so exactly. docs/scenarios.md names them all."""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import re
import time
from pathlib import Path
from typing import Any

import pytest

from automation import clock
from automation.durable import activity, control, inbox, live_runs, payloads, updates, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, NondeterminismError, SkippedError
from automation.durable.replay import Run
from automation.durable.testing import WorkflowEnvironment
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, ended, outcome, snippet
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row

START = dt.datetime(2027, 3, 1, 9, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@activity.defn(name="scenario_stamp")
def stamp(number: int) -> str:
    return clock.now().isoformat()


# -- 1: an activity fails N times, then succeeds -----------------------------------------------------------------------


@pytest.mark.parametrize("failures", [1, 4, 7])
def test_1_attempts_and_their_times_follow_the_policy_and_there_is_one_result(failures: int) -> None:
    at: list[float] = []

    def flaky(number: int) -> str:
        at.append((clock.now() - START).total_seconds())
        if len(at) <= failures:
            raise ConnectionError("away")
        return f"{number} after {activity.info().attempt}"

    policy = RetryPolicy(initial_interval=DAY / 24, backoff_coefficient=3, maximum_interval=DAY, maximum_attempts=9)

    @workflow.defn(name="scenario_1")
    class Stubborn:
        @workflow.run
        async def run(self) -> str:
            return str(
                await workflow.execute_activity(stamp, 1, start_to_close_timeout=DAY, retry_policy=policy),
            )

    with WorkflowEnvironment.start_time_skipping(
        workflows=[Stubborn], activities={"scenario_stamp": flaky}, start_at=START
    ) as env:
        handle = env.start(Stubborn.run)
        assert handle.result() == f"1 after {failures + 1}"
        expected = [0.0]
        for number in range(failures):
            expected.append(expected[-1] + min(3600.0 * 3**number, 86_400.0))
        assert at == expected
        (step,) = handle.steps
        assert (step.status, step.attempt) == ("completed", failures + 1)


# -- 2: five under gather ----------------------------------------------------------------------------------------------


def test_2_five_under_gather_come_back_in_order_whatever_order_they_end_in(carrier: Carrier) -> None:
    async def five(_data: Any) -> Any:
        return await asyncio.gather(
            call("flaky", 0, 2), call("elsewhere", 1), call("echo", 2), call("flaky", 3, 1), call("elsewhere", 4)
        )

    carrier.under(Faults(order="lifo"))
    execution = ended(carrier, five)
    assert result(execution.id) == [0, 1, 2, 3, 4]
    order = list(execution.steps.order_by("resolved_seq").values_list("seq", flat=True))
    assert order != [1, 2, 3, 4, 5], "they ended in another order than they were asked for"


# -- 3: a chain of five, the third fails -------------------------------------------------------------------------------


def test_3_what_follows_a_failure_says_why_it_was_skipped_and_the_error_has_the_cause(carrier: Carrier) -> None:
    async def chain(_data: Any) -> Any:
        names = ["echo", "echo", "refuse", "echo", "echo"]
        members = [workflow.step(f"flows_{name}", number) for number, name in enumerate(names, 1)]
        found = await workflow.chain(*members, return_exceptions=True)
        said = [f"{type(one.cause).__name__}: {one.cause}" if isinstance(one, ActivityError) else one for one in found]
        assert all(isinstance(one.cause, SkippedError) for one in found[3:])
        try:
            await workflow.chain(*members)
        except ActivityError as error:
            said.append(f"{error.activity_type}: {error.cause}")
        return said

    execution = ended(carrier, chain)
    skipped = "SkippedError: skipped: step #3 'flows_refuse' before it ended as failed"
    assert result(execution.id) == [
        *(1, 2, "ApplicationError: Refused: refused 3", skipped, skipped),
        "flows_refuse: Refused: refused 3",
    ]
    assert [name for name, _, _ in activities.journal] == ["flows_echo", "flows_echo", "flows_refuse"] * 2


# -- 4: a child's id is the same in every replay -----------------------------------------------------------------------


def test_4_a_childs_id_is_the_same_in_every_replay(carrier: Carrier) -> None:
    told: set[tuple[str, str | None]] = set()

    async def grows(_data: Any) -> Any:
        await call("echo", "in the middle")
        return workflow.info().workflow_id

    async def parent(_data: Any) -> Any:
        handle = await workflow.start_child_workflow("flows_snippet", args=["grows"])
        told.add((handle.id, handle.first_execution_run_id))
        await call("elsewhere", 1)
        return [handle.id, await handle]

    snippet(grows), snippet(parent)
    execution = carrier.start("flows_snippet", "parent")
    while carrier.deliver_one():
        carrier.restart_workers()  # so that everything is replayed
    carrier.finish(execution)
    (child,) = WorkflowExecution.objects.filter(parent_id=execution)
    assert told == {(child.business_id or str(child.id), str(child.id))}
    assert result(execution) == [child.business_id] * 2


# -- 11: a loop of thirty days -----------------------------------------------------------------------------------------


def test_11_thirty_days_pass_in_a_second_of_this_process_and_at_exact_times() -> None:
    @workflow.defn(name="scenario_11")
    class Daily:
        @workflow.run
        async def run(self) -> list[str]:
            times = []
            for day in range(30):
                await workflow.sleep(DAY)
                times.append(await workflow.execute_activity(stamp, day, start_to_close_timeout=DAY))
            return times

    with WorkflowEnvironment.start_time_skipping(workflows=[Daily], activities=[stamp], start_at=START) as env:
        env.settle()
        spent = time.process_time()  # not the machine's, which may stall
        times = env.run(Daily.run)
        spent = time.process_time() - spent
        assert times == [(START + day * DAY).isoformat() for day in range(1, 31)]
        assert env.now == START + 30 * DAY
    assert spent < 1


# -- 12: a timer whose deadline a signal moves -------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [[10], [0.5], [10, 5], [0.5, 10, 3]], ids=str)
def test_12_it_wakes_at_the_new_time_only(moves: list[float]) -> None:
    """From two hours to so many, one after the other, each half of an hour's quarter apart."""
    woke: list[dt.datetime] = []

    @workflow.defn(name="scenario_12")
    class Alarm:
        def __init__(self) -> None:
            self.at = START + dt.timedelta(hours=2)

        @workflow.run
        async def run(self) -> str:
            while (at := self.at) > workflow.now():
                try:
                    await workflow.wait_condition(lambda: self.at != at, timeout=at - workflow.now())
                except TimeoutError:
                    break
            if not workflow.unsafe.is_replaying():
                woke.append(workflow.now())
            return "awake"

        @workflow.signal
        def move(self, hours: float) -> None:
            self.at = START + dt.timedelta(hours=hours)

    with WorkflowEnvironment.start_time_skipping(workflows=[Alarm], start_at=START) as env:
        handle = env.start(Alarm.run)
        for hours in moves:
            env.skip(dt.timedelta(minutes=7.5))
            handle.signal(Alarm.move, hours)
            env.settle()
        at = START + dt.timedelta(hours=moves[-1])
        env.skip_to(at - dt.timedelta(seconds=1))
        assert handle.status == ExecutionStatus.RUNNING
        assert woke == []
        assert handle.result() == "awake"
        assert woke == [at]
        timers = [step.status for step in handle.steps if step.kind == "timer"]
        assert timers == ["cancelled"] * len(moves) + ["completed"]


# -- 23: a wait with a timeout, in a loop ------------------------------------------------------------------------------


def test_23_each_round_times_out_at_its_own_time() -> None:
    @workflow.defn(name="scenario_23")
    class Rounds:
        @workflow.run
        async def run(self) -> list[str]:
            times = []
            for _ in range(20):
                with pytest.raises(asyncio.TimeoutError):
                    await workflow.wait_condition(lambda: False, timeout=dt.timedelta(hours=1))
                times.append(workflow.now().isoformat())
            return times

    with WorkflowEnvironment.start_time_skipping(workflows=[Rounds], start_at=START) as env:
        hour = dt.timedelta(hours=1)
        assert env.run(Rounds.run) == [(START + number * hour).isoformat() for number in range(1, 21)]


# -- 24: what keeps a step's cost from growing: runs that are left behind catch up -------------------------------------


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long the histories were that were replayed from their beginning."""
    lengths: list[int] = []
    replay = Run.replay

    def counting(self: Run, steps: Any, **options: Any) -> Any:
        steps = list(steps)
        lengths.append(len(steps))
        return replay(self, steps, **options)

    monkeypatch.setattr(Run, "replay", counting)
    return lengths


def test_24_each_worker_replays_an_execution_once_however_they_take_turns(carrier: Carrier, replays: list[int]) -> None:
    async def everything(_data: Any) -> Any:
        seen: list[Any] = []
        workflow.set_signal_handler("see", seen.append)
        for number in range(30):
            assert workflow.patched(f"patch {number}")
            both = [workflow.step("flows_echo", number), workflow.step("flows_elsewhere", number)]
            assert await workflow.group(*both) == [number, number]
            await call("elsewhere" if number % 2 else "echo", number)
            await workflow.execute_local_activity("flows_echo", number, start_to_close_timeout=DAY)
            workflow.upsert_memo({"number": number})
            await asyncio.sleep(number)
            seen.append(workflow.random().random())
        return [len(seen), workflow.memo()["number"], sorted(one for one in seen if isinstance(one, int))]

    execution = begun(carrier, everything)
    for number in range(8):
        assert inbox.signal(execution, "see", payloads.encode([number])) is not None
        clock.shift(20)
        carrier.sweep()
        carrier.drain()
    carrier.finish(execution)
    assert result(execution) == [38, 29, list(range(8))]
    assert row(execution).epoch > 60, "they took it over again and again"
    assert len(replays) == 2, "one for each worker"


def test_24_an_update_that_another_worker_has_answered_is_not_answered_again(carrier: Carrier) -> None:
    async def answers(_data: Any) -> Any:
        done: list[int] = []

        async def work(value: int) -> int:
            await asyncio.sleep(60)
            done.append(value)
            return value + 1

        workflow.set_update_handler("work", work)
        await workflow.wait_condition(lambda: len(done) == 2)
        return done

    execution = begun(carrier, answers)
    with carrier.as_worker(0):
        seqs = [updates.put(execution, "work", "[1]", "one")]
        carrier.messages.clear()
        carrier.visit().executions([(execution, None)])  # the first worker accepts it, and keeps its run
    clock.shift(61)
    with carrier.as_worker(1):
        carrier.sweep()
        carrier.drain()
    steps = ExecutionStep.objects.filter(execution_id=execution, kind="update")
    answered = steps.values_list("status", "output", "completed_at").get()
    assert answered[:2] == ("completed", "2")
    clock.shift(10)
    seqs.append(updates.put(execution, "work", "[2]", "two"))
    carrier.messages.clear()
    carrier.visit().executions([(execution, None)])  # it catches up, and is told of the second
    assert steps.filter(seq=seqs[0]).values_list("status", "output", "completed_at").get() == answered
    carrier.finish(execution)
    assert result(execution) == [1, 2]


def test_24_a_retry_is_no_history_to_catch_up_with(carrier: Carrier, replays: list[int]) -> None:
    once = RetryPolicy(maximum_attempts=1)

    async def breaks(_data: Any) -> Any:
        for number in range(6):
            await call("elsewhere" if number % 2 else "echo", number)
        return await call("flaky", "mended", 1, retry_policy=once, task_queue="third")

    execution = begun(carrier, breaks)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.FAILED
    kept = len(replays)
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == "mended"
    assert len(replays) > kept


def test_24_a_run_with_a_long_history_is_kept_however_long_it_waits(carrier: Carrier, replays: list[int]) -> None:
    async def waits(data: Any) -> Any:
        for number in range(data):
            await call("echo", number)
        await asyncio.sleep(86_400 * 30)
        return "rested"

    short = outcome(carrier, waits, 5)
    assert (short, len(replays)) == ("rested", 1 + 1), "the first takeover, and a replay after thirty days"
    replays.clear()
    carrier.faults = Faults()
    long = begun(carrier, waits, live_runs.WORTH_KEEPING)
    replays.clear()
    carrier.finish(long)
    assert result(long) == "rested"
    assert max(replays, default=0) in (0, live_runs.WORTH_KEEPING + 1), "by the worker that did not have it, at most"


def test_24_a_run_that_fits_no_history_is_not_taken_for_the_codes_fault(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, replays: list[int]
) -> None:
    """Only a replay of all of it decides that code and history do not fit."""

    async def plain(_data: Any) -> Any:
        return [await call("echo" if number % 2 else "elsewhere", number) for number in range(6)]

    def fails(self: Run, steps: Any) -> Any:
        raise NondeterminismError(1, "something", "something else")

    monkeypatch.setattr(Run, "catch_up", fails)
    assert outcome(carrier, plain) == list(range(6))
    assert len(replays) > 2


# -- the table of them -------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scenarios.md"


def _named() -> list[tuple[int, str, str]]:
    """(number, file, test) of each test that the page names."""
    found = []
    for line in PAGE.read_text().splitlines():
        if match := re.match(r"\| (\d+) \|", line):
            for test, path in re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", line):
                found.append((int(match[1]), path, test))
    return found


def test_the_page_of_scenarios_names_tests_that_there_are() -> None:
    named = _named()
    assert {number for number, _, _ in named} == set(range(1, 29)), "each scenario has a test"
    for number, path, test in named:
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert test in functions, f"scenario {number}: {path} has no {test}"
