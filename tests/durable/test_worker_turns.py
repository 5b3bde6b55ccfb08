"""How the threads of an in-process worker share what there is to do."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Collection
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation import clock
from automation.durable import activity, liveness, presence, readiness
from automation.durable.readiness import Found, Offer
from automation.durable.turns import Turn, Turns
from automation.models import ExecutionStep, WorkerHeartbeat, WorkflowExecution

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


def offer(rows: list[Found]) -> Offer:
    def look(queues: Collection[str], now: dt.datetime) -> list[Found]:
        assert list(queues) == ["q"]
        return list(rows)

    return Offer(look, ["q"], every=0.0)


def in_another_thread(do: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(do()))
    thread.start()
    thread.join()
    return results[0]


def test_no_two_get_the_same_until_it_is_ready_again() -> None:
    rows = [Found(ONE, "q", 1), Found(ONE, "q", 2)]
    shared = offer(rows)
    first, second = shared.take(), shared.take()
    assert [*first, *second] == rows
    assert shared.take() == []
    rows[:] = [Found(ONE, "q", 1, attempt=1), Found(ONE, "q", 2)]
    assert shared.take() == rows[:1], "its next attempt is another thing, whoever still has the one before"
    assert shared.take() == []
    shared.give_back(second)
    assert shared.is_open()
    assert shared.take() == second


def test_nobody_looks_again_before_its_time_unless_there_is_something_new() -> None:
    looks: list[int] = []
    shared = Offer(lambda queues, now: looks.append(1) or [], ["q"], every=3600.0)  # type: ignore[func-returns-value]
    assert [shared.take(), shared.take(), shared.is_open()] == [[], [], False]
    assert len(looks) == 1
    shared.again()
    assert shared.take() == []
    assert len(looks) == 2


def test_where_there_are_many_several_go_together_of_one_canvas() -> None:
    rows = [Found(ONE, "q", n) for n in range(10)] + [Found(ONE, "q", n, canvas=10) for n in range(10, 14)]
    shared = offer([*rows, Found(OTHER, "q", 1)])
    assert [len(shared.take(4)) for _ in range(5)] == [3, 2, 2, 1, 1]
    taken = shared.take(1)
    assert {one.canvas for one in taken} == {None}
    assert [one.number for one in shared.take(1)] == [10, 11, 12, 13]
    assert shared.take(1) == [Found(OTHER, "q", 1)]


def test_a_canvas_is_looked_at_when_none_of_its_members_is_under_way() -> None:
    now = clock.now()
    execution = WorkflowExecution.objects.create(
        definition="x", status="running", queue="q", created_at=now, started_at=now
    )
    ended = {"status": "completed", "completed_at": now - dt.timedelta(seconds=5)}
    lease = now + dt.timedelta(seconds=5)
    for seq, values in enumerate(
        [
            {"canvas": 1, "due": lease, **ended},
            {"canvas": 1, "due": lease, "status": "running"},
            {"canvas": 1, "stage": 1, "status": "pending"},
            {"due": lease, **ended},
        ],
        start=1,
    ):
        ExecutionStep.objects.create(execution=execution, seq=seq, kind="activity", created_at=now, **values)

    def found() -> list[int]:
        return sorted(one.number for one in readiness.outcomes(["q"], now))

    assert found() == [4]
    execution.steps.filter(seq=2).update(status="completed", due=None)
    assert found() == [1, 4]
    execution.steps.filter(seq=3).update(due=lease)
    assert found() == [4]


def test_a_look_leaves_out_what_sleeps_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of millions of sleepers a look reads none; what is due by then at the latest is found."""
    now = clock.now()
    going = WorkflowExecution.objects.create(definition="x", status="running", queue="q", created_at=now)
    times = {"run_at": now, "created_at": now, "status": "pending", "queue": "q"}
    for seq, kind in enumerate(["timer", "activity"], start=1):
        ExecutionStep.objects.create(execution=going, seq=seq, kind=kind, due=readiness.latest_due(now), **times)
    planned = WorkflowExecution.objects.create(
        definition="x", queue="q", created_at=now, scheduled_for=now, due=readiness.latest_due(now)
    )
    looks = (readiness.executions, readiness.timers, readiness.steps)
    assert [[(one.execution, one.number) for one in look(["q"], now)] for look in looks] == [
        [(planned.id, 0)],
        [(going.id, 1)],
        [(going.id, 2)],
    ]
    for look in (*looks, readiness.outcomes):
        with CaptureQueriesContext(connection) as queries:
            look(["q"], now)
        assert [query["sql"].count('"due" <= ') for query in queries] == [1]


def test_one_advances_for_all_and_again_for_what_ended_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "running", {})
    turns, turn = Turns(), Turn(ONE, None, "q")
    assert turns.begin(turn)
    assert turns.next() is None
    assert not in_another_thread(lambda: turns.begin(turn))
    assert turns.next() is None, "the one that has it is still at it"
    assert turns.begin(Turn(ONE, 1, "q"))
    turns.end(turn)
    assert turns.next() == turn
    assert in_another_thread(lambda: turns.begin(turn))
    assert turns.next() is None


def test_one_that_has_come_to_run_an_activity_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    running: dict[int, Any] = {}
    monkeypatch.setattr(activity, "running", running)
    turns, turn = Turns(), Turn(ONE, None, "q")
    assert turns.begin(turn)
    assert not in_another_thread(lambda: turns.begin(turn))
    running[threading.get_ident()] = object()
    assert turns.next() == turn
    assert in_another_thread(lambda: turns.begin(turn))
    turns.end(turn)  # which is the other one's now
    running.clear()
    assert not turns.begin(turn)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> str:
    """This process as a node that has not been seen yet."""
    monkeypatch.setattr(liveness, "_node_id", liveness._node_id)
    monkeypatch.setattr(liveness, "_worker", liveness._worker)
    monkeypatch.setattr(presence, "_present", [])
    liveness.set_node("turns:1:1")
    return "turns:1:1"


def test_workers_of_a_process_are_one_node_until_the_last_has_left(node: str) -> None:
    one, two = presence.Presence(["a", "b"], 2), presence.Presence(["b", "c"], 3)
    one.enter()
    two.enter()
    row = WorkerHeartbeat.objects.get(id=node)
    assert (row.queues, row.concurrency, row.stopped_at) == (["a", "b", "c"], 5, None)
    one.leave()
    two.report()
    row.refresh_from_db()
    assert (row.queues, row.concurrency, row.stopped_at) == (["b", "c"], 3, None)
    two.leave()
    row.refresh_from_db()
    assert row.stopped_at is not None
    two.report()
    again = presence.Presence(["a"], 1)
    again.enter()
    assert liveness.worker_id().rpartition("/")[0] != node, "what has stopped does not come back"
    assert WorkerHeartbeat.objects.filter(stopped_at=None).get().queues == ["a"]
    again.leave()


def test_in_a_celery_worker_it_is_a_guest(node: str) -> None:
    report = liveness.NodeReport(node, "celery@host", 1, [1], ["default"], 4, dt.datetime.now(dt.UTC))
    liveness.record(report)
    guest = presence.Presence(["a"], 1)
    guest.enter()
    guest.report()
    guest.leave()
    row = WorkerHeartbeat.objects.get()
    assert (row.node, row.queues, row.stopped_at) == ("celery@host", ["default"], None)
