"""One worker, one message or one clock goes wrong, in real processes."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from automation.durable import payloads, starts
from automation.models import Alert, ExecutionStatus, ExecutionStep, WorkflowExecution
from project.embedded import PostgresServer, RedisServer
from tests.faults.conftest import Orders, StartWorker
from tests.flows.models import Posting
from tests.support.consistency import assert_consistent
from tests.support.processes import Beat
from tests.support.waiting import wait_until


def start(plan: list[Any]) -> uuid.UUID:
    return starts.start_many([starts.NewExecution("flows_script", (plan,))])[0]


def ended(*ids: uuid.UUID, timeout: float = 60) -> list[Any]:
    """The results, once all have completed."""

    def rows() -> list[WorkflowExecution]:
        found = {row.id: row for row in WorkflowExecution.objects.filter(id__in=ids)}
        return [found[id_] for id_ in ids]

    def story() -> str:
        fields = ("seq", "name", "status", "attempt", "due")
        return "; ".join(f"{row.status} {row.error_message} {list(row.steps.values_list(*fields))}" for row in rows())

    wait_until(lambda: all(not row.is_open for row in rows()), timeout, story, interval=0.1)
    assert {row.status for row in rows()} == {ExecutionStatus.COMPLETED}, story()
    return [payloads.decode(row.result) for row in rows()]


@pytest.mark.real
def test_every_message_twice(orders: Orders, worker: StartWorker) -> None:
    worker(env={"WEIR_TEST_DOUBLE_MESSAGES": "1"})
    worker(env={"WEIR_TEST_DOUBLE_MESSAGES": "1"})
    orders.start(15, pause=0.5)
    group = start(["group", *(["enter", str(number)] for number in range(20))])
    orders.wait(60)
    assert ended(group) == [[str(number) for number in range(20)]]
    Posting.objects.filter(key__startswith=str(group)).delete()
    orders.check()
    assert orders.repeated_calls() == 0
    assert not ExecutionStep.objects.filter(attempt__gt=1).exists()


def _restarts(orders: Orders, worker: StartWorker, postgres: PostgresServer, count: int, every: list[float]) -> None:
    worker()
    worker()
    orders.start(count // 2, pause=1.0)
    for position, pause in enumerate(every):
        time.sleep(pause)
        postgres.restart(crash=position % 2 == 0)
        orders.start(count // 2 // len(every))
    orders.wait(120)
    orders.check()


@pytest.mark.real
def test_postgresql_restarts(orders: Orders, worker: StartWorker, postgres: PostgresServer) -> None:
    _restarts(orders, worker, postgres, 16, [0.5, 1.5])


@pytest.mark.faults
def test_postgresql_restarts_again_and_again(orders: Orders, worker: StartWorker, postgres: PostgresServer) -> None:
    _restarts(orders, worker, postgres, 200, [5, 12, 7, 20, 5])


@pytest.mark.real
def test_a_worker_that_stalls_past_its_lease_has_its_outcome_refused(worker: StartWorker) -> None:
    stalled = worker(concurrency=1)
    execution = start(["call", "note_and_sleep", "x", 1.0])
    wait_until(Posting.objects.exists, message="the first attempt")
    stalled.pause()
    other = worker(concurrency=1)
    assert ended(execution) == ["x by attempt 2"]
    stalled.resume()
    wait_until(lambda: "its outcome is refused" in stalled.log_text(), message="the refusal")
    assert ended(execution) == ["x by attempt 2"]
    assert Counter(Posting.objects.values_list("attempt", flat=True)) == {1: 1, 2: 1}
    assert other.is_running
    assert_consistent([execution], swept=False)


@pytest.mark.real
def test_a_poison_activity_is_given_up_and_others_are_unharmed(orders: Orders, worker: StartWorker) -> None:
    worker(env={"DURABLE_MAX_RECOVERIES": "2"})
    poison = start(["call", "poison"])
    orders.start(8)
    orders.wait(60)
    row = wait_until(
        lambda: WorkflowExecution.objects.filter(id=poison, status=ExecutionStatus.DEAD_LETTER).first(),
        40,
        "the dead letter",
    )
    assert "step #1 'flows_poison' lost its worker 3 times" in row.error_message
    assert row.steps.get().attempt == 3
    assert Alert.objects.get().execution_id == poison
    orders.check()


@pytest.mark.real
def test_a_join_happens_once_though_the_chord_s_counters_are_gone(
    worker: StartWorker, redis_server: RedisServer
) -> None:
    worker()
    execution = start(
        ["all", ["group", *(["sleepy", 0.3, number] for number in range(12))], ["call", "enter", "joined"]]
    )
    queues = {settings.WORKFLOW_TASK_QUEUE, settings.WORKFLOW_BACKGROUND_QUEUE, settings.WORKFLOW_CRITICAL_QUEUE}
    client = redis.Redis.from_url(redis_server.url)
    wait_until(lambda: ExecutionStep.objects.filter(status="running").exists(), message="a member runs")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        for key in client.scan_iter():
            if not any(queue in key.decode() for queue in queues) and b"_kombu" not in key:
                client.delete(key)
    client.close()
    assert ended(execution) == [[list(range(12)), "joined"]]
    assert Posting.objects.count() == 1


@pytest.mark.real
def test_a_warm_shutdown_loses_nothing_and_repeats_nothing(worker: StartWorker) -> None:
    node = worker()
    ids = [start(["all", ["call", "note_and_sleep", "a", 0.4], ["call", "note_and_sleep", "b", 0.4]]) for _ in range(6)]
    wait_until(lambda: Posting.objects.count() >= 2, message="steps run")
    node.stop()
    assert node.returncode == 0
    assert not ExecutionStep.objects.filter(status="running").exists()
    node.start()
    assert ended(*ids) == [["a by attempt 1", "b by attempt 1"]] * 6
    assert Posting.objects.count() == 12


@pytest.mark.real
def test_due_times_follow_the_database_s_clock(worker: StartWorker) -> None:
    """The only worker's host is five minutes ahead."""
    worker(env={"WEIR_TEST_CLOCK_OFF": "300"})
    began = time.monotonic()
    execution = start(["all", ["sleep", 3], ["call", "echo", "done"]])
    assert ended(execution) == [["slept", "done"]]
    assert 2.5 < time.monotonic() - began < 15
    step = ExecutionStep.objects.get(execution=execution, seq=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now = cursor.fetchone()[0]
    assert step.run_at is not None
    assert abs((now - step.run_at).total_seconds()) < 20
    row = WorkflowExecution.objects.get(id=execution)
    assert row.completed_at is not None
    assert abs((now - row.completed_at).total_seconds()) < 20


@pytest.mark.faults
def test_timers_fire_while_beat_is_dead_and_once_with_two_beats(worker: StartWorker, beat: Callable[..., Beat]) -> None:
    worker()
    first = beat()
    second = beat()
    ids = [start(["all", ["sleep", seconds], ["call", "enter", "rang"]]) for seconds in (1, 8, 20, 40)]
    time.sleep(10)
    first.kill()
    second.kill()
    ended(*ids, timeout=120)
    assert Posting.objects.count() == 4
    for execution in ids:
        timer = ExecutionStep.objects.get(execution=execution, seq=1)
        assert timer.completed_at is not None
        assert timer.run_at is not None
        assert 0 <= (timer.completed_at - timer.run_at).total_seconds() + 0.06 < 15
