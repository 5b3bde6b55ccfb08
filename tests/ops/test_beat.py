"""Beat with a lease, with real beats; a worker counts the ticks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from automation import clock
from automation.durable import leases
from automation.models import Lease
from project.embedded import PostgresServer, RedisServer
from tests.ops import tasks
from tests.support.processes import Beat, Farm, Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

LEASE_SECONDS = 4.0
QUICK = {"DURABLE_BEAT_LEASE": str(LEASE_SECONDS)}


@pytest.fixture(scope="module")
def _counter(_farm: Farm) -> Iterator[Worker]:
    _farm.end_shared()
    count = len(_farm.nodes)
    yield _farm.worker(concurrency=1, include=["tests.ops.tasks"], wait=False)
    _farm.end_since(count)


@pytest.fixture
def counter(_counter: Worker, transactional_db: None) -> Worker:
    """The worker that counts the ticks of all these tests."""
    if not _counter.is_running:
        _counter.start(wait=False)
    return _counter


@pytest.fixture
def often(db: None) -> str:
    """A schedule that ticks four times a second, each time told to the list 'ticks <its name>'."""
    return make_often("often")


def make_often(name: str) -> str:
    every, _ = IntervalSchedule.objects.get_or_create(every=250_000, period=IntervalSchedule.MICROSECONDS)
    name = f"{name} {clock.unmoved().timestamp()}"
    PeriodicTask.objects.create(name=name, task="ops_tick", interval=every, args=f'["{name}"]')
    return name


def ticks(name: str) -> int:
    """How many ticks have been told."""
    return len(tasks.told(f"ticks {name}"))


def wait_for_ticks(name: str, more: int, timeout: float = 30.0) -> None:
    wanted = ticks(name) + more
    wait_until(lambda: ticks(name) >= wanted, timeout, lambda: f"{more} more ticks; leases: {lease()}")


def wait_until_counted(name: str) -> None:
    """Every tick is written down as one, which would never be again had two beats sent the same."""

    def counted() -> bool:
        return ticks(name) == PeriodicTask.objects.get(name=name).total_run_count

    wait_until(counted, message="as many ticks as the row counts: none was doubled")


def lease() -> Lease | None:
    return Lease.objects.filter(name=leases.BEAT).first()


def leader(*beats: Beat) -> Beat:
    def one() -> Beat | None:
        held = lease()
        pid = held.holder.split("/")[-1] if held else ""
        return next((beat for beat in beats if str(beat.pid) == pid), None)

    return wait_until(one, message="one of them leads")


def test_of_two_beats_one_ticks_and_the_other_takes_over(
    counter: Worker, beat: Callable[..., Beat], often: str
) -> None:
    beats = [beat(env=QUICK), beat(env=QUICK)]
    wait_for_ticks(often, 3)
    first = leader(*beats)
    second = next(other for other in beats if other is not first)

    wait_until(lambda: "standing by" in second.log_text(), message=second.log_tail)
    wait_for_ticks(often, 4)
    wait_until_counted(often)

    first.kill()
    held = lease()
    assert held is not None
    wait_until(lambda: leader(second) is second, 20)
    after = lease()
    assert after is not None
    assert after.seen_at >= held.expires_at, "it waited until the lease had run out"
    wait_for_ticks(often, 2)


def test_a_beat_that_ends_gives_the_lease_back(counter: Worker, beat: Callable[..., Beat], often: str) -> None:
    never = {"DURABLE_BEAT_LEASE": "600"}
    first, second = beat(env=never), beat(env=never)
    wait_until(lambda: any("standing by" in one.log_text() for one in (first, second)))
    leading = leader(first, second)
    other = second if leading is first else first
    leading.stop()
    wait_until(lambda: leader(other) is other, 20)
    wait_for_ticks(often, 1)


def test_a_beat_that_wakes_up_after_its_lease_ran_out_stands_by(
    counter: Worker, beat: Callable[..., Beat], often: str
) -> None:
    sleeper = beat(env=QUICK)
    wait_for_ticks(often, 1)
    wait_until_counted(often)
    sleeper.pause()
    other = beat(env=QUICK)
    wait_until(lambda: leader(other) is other, 20)
    wait_for_ticks(often, 1)
    sleeper.resume()
    wait_until(lambda: "standing by" in sleeper.log_text(), message=sleeper.log_tail)
    wait_for_ticks(often, 4)
    wait_until_counted(often)


def test_it_survives_a_restart_of_the_database(
    counter: Worker, beat: Callable[..., Beat], often: str, postgres: PostgresServer
) -> None:
    node = beat()
    wait_for_ticks(often, 2)
    postgres.kill()
    wait_until(lambda: "the database does not answer" in node.log_text(), message=node.log_tail)
    postgres.start()
    connections.close_all()  # this process's, too, were lost
    wait_for_ticks(often, 3, 40)
    assert node.is_running


def test_it_starts_while_the_database_is_away(
    counter: Worker, beat: Callable[..., Beat], often: str, postgres: PostgresServer
) -> None:
    node = beat()
    node.stop()
    postgres.kill()
    node.start(wait=False)
    wait_until(lambda: "the database does not answer" in node.log_text(), 30, node.log_tail)
    postgres.start()
    connections.close_all()  # this process's, too, were lost
    wait_for_ticks(often, 2, 40)


def test_what_could_not_be_sent_is_due_until_it_is_sent(
    counter: Worker, beat: Callable[..., Beat], redis_server: RedisServer, often: str
) -> None:
    """A daily task whose moment falls into an outage of the broker runs after it, once, and not a day later."""
    node = beat()
    wait_until(lambda: leader(node) is node)
    redis_server.kill()
    daily, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    name = f"daily {clock.unmoved().timestamp()}"
    PeriodicTask.objects.create(
        name=name,
        task="ops_tick",
        interval=daily,
        args=f'["{name}"]',
        last_run_at=clock.unmoved() - dt.timedelta(days=1),
    )
    # Beat has read the new task, and tries in vain: that one, or one that is due for longer and so comes before it.
    before = node.log_text().count("cannot be sent")
    wait_until(lambda: node.log_text().count("cannot be sent") > before + 2, 20, node.log_tail)
    last = lease()
    assert last is not None
    wait_until(lambda: (held := lease()) is not None and held.seen_at > last.seen_at, message="it keeps its lease")

    redis_server.start()
    wait_until(lambda: ticks(name), 40, node.log_tail)
    wait_until(lambda: PeriodicTask.objects.get(name=name).total_run_count == 1, message="the run is written down")
    wait_for_ticks(often, 4)
    assert ticks(name) == 1


def test_it_reads_schedules_that_were_changed_while_it_runs(
    counter: Worker, beat: Callable[..., Beat], often: str
) -> None:
    beat()
    wait_for_ticks(often, 2)
    task = PeriodicTask.objects.get(name=often)
    task.enabled = False
    task.save()
    other = make_often("other")

    def silent() -> bool:
        known = ticks(often)
        wait_for_ticks(other, 4)
        return ticks(often) == known

    wait_until(silent, message="no more ticks of what is switched off, and those of what is new")


def test_beats_of_two_namespaces_tick_what_is_common_once(
    counter: Worker, worker: Callable[..., Worker], beat: Callable[..., Beat], often: str
) -> None:
    """One of them, for both; what it sends goes to the workers of its own namespace."""
    blue = {"WORKFLOW_NAMESPACE": "blue"}
    worker(include=["tests.ops.tasks"], concurrency=1, env=blue, wait=False)
    ours, theirs = beat(), beat(env=blue)
    wait_until(lambda: "the beat of another ticks for the whole" in theirs.log_text(), message=theirs.log_tail)
    wait_for_ticks(often, 4)
    wait_until_counted(often)
    ours.stop()
    wait_until(lambda: "beat: leading\n" in theirs.log_text(), message=theirs.log_tail)
    wait_for_ticks(often, 2)
    wait_until_counted(often)
