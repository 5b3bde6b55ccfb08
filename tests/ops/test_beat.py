"""Beat with a lease, with real beats; a worker counts the ticks."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable

import pytest
from django.db import connections
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from automation import clock
from automation.durable import leases
from automation.models import Lease
from project.embedded import PostgresServer, RedisServer
from tasks.beat import LEASE_SECONDS, RENEW_SECONDS
from tests.ops import tasks
from tests.support.processes import Beat, Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture
def every_second(db: None) -> str:
    """A schedule whose ticks are told to the list 'ticks <its name>'."""
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    name = f"tick {clock.unmoved().timestamp()}"
    PeriodicTask.objects.create(name=name, task="ops_tick", interval=every, args=f'["{name}"]')
    return name


def ticks(name: str) -> list[float]:
    """When the ticks were sent, in seconds."""
    return sorted(float(value) for value in tasks.told(f"ticks {name}"))


def wait_for_ticks(name: str, more: int, timeout: float = 30.0) -> None:
    wanted = len(ticks(name)) + more
    wait_until(lambda: len(ticks(name)) >= wanted, timeout, lambda: f"{more} more ticks; leases: {lease()}")


def lease() -> Lease | None:
    return Lease.objects.filter(name=leases.BEAT).first()


def leader(*beats: Beat) -> Beat:
    def one() -> Beat | None:
        held = lease()
        pid = held.holder.split("/")[-1] if held else ""
        return next((beat for beat in beats if str(beat.pid) == pid), None)

    return wait_until(one, message="one of them leads")


def test_of_two_beats_one_ticks_and_the_other_takes_over(
    worker: Callable[..., Worker], beat: Callable[..., Beat], every_second: str
) -> None:
    worker(include=["tests.ops.tasks"])
    beats = [beat(), beat()]
    wait_for_ticks(every_second, 6)
    first = leader(*beats)
    second = next(other for other in beats if other is not first)

    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks(every_second))]
    assert min(gaps) > 0.5, "a tick was doubled"
    assert "standing by" in second.log_text()

    first.kill()
    killed = clock.unmoved()
    wait_until(lambda: leader(second) is second, 20)
    waited = (clock.unmoved() - killed).total_seconds()
    assert LEASE_SECONDS - RENEW_SECONDS - 1 <= waited <= LEASE_SECONDS + 5
    wait_for_ticks(every_second, 3)


def test_a_beat_that_ends_gives_the_lease_back(
    worker: Callable[..., Worker], beat: Callable[..., Beat], every_second: str
) -> None:
    worker(include=["tests.ops.tasks"])
    first = beat()
    wait_for_ticks(every_second, 1)
    second = beat()
    wait_until(lambda: "standing by" in second.log_text())
    first.stop()
    ended = clock.unmoved()
    wait_until(lambda: leader(second) is second, 20)
    assert clock.unmoved() - ended < dt.timedelta(seconds=LEASE_SECONDS / 2)


def test_a_beat_that_wakes_up_after_its_lease_ran_out_stands_by(
    worker: Callable[..., Worker], beat: Callable[..., Beat], every_second: str
) -> None:
    worker(include=["tests.ops.tasks"])
    sleeper = beat()
    wait_for_ticks(every_second, 2)
    sleeper.pause()
    other = beat()
    wait_until(lambda: leader(other) is other, 20)
    wait_for_ticks(every_second, 2)
    sleeper.resume()
    wait_until(lambda: "standing by" in sleeper.log_text(), message=sleeper.log_tail)
    known = len(ticks(every_second))
    wait_for_ticks(every_second, 5)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks(every_second)[known:])]
    assert min(gaps) > 0.5, "a tick was doubled"


def test_it_survives_a_restart_of_the_database(
    worker: Callable[..., Worker], beat: Callable[..., Beat], every_second: str, postgres: PostgresServer
) -> None:
    worker(include=["tests.ops.tasks"])
    node = beat()
    wait_for_ticks(every_second, 2)
    postgres.kill()
    wait_until(lambda: "the database does not answer" in node.log_text(), message=node.log_tail)
    postgres.start()
    connections.close_all()  # this process's, too, were lost
    wait_for_ticks(every_second, 3, 40)
    assert node.is_running


def test_it_starts_while_the_database_is_away(
    worker: Callable[..., Worker], beat: Callable[..., Beat], every_second: str, postgres: PostgresServer
) -> None:
    worker(include=["tests.ops.tasks"])
    node = beat()
    node.stop()
    postgres.kill()
    node.start(wait=False)
    wait_until(lambda: "the database does not answer" in node.log_text(), 30, node.log_tail)
    postgres.start()
    connections.close_all()  # this process's, too, were lost
    wait_for_ticks(every_second, 2, 40)


def test_what_could_not_be_sent_is_due_until_it_is_sent(
    worker: Callable[..., Worker], beat: Callable[..., Beat], redis_server: RedisServer, db: None
) -> None:
    """A daily task whose moment falls into an outage of the broker runs after it, once, and not a day later."""
    worker(include=["tests.ops.tasks"])
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
    wait_until(lambda: node.log_text().count("cannot be sent") > before + 3, 20, node.log_tail)
    last = lease()
    assert last is not None
    wait_until(lambda: (held := lease()) is not None and held.seen_at > last.seen_at, message="it keeps its lease")

    redis_server.start()
    wait_until(lambda: ticks(name), 40, node.log_tail)
    wait_until(lambda: PeriodicTask.objects.get(name=name).total_run_count == 1, message="the run is written down")
    later = clock.unmoved() + dt.timedelta(seconds=3)
    wait_until(lambda: clock.unmoved() > later)
    assert len(ticks(name)) == 1


def test_it_reads_schedules_that_were_changed_while_it_runs(
    worker: Callable[..., Worker], beat: Callable[..., Beat], every_second: str
) -> None:
    worker(include=["tests.ops.tasks"])
    beat()
    wait_for_ticks(every_second, 2)
    task = PeriodicTask.objects.get(name=every_second)
    task.enabled = False
    task.save()
    wait_until(lambda: _silent_for(every_second, 3.0), 20, message="no more ticks")


def _silent_for(name: str, seconds: float) -> bool:
    return clock.unmoved().timestamp() - ticks(name)[-1] > seconds
