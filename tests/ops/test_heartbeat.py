"""A worker node's signs of life, with real nodes."""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Callable

import pytest
from django.conf import settings
from django.db import connections

from automation import clock
from automation.durable import leases, liveness
from automation.models import Lease, WorkerHeartbeat
from project.celery import app
from project.embedded import PostgresServer
from tests.ops import tasks
from tests.support.processes import Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


def row() -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.get()


def reported_after(moment: dt.datetime) -> bool:
    return row().seen_at > moment


def one_worker(node: Worker) -> str:
    """The name in claims of a process that the node runs tasks in."""
    known = len(tasks.told("workers"))
    app.send_task("ops_who")
    return wait_until(lambda: tasks.told("workers")[known:], message=node.log_tail)[0]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_it_reports_the_processes_that_run_tasks(pool: str, worker: Callable[..., Worker]) -> None:
    node = worker(pool=pool, concurrency=2, include=["tests.ops.tasks"])
    name = one_worker(node)

    found = row()
    assert found.pid == node.pid
    assert found.node.startswith(f"{node.name}@")
    assert sorted(found.queues) == sorted(
        [settings.WORKFLOW_TASK_QUEUE, settings.WORKFLOW_CRITICAL_QUEUE, settings.WORKFLOW_BACKGROUND_QUEUE]
    )
    assert sorted(found.pids) == sorted({node.pid, *(node.children() if pool == "prefork" else [])})
    node_id, _, pid = name.rpartition("/")
    assert node_id == found.id
    assert int(pid) in found.pids
    assert (int(pid) != node.pid) == (pool == "prefork")
    assert liveness.dead({name: clock.now()}, clock.now()) == set()


def test_a_killed_child_is_dead_and_its_replacement_is_not(worker: Callable[..., Worker]) -> None:
    node = worker(concurrency=1, include=["tests.ops.tasks"])
    victim = one_worker(node)
    claimed = clock.now()
    os.kill(int(victim.rpartition("/")[2]), signal.SIGKILL)

    wait_until(
        lambda: liveness.dead({victim: claimed}, clock.now()) == {victim}, 10, message="the child counts as dead"
    )
    successor = one_worker(node)
    assert successor != victim
    assert successor.rpartition("/")[0] == victim.rpartition("/")[0]
    assert liveness.dead({successor: clock.now()}, clock.now()) == set()


def test_a_killed_node_is_dead_when_it_has_been_silent_for_long_enough(worker: Callable[..., Worker]) -> None:
    node = worker(include=["tests.ops.tasks"])
    name = one_worker(node)
    claimed = clock.now()
    node.kill()
    last = row().seen_at

    wait_until(lambda: liveness.dead({name: claimed}, clock.now()), 15, message="the node counts as dead")
    assert clock.unmoved() - last >= dt.timedelta(seconds=settings.DURABLE_WORKER_STALE)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGQUIT])
def test_a_node_that_ends_says_so(sign: int, worker: Callable[..., Worker]) -> None:
    node = worker()
    node.signal(sign)
    wait_until(lambda: not node.is_running, message=node.log_tail)
    assert row().stopped_at is not None


def test_it_reports_until_its_last_task_has_ended(worker: Callable[..., Worker]) -> None:
    node = worker(include=["tests.ops.tasks"])
    name = f"long {node.pid}"  # what is told outlives the test
    app.send_task("ops_hold", args=[name])
    wait_until(lambda: name in tasks.told("held"), message=node.log_tail)  # received is not begun, and is given back
    node.signal(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in node.log_text(), message=node.log_tail)
    asked = clock.unmoved()
    wait_until(lambda: reported_after(asked), message="a report during the shutdown")
    assert row().stopped_at is None
    tasks.tell(f"let go {name}", "now")
    wait_until(lambda: not node.is_running, message=node.log_tail)
    assert name in tasks.told("naps")
    assert row().stopped_at is not None


def test_it_goes_on_when_the_database_comes_back(worker: Callable[..., Worker], postgres: PostgresServer) -> None:
    node = worker(include=["tests.ops.tasks"])
    postgres.kill()
    wait_until(lambda: "reporting this node failed" in node.log_text(), message=node.log_tail)
    postgres.start()
    connections.close_all()  # this process's, too, were lost
    wait_until(lambda: "reporting this node works again" in node.log_text(), message=node.log_tail)
    back = clock.unmoved()
    wait_until(lambda: reported_after(back), message="a report")
    assert node.log_text().count("reporting this node failed") == 1
    wait_until(lambda: one_worker(node), 30, message="tasks get a connection again")


def test_it_sweeps_while_beat_is_silent_and_stops_when_beat_ticks(worker: Callable[..., Worker]) -> None:
    worker()  # there is no beat

    def swept_at() -> dt.datetime | None:
        return leases.last_seen(leases.SWEEP)

    first = wait_until(swept_at, message="a sweep")
    assert first is not None
    wait_until(lambda: swept_at() != first, message="another sweep")

    leases.take(leases.BEAT, "a beat", 60)
    Lease.objects.filter(name=leases.BEAT).update(seen_at=clock.unmoved() + dt.timedelta(hours=1))

    def quiet() -> bool:
        """No sweep while the node reports four times, at each of which it would sweep were beat silent."""
        last = swept_at()
        for _ in range(4):
            before = clock.unmoved()
            wait_until(lambda before=before: reported_after(before), message="a report")  # type: ignore[misc]
        return swept_at() == last

    wait_until(quiet, message="it leaves the sweeps to beat")


def test_children_do_not_disturb_the_database_session_of_their_parent(worker: Callable[..., Worker]) -> None:
    """A process that is forked while the parent has a session must not end that session when it ends."""
    node = worker(concurrency=2, include=["tests.ops.tasks"], options=["--max-tasks-per-child", "1"])
    known = len(tasks.told("workers"))
    for _ in range(6):
        app.send_task("ops_who")
    told = wait_until(lambda: len(found := tasks.told("workers")[known:]) == 6 and found, 60, node.log_tail)
    assert len(set(told or ())) == 6, "each in a process of its own"
    before = clock.unmoved()
    wait_until(lambda: reported_after(before), message="a report")
    assert "failed, and is tried again" not in node.log_text()
