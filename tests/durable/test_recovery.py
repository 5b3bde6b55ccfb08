"""Sweeps: each kind of row that can be left behind is found, once, in measured batches."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import threading
import uuid
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from automation import clock
from automation.durable import control, recovery, recovery_steps, starts, workflow
from automation.durable.common import RetryPolicy
from automation.models import Alert, ExecutionStatus, ExecutionStep, Severity, StepStatus, WorkflowExecution
from tests.durable.snippets import begun, outcome, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row


async def one(_data: Any) -> Any:
    return await call("echo", "one", retry_policy=RetryPolicy())


async def two(_data: Any) -> Any:
    return [await call("echo", "one"), await call("elsewhere", "two")]


def dead_at(point: str) -> Faults:
    """The first worker that comes to this point dies there."""
    died: list[str] = []

    def kill(here: str) -> bool:
        if here == point and not died:
            died.append(here)
            return True
        return False

    return Faults(kill=kill)


# -- each category -----------------------------------------------------------------------------------------------------


def test_it_finds_an_execution_whose_message_was_lost(carrier: Carrier) -> None:
    snippet(one)
    with carrier.broker_away():
        execution = carrier.start("flows_snippet", "one")
    assert carrier.messages == []
    assert carrier.sweep()["executions"] == 0  # not before its time
    clock.shift(django_settings.DURABLE_REPUBLISH_MIN + 0.1)
    assert carrier.sweep()["executions"] == 1
    carrier.drain()
    assert result(execution) == "one"


def test_it_finds_a_step_whose_message_was_lost(carrier: Carrier) -> None:
    carrier.under(Faults(lose=lambda message: message.task == "flows_elsewhere" and not carrier.sweeps))
    execution = begun(carrier, two)
    clock.shift(django_settings.DURABLE_REPUBLISH_MIN + 0.1)
    assert carrier.sweep()["steps"] == 1
    carrier.drain()
    assert result(execution) == ["one", "two"]


async def everything(_data: Any) -> Any:
    first = await call("echo", 1)
    second = await call("echo", 2)
    group = await workflow.group(workflow.step("flows_echo", 3), workflow.step("flows_elsewhere", 4))
    await asyncio.sleep(1)
    return [first, second, group, await call("echo", 5)]


def test_it_recovers_a_death_at_every_point(carrier: Carrier) -> None:
    """Before and after each statement and each publish, and around each attempt."""
    quiet = begun(carrier, everything)
    carrier.finish(quiet)
    points = sorted(carrier.points)
    assert {"after take_over", "before carry", "after append", "before flows_echo", "after fire"} <= set(points)
    for point in points:
        carrier.deaths.clear()
        activities.journal.clear()
        execution = carrier.under(dead_at(point)).start("flows_snippet", "everything")
        carrier.settle(execution)
        assert carrier.deaths == [point] or point == "before publish"
        carrier.finish(execution, days=0.01)
        assert result(execution) == [1, 2, [3, 4], 5], point
        assert len([attempt for _, _, attempt in activities.journal if attempt > 1]) <= 2, point


def test_a_lost_step_starts_again_after_a_lease_not_after_the_visibility_timeout(carrier: Carrier) -> None:
    execution = begun(carrier.under(dead_at("before flows_echo")), one)
    before = clock.timestamp()
    carrier.finish(execution)
    begun_again = row(execution).steps.get().started_at
    assert begun_again is not None
    assert begun_again.timestamp() - before < django_settings.DURABLE_LEASE + 1


def test_one_sweep_brings_an_advance_back_whose_worker_died(carrier: Carrier) -> None:
    execution = begun(carrier.under(dead_at("after take_over")), one)
    clock.shift(django_settings.DURABLE_LEASE + 1)
    carrier.sweep()
    carrier.drain()  # the message that it sent is for the execution as it is now
    assert result(execution) == "one"


def test_it_leaves_a_slow_but_living_worker_alone(carrier: Carrier) -> None:
    def wait(point: str) -> bool:
        if point == "after flows_echo":
            for _ in range(4):
                clock.shift(django_settings.DURABLE_LEASE * 2)
                carrier.sweep()
                carrier._deliver_next()
        return False

    carrier.under(Faults(kill=wait))
    assert outcome(carrier, one) == "one"
    assert len(activities.journal) == 1


def test_it_ends_an_attempt_that_takes_too_long_and_refuses_its_outcome(carrier: Carrier) -> None:
    late: list[str] = []

    def wait(point: str) -> bool:
        if point == "after flows_echo" and not late:
            late.append(point)
            clock.shift(60)
            carrier.sweep()
        return False

    carrier.under(Faults(kill=wait))
    execution = begun(carrier, one)
    step = row(execution).steps.get()
    assert step.status == StepStatus.PENDING  # it waits for its retry; the late outcome was not written
    assert "took longer than 20 s" in step.failure
    carrier.finish(execution)
    assert result(execution) == "one"
    assert [attempt for _, _, attempt in activities.journal] == [1, 2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"start_to_close_timeout": dt.timedelta(seconds=5)}, "the attempt took longer than 5 s"),
        (
            {"start_to_close_timeout": dt.timedelta(hours=1), "heartbeat_timeout": dt.timedelta(seconds=3)},
            "no heartbeat for 3 s",
        ),
        (
            {"start_to_close_timeout": None, "schedule_to_close_timeout": dt.timedelta(seconds=7)},
            "all attempts together took longer than 7 s",
        ),
    ],
)
def test_each_time_limit_holds_for_a_worker_that_hangs(carrier: Carrier, options: dict[str, Any], text: str) -> None:
    async def hangs(_data: Any) -> Any:
        await call("echo", 1, retry_policy=RetryPolicy(maximum_attempts=1), **options)

    def wait(point: str) -> bool:
        if point == "before flows_echo":
            clock.shift(30)
            carrier.sweep()
        return False

    execution = begun(carrier.under(Faults(kill=wait)), hangs)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.FAILED
    assert text in row(execution).error_message


def test_schedule_to_start_holds_where_no_worker_takes_it(carrier: Carrier) -> None:
    async def nobody(_data: Any) -> Any:
        await call("echo", 1, task_queue="no-such-queue", schedule_to_start_timeout=dt.timedelta(seconds=9))

    carrier.under(Faults(lose=lambda message: message.queue == "no-such-queue"))
    execution = begun(carrier, nobody)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.FAILED
    assert "no worker took it within 9 s" in row(execution).error_message


# -- measure -----------------------------------------------------------------------------------------------------------


def test_a_row_is_published_ever_more_rarely(carrier: Carrier) -> None:
    """A long queue, in which messages wait for minutes, is not flooded with duplicates."""
    snippet(one)
    execution = carrier.start("flows_snippet", "one")
    carrier.forget_messages()
    began = clock.timestamp()
    times = []
    for _ in range(600):
        clock.shift(0.25)
        carrier.sweep()
        if carrier.messages:
            times.append(clock.timestamp() - began)
            carrier.forget_messages()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= django_settings.DURABLE_REPUBLISH_MIN - 0.3
    assert gaps == sorted(gaps) or max(gaps) - gaps[-1] < 0.6
    assert max(gaps) <= django_settings.DURABLE_REPUBLISH_MAX + 0.6
    assert len(times) < 30
    assert row(execution).status == ExecutionStatus.PENDING


def test_a_sweep_takes_bounded_batches(carrier: Carrier, settings: Any, monkeypatch: Any) -> None:
    settings.DURABLE_SWEEP_BATCH = 5
    monkeypatch.setattr("automation.durable.timers.MAX_BATCHES", 3)
    snippet(one)
    with carrier.broker_away():
        ids = starts.start_many([starts.NewExecution("flows_snippet", ("one",)) for _ in range(23)])
    clock.shift(django_settings.DURABLE_REPUBLISH_MIN + 0.1)
    assert carrier.sweep()["executions"] == 15
    assert carrier.sweep()["executions"] == 8
    carrier.finish(*ids)


def test_many_executions_travel_in_one_message(carrier: Carrier) -> None:
    async def sleeps(_data: Any) -> Any:
        await asyncio.sleep(3600 - workflow.time() % 1)

    snippet(sleeps)
    ids = starts.start_many([starts.NewExecution("flows_snippet", ("sleeps",)) for _ in range(50)])
    carrier.drain()
    before = len(carrier.published)
    carrier.finish(*ids)
    assert len(carrier.published) - before <= 6


def test_a_broken_row_does_not_keep_the_others(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet(two)
    carrier.under(Faults(kill=lambda point: point == "before flows_echo" and len(carrier.deaths) < 3))
    ids = [carrier.start("flows_snippet", "two") for _ in range(3)]
    carrier.drain()
    assert len(carrier.deaths) == 3
    broken = row(ids[1]).steps.get()
    ExecutionStep.objects.filter(id=broken.id).update(options='{"no_such_option":1}')
    clock.shift(django_settings.DURABLE_LEASE + 0.1)
    carrier.sweep()
    carrier.drain()
    clock.shift(30)
    carrier.sweep()
    carrier.settle()
    assert [result(ids[0]), result(ids[2])] == [["one", "two"]] * 2
    assert row(ids[1]).status == ExecutionStatus.RUNNING
    monkeypatch.undo()
    ExecutionStep.objects.filter(id=broken.id).update(options=broken.options)
    carrier.finish(*ids)
    assert result(ids[1]) == ["one", "two"]


def test_one_sweep_that_raises_does_not_keep_the_others(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(_now: dt.datetime) -> int:
        raise RuntimeError("no")

    monkeypatch.setitem(recovery._registered, "bad", raises)
    report = recovery.sweep()
    assert report["bad"] == -1
    assert report["steps"] == 0


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_two_sweeps_at_once_publish_each_row_once(carrier: Carrier) -> None:
    snippet(one)
    with carrier.broker_away():
        ids = starts.start_many([starts.NewExecution("flows_snippet", ("one",)) for _ in range(60)])
    clock.shift(django_settings.DURABLE_REPUBLISH_MIN + 0.1)
    barrier = threading.Barrier(4)

    def sweep() -> None:
        try:
            barrier.wait()
            recovery.sweep_executions(clock.now())
            recovery_steps.sweep(clock.now())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = [execution for message in carrier.messages for execution, _ in message.args[0]]
    assert sorted(sent) == sorted(map(str, ids))
    carrier.finish(*ids)


# -- dead letters ------------------------------------------------------------------------------------------------------


def poisoned(carrier: Carrier) -> uuid.UUID:
    carrier.under(Faults(kill=lambda point: point == "before flows_echo"))
    execution = begun(carrier, one)
    carrier.finish(execution)
    return execution


def test_a_poison_step_ends_as_a_dead_letter_with_one_alert(carrier: Carrier) -> None:
    execution = poisoned(carrier)
    bound = django_settings.DURABLE_MAX_RECOVERIES + 1
    assert len(carrier.deaths) == bound
    assert row(execution).status == ExecutionStatus.DEAD_LETTER
    assert f"step #1 'flows_echo' lost its worker {bound} times" in row(execution).error_message
    assert steps(execution) == [(1, "flows_echo", "dead_letter")]
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.execution_id) == ("dead_letter", Severity.CRITICAL, execution)
    for _ in range(3):
        clock.shift(60)
        carrier.sweep()
        carrier.drain()
    assert Alert.objects.count() == 1
    assert len(carrier.deaths) == bound


def test_the_pauses_between_recoveries_grow(carrier: Carrier) -> None:
    times: list[float] = []

    def kill(point: str) -> bool:
        if point == "before flows_echo":
            times.append(clock.timestamp())
            return True
        return False

    execution = begun(carrier.under(Faults(kill=kill)), one)
    carrier.finish(execution)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[-1] > 2 * gaps[0]


def test_a_dead_letter_can_be_redriven(carrier: Carrier) -> None:
    execution = poisoned(carrier)
    carrier.under(Faults())
    control.redrive(execution)
    carrier.finish(execution)
    assert result(execution) == "one"
    assert Alert.objects.get().closed_at is not None


def test_a_redriven_dead_letter_can_die_again(carrier: Carrier) -> None:
    execution = poisoned(carrier)
    control.redrive(execution)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.DEAD_LETTER
    assert Alert.objects.filter(closed_at=None).count() == 1
    assert Alert.objects.count() == 2


def test_an_advance_that_kills_its_worker_ends_as_a_dead_letter(carrier: Carrier) -> None:
    carrier.under(Faults(kill=lambda point: point == "after take_over"))
    execution = begun(carrier, one)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.DEAD_LETTER
    assert "its advance lost its worker" in row(execution).error_message
    carrier.under(Faults())
    control.redrive(execution)
    carrier.finish(execution)
    assert result(execution) == "one"


def test_a_visit_that_raises_each_time_ends_as_a_dead_letter(carrier: Carrier) -> None:
    """Nobody dies: the engine itself, or what hooks into it, has a defect."""

    def raise_(point: str) -> bool:
        if point == "after flows_echo":
            raise RuntimeError("a defect")
        return False

    carrier.under(Faults(kill=raise_))
    execution = begun(carrier, one)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.DEAD_LETTER
    assert len(carrier.errors) == django_settings.DURABLE_MAX_RECOVERIES + 1


def test_others_are_unharmed_by_a_poison_step(carrier: Carrier) -> None:
    async def poison(_data: Any) -> Any:
        await call("nothing")

    snippet(one)
    carrier.under(Faults(kill=lambda point: point == "before flows_nothing"))
    bad = begun(carrier, poison)
    good = [carrier.start("flows_snippet", "one") for _ in range(5)]
    carrier.finish()
    assert [result(id_) for id_ in good] == ["one"] * 5
    assert row(bad).status == ExecutionStatus.DEAD_LETTER
    assert WorkflowExecution.objects.filter(status=ExecutionStatus.DEAD_LETTER).count() == 1


def test_a_sweep_asks_few_queries_however_many_rows_there_are(carrier: Carrier) -> None:
    snippet(one)
    with carrier.broker_away():
        starts.start_many([starts.NewExecution("flows_snippet", ("one",)) for _ in range(300)])
    clock.shift(django_settings.DURABLE_REPUBLISH_MIN + 0.1)
    with CaptureQueriesContext(connection) as queries:
        carrier.sweep()
    assert len(queries) < 30
    carrier.forget_messages()
    WorkflowExecution.objects.all().delete()
