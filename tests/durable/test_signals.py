"""Signals: none lost, order kept, before, during and at the end of a run."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from automation import clock
from automation.durable import control, hooks, inbox, payloads, registry, workflow
from automation.durable.common import RawValue
from automation.durable.exceptions import ApplicationError
from automation.errors import Conflict
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, outcome, snippet
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row


@workflow.defn(name="signals_collector")
class Collector:
    """Collects what is sent until it is told to stop."""

    @workflow.init
    def __init__(self, pause: float = 0.0) -> None:
        self.items: list[Any] = []
        self.stopped = False

    @workflow.run
    async def run(self, pause: float = 0.0) -> list[Any]:
        self.items.append("run")
        if pause:
            await asyncio.sleep(pause)
            self.items.append("slept")
        await workflow.wait_condition(lambda: self.stopped)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.items

    @workflow.signal
    def add(self, item: Any) -> None:
        self.items.append(item)

    @workflow.signal(name="add-slowly")
    async def add_slowly(self, item: Any) -> None:
        self.items.append(f"{item}…")
        self.items.append(await call("echo", item))

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True


registry.register_workflow(Collector)


def send(execution: uuid.UUID, name: str, *args: Any) -> None:
    assert inbox.signal(execution, name, payloads.encode(list(args))) is not None


def test_it_handles_signals_that_came_before_the_run_first(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector")
    send(execution, "add", 1)
    send(execution, "add", 2)
    carrier.drain()
    send(execution, "add", 3)
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == [1, 2, "run", 3]


def test_a_replay_tells_early_signals_from_later_ones(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector")
    send(execution, "add", 1)
    carrier.drain()
    carrier.restart_workers()
    send(execution, "add", 2)  # the first thing after the run began
    carrier.drain()
    carrier.restart_workers()
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == [1, "run", 2]


def test_an_advance_that_died_does_not_make_later_signals_early(carrier: Carrier) -> None:
    """The first advance is lost with nothing written; what comes after it began is no early signal."""
    execution = carrier.start("signals_collector")
    carrier.under(Faults(kill=lambda point: point == "before append", budget=1))
    carrier.drain()
    carrier.under(Faults())
    assert row(execution).started_at is not None
    send(execution, "add", 1)
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == ["run", 1]


def test_it_takes_signals_during_a_sleep_and_several_at_once(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector", 3600.0)
    carrier.drain()
    send(execution, "add", 1)
    carrier.drain()
    for number in (2, 3, 4):
        send(execution, "add", number)
    carrier.drain()
    assert row(execution).inbox_seq == 4
    clock.shift(3600)
    carrier.sweep()
    carrier.drain()
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == ["run", 1, 2, 3, 4, "slept"]


def test_it_feeds_many_waiting_signals_with_one_advance(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector")
    carrier.drain()
    with carrier.broker_away():
        for number in range(200):
            send(execution, "add", number)
    before = row(execution).epoch
    carrier.forget_messages()
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == ["run", *range(200)]
    assert row(execution).epoch == before + 1


def test_it_keeps_the_order_of_the_inbox_whatever_the_senders_clocks_say(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector")
    carrier.drain()
    for number in range(3):
        send(execution, "add", number)
    steps = ExecutionStep.objects.filter(execution_id=execution, seq__lt=0)
    late = clock.now() + dt.timedelta(seconds=1)
    steps.filter(seq=-1).update(created_at=late, completed_at=late)
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == ["run", 0, 1, 2]


def test_what_comes_while_a_worker_decides_is_read_by_it(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """To wake another one would only take its decision from it."""
    execution = carrier.start("signals_collector")
    carrier.drain()
    left = iter(range(1, 40))
    point = carrier.point

    def signal_before_append(name: str) -> None:
        if name == "before append" and (number := next(left, None)) is not None:
            send(execution, "add", number)
        point(name)

    monkeypatch.setattr(carrier, "point", signal_before_append)
    monkeypatch.setattr("automation.durable.visits.READ_ON_SECONDS", 0.0)
    published = len(carrier.published)
    send(execution, "add", 0)
    carrier.deliver_one()
    assert len(carrier.published) == published + 1
    assert not ExecutionStep.objects.filter(execution_id=execution, resolved_seq=None).exists()
    monkeypatch.undo()
    send(execution, "stop")
    carrier.finish(execution)
    assert result(execution) == ["run", *range(40)]


def test_what_comes_while_a_worker_runs_a_step_wakes_another(carrier: Carrier) -> None:
    seen: list[str] = []

    @snippet
    async def working(_data: Any) -> list[Any]:
        got: list[Any] = []
        workflow.set_signal_handler("add", got.append)
        await call("echo", 1)
        return got

    def during(name: str, execution: uuid.UUID, seq: int, run: Any) -> Any:
        send(execution, "add", "meanwhile")
        carrier.deliver_one()
        seen.extend(
            ExecutionStep.objects.filter(execution_id=execution, seq=-1, resolved_seq=1).values_list("name", flat=True)
        )
        return run()

    before = hooks.step_hook()
    hooks.on_step(during)
    try:
        execution = begun(carrier, working)
    finally:
        hooks.on_step(before)
    carrier.finish(execution)
    assert seen == ["add"]
    assert result(execution) == ["meanwhile"]


def test_async_handlers_run_as_tasks_and_survive_restarts(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector")
    carrier.drain()
    send(execution, "add-slowly", "a")
    send(execution, "add-slowly", "b")
    send(execution, "stop")
    carrier.restart_workers()
    carrier.finish(execution)
    assert result(execution)[:3] == ["run", "a…", "b…"]
    assert sorted(result(execution)[3:]) == ["a", "b"]


@pytest.mark.parametrize("seed", range(6))
def test_no_signal_is_lost_whatever_goes_wrong(carrier: Carrier, seed: int) -> None:
    carrier.under(Faults(order="random", copies=2, loss=0.2, deaths=0.03, interleaving=0.3, budget=30, seed=seed))
    execution = carrier.start("signals_collector", 40.0)
    for number in range(12):
        send(execution, "add" if number % 3 else "add-slowly", number)
        for _ in range(number % 4):
            carrier.deliver_one()
    carrier.under(Faults(order="random", copies=2, loss=0.2, deaths=0.03, interleaving=0.3, budget=30, seed=seed + 99))
    send(execution, "stop")
    carrier.finish(execution)
    seen = [item for item in result(execution) if isinstance(item, int) and item % 3]
    assert seen == [number for number in range(12) if number % 3]
    slow = [item for item in result(execution) if isinstance(item, int) and not item % 3]
    assert sorted(slow) == [0, 3, 6, 9]


def test_a_signal_moves_the_deadline_of_a_sleeping_timer(carrier: Carrier) -> None:
    """Scenario 12: it wakes at the new time only."""
    execution = carrier.start("signals_deadline", clock.timestamp() + 7200)
    carrier.drain()
    begin = clock.timestamp()
    send(execution, "move", begin + 10_000)
    carrier.drain()
    clock.shift(7300)
    carrier.sweep()
    carrier.drain()
    assert row(execution).status == ExecutionStatus.RUNNING
    carrier.finish(execution)
    woke = result(execution)
    assert begin + 10_000 <= woke < begin + 10_060


@workflow.defn(name="signals_deadline")
class Deadline:
    """An updatable timer."""

    @workflow.init
    def __init__(self, at: float) -> None:
        self.at = at

    @workflow.run
    async def run(self, at: float) -> float:
        while True:
            target = self.at
            try:
                await workflow.wait_condition(
                    lambda target=target: self.at != target, timeout=dt.timedelta(seconds=target - workflow.time())
                )
            except TimeoutError:
                return workflow.time()

    @workflow.signal
    def move(self, at: float) -> None:
        self.at = at


registry.register_workflow(Deadline)


def test_a_wait_with_a_timeout_in_a_loop_times_out_each_round(carrier: Carrier) -> None:
    """Scenario 23."""

    @snippet
    async def rounds(_data: Any) -> list[float]:
        began, times = workflow.time(), []
        for _ in range(5):
            try:
                await workflow.wait_condition(lambda: False, timeout=60)
            except asyncio.TimeoutError:  # noqa: UP041  (as ported code writes it)
                times.append(round(workflow.time() - began))
        return times

    assert outcome(carrier, rounds) == [60, 120, 180, 240, 300]


def test_a_signal_without_a_handler_waits_for_one(carrier: Carrier) -> None:
    @snippet
    async def later(_data: Any) -> list[Any]:
        got: list[Any] = []
        await call("echo", 1)
        workflow.set_signal_handler("late", got.append)
        await workflow.wait_condition(lambda: len(got) == 2)
        assert workflow.get_signal_handler("late") is not None
        assert workflow.get_signal_handler("other") is None
        return got

    execution = carrier.start("flows_snippet", "later")
    send(execution, "late", "a")
    send(execution, "late", "b")
    carrier.finish(execution)
    assert result(execution) == ["a", "b"]


def test_a_dynamic_handler_takes_what_no_other_one_does(carrier: Carrier) -> None:
    @snippet
    async def dynamic(_data: Any) -> list[Any]:
        got: list[Any] = []

        def take(name: str, args: Sequence[RawValue]) -> None:
            got.append([name, *(workflow.payload_converter().from_payload(one.payload) for one in args)])

        workflow.set_dynamic_signal_handler(take)
        workflow.set_signal_handler("known", got.append)
        await workflow.wait_condition(lambda: len(got) == 2)
        return got

    execution = begun(carrier, dynamic)
    send(execution, "unknown", 1, "two")
    send(execution, "known", 3)
    carrier.finish(execution)
    assert result(execution) == [["unknown", 1, "two"], 3]


def test_a_dynamic_setter_wants_two_parameters() -> None:
    with pytest.raises(ValueError, match="takes \\(self, name: str, args"):

        class Wrong:
            @workflow.signal(dynamic=True)
            def any(self, name: str) -> None: ...


def test_a_signal_that_fails_fails_the_workflow(carrier: Carrier) -> None:
    @snippet
    async def failing(_data: Any) -> None:
        def fail() -> None:
            raise ApplicationError("no such thing", type="Nothing")

        workflow.set_signal_handler("fail", fail)
        await workflow.wait_condition(lambda: False)

    execution = begun(carrier, failing)
    send(execution, "fail")
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.FAILED
    assert "no such thing" in row(execution).error_message


def test_a_defect_in_a_handler_parks(carrier: Carrier) -> None:
    @snippet
    async def defect(_data: Any) -> None:
        workflow.set_signal_handler("fail", lambda: {}["nothing"])
        await workflow.wait_condition(lambda: False)

    execution = begun(carrier, defect)
    send(execution, "fail")
    carrier.drain()
    assert row(execution).status == ExecutionStatus.PARKED
    assert "signal 'fail'" in row(execution).error_message
    send(execution, "fail")  # waits with it


def test_a_signal_with_unreadable_arguments_is_dropped(carrier: Carrier) -> None:
    @snippet
    async def typed(_data: Any) -> list[Any]:
        got: list[Any] = []

        def take(at: dt.datetime) -> None:
            got.append(at.year)

        workflow.set_signal_handler("at", take)
        await workflow.wait_condition(lambda: bool(got))
        return got

    execution = begun(carrier, typed)
    send(execution, "at", "not a time")
    send(execution, "at", "2027-01-02T03:04:05+00:00")
    carrier.finish(execution)
    assert result(execution) == [2027]


def test_an_ended_execution_takes_no_signal(carrier: Carrier) -> None:
    execution = carrier.start("signals_collector")
    carrier.drain()
    control.terminate(execution)
    assert inbox.signal(execution, "add", "[1]") is None
    with pytest.raises(Conflict, match="ended already"):
        control.cancel(execution)


def test_an_early_signal_leaves_a_planned_time_alone(carrier: Carrier) -> None:
    at = clock.now() + dt.timedelta(days=2)
    execution = carrier.start("signals_collector", scheduled_for=at)
    due = row(execution).due
    send(execution, "add", 1)
    assert row(execution).due == due
    send(execution, "stop")
    carrier.finish(execution)
    started = row(execution).started_at
    assert started is not None
    assert at <= started < at + dt.timedelta(seconds=10)
    assert result(execution) == [1, "run"]


def test_it_warns_of_handlers_that_are_at_work_at_the_end(carrier: Carrier) -> None:
    @snippet
    async def hasty(_data: Any) -> None:
        async def slow() -> None:
            await asyncio.sleep(3600)

        workflow.set_signal_handler("slow", slow)
        await call("echo", 1)
        await workflow.wait_condition(lambda: not workflow.all_handlers_finished())

    execution = begun(carrier, hasty)
    send(execution, "slow")
    with pytest.warns(workflow.UnfinishedSignalHandlersWarning, match="slow"):
        carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.COMPLETED


def test_an_override_must_be_decorated_too() -> None:
    with pytest.raises(ValueError, match="overrides a signal handler"):

        @workflow.defn(name="signals_override")
        class Override(Collector):
            def add(self, item: Any) -> None: ...

            @workflow.run
            async def run(self, pause: float = 0.0) -> list[Any]:
                return []


def test_two_handlers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two signal handlers for 'same'"):

        @workflow.defn(name="signals_twice")
        class Twice:
            @workflow.run
            async def run(self) -> None: ...

            @workflow.signal(name="same")
            def one(self) -> None: ...

            @workflow.signal(name="same")
            def other(self) -> None: ...


# -- what goes with them: memo, search attributes, info ----------------------------------------------------------------


def test_what_the_code_notes_is_in_the_row_and_the_same_in_every_replay(carrier: Carrier) -> None:
    from automation.durable import memos
    from automation.durable.common import SearchAttributeKey

    number, city = SearchAttributeKey.for_int("Number"), SearchAttributeKey.for_keyword("City")

    @snippet
    async def noting(_data: Any) -> list[Any]:
        seen = [dict(workflow.memo()), workflow.info().typed_search_attributes.get(number)]
        workflow.upsert_memo({"stage": "one", "who": None})
        workflow.upsert_search_attributes([number.value_set(7), city.value_set("Bern")])
        await call("echo", 1)
        seen.append(workflow.memo_value("stage"))
        workflow.upsert_search_attributes([city.value_unset()])
        workflow.upsert_memo({"stage": "two"})
        await call("echo", 2)
        seen.append(workflow.info().typed_search_attributes[number])
        return seen

    execution = carrier.start(
        "flows_snippet", "noting", memo={"who": "Ann", "kept": 1}, search_attributes={"Number": 3}
    )
    while carrier.deliver_one():
        carrier.restart_workers()
    carrier.finish(execution)
    assert result(execution) == [{"who": "Ann", "kept": 1}, 3, "one", 7]
    kept = WorkflowExecution.objects.get(id=execution)
    assert memos.decode(kept.memo) == {"kept": 1, "stage": "two"}
    assert kept.search_attributes == {"Number": 7}


def test_it_knows_how_long_its_history_is(carrier: Carrier) -> None:
    @snippet
    async def counting(_data: Any) -> list[int]:
        info = workflow.info()
        lengths = [info.get_current_history_length()]
        for number in range(3):
            await call("echo", number)
            lengths.append(info.get_current_history_length())
        assert not info.is_continue_as_new_suggested()
        return lengths

    assert outcome(carrier, counting) == [0, 2, 4, 6]


def test_waiting_for_several_keeps_the_order_given(carrier: Carrier) -> None:
    @snippet
    async def several(_data: Any) -> list[Any]:
        tasks = [asyncio.create_task(asyncio.sleep(wait, wait)) for wait in (30, 10, 20)]
        done, pending = await workflow.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = [task.result() for task in done]
        assert pending == [tasks[0], tasks[2]]
        return [first, [await one for one in workflow.as_completed(tasks)]]

    assert outcome(carrier, several) == [[10], [10, 20, 30]]


def test_as_completed_stops_at_its_time(carrier: Carrier) -> None:
    @snippet
    async def limited(_data: Any) -> list[Any]:
        got: list[Any] = []
        tasks = [asyncio.create_task(asyncio.sleep(wait, wait)) for wait in (10, 100)]
        try:
            for one in workflow.as_completed(tasks, timeout=50):
                got.append(await one)
        except TimeoutError:
            got.append("timeout")
        return got

    assert outcome(carrier, limited) == [10, "timeout"]


def test_a_stream_of_signals_puts_an_end_off_and_builds_nothing_up(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the code comes to its end another signal is there: the visit reads it and comes back, and goes no
    deeper for that (at some depth Python would refuse, and the execution would be parked for it)."""
    monkeypatch.setattr("automation.durable.visits.READ_ON_SECONDS", 0.0)
    depths: list[int] = []

    async def ends(_data: Any) -> Any:
        heard: list[int] = []
        workflow.set_signal_handler("say", heard.append)
        await workflow.wait_condition(lambda: bool(heard))
        return len(heard)

    def comes(point: str) -> bool:
        if point == "before append" and 0 < len(depths) <= 6:
            inbox.signal(execution, "say", payloads.encode([1]))
        if point == "before take_over":
            depths.append(len(inspect.stack(0)))
        return False

    execution = begun(carrier, ends)
    carrier.under(Faults(kill=comes))
    inbox.signal(execution, "say", payloads.encode([1]))
    carrier.drain()
    assert result(execution) == 1
    assert row(execution).steps.filter(seq__lt=0).exclude(resolved_seq=None).count() == 7
    assert len(depths) == 7
    assert len(set(depths[1:])) == 1, depths
