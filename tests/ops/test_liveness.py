"""Who counts as alive."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings

from automation import clock
from automation.durable import leases, liveness
from automation.models import Lease, WorkerHeartbeat
from tests.ops.factories import make_node

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)


def judge(worker: str, claimed_ago: dt.timedelta = 3 * SECOND) -> bool:
    now = clock.now()
    return worker in liveness.dead({worker: now - claimed_ago}, now)


def test_a_listed_process_of_a_node_that_reports_is_alive() -> None:
    make_node("host:1:1", pids=[10, 11])
    assert not judge("host:1:1/10")


def test_a_worker_of_an_unknown_node_is_dead() -> None:
    assert judge("elsewhere:1:1/10")


def test_a_worker_of_a_stopped_node_is_dead() -> None:
    make_node("host:1:1")
    liveness.stopped("host:1:1")
    assert judge("host:1:1/10")


def test_a_worker_of_a_node_that_has_fallen_silent_is_dead() -> None:
    silence = dt.timedelta(seconds=settings.DURABLE_WORKER_STALE)
    make_node("host:1:1", seen_at=clock.unmoved() - silence + SECOND)
    assert not judge("host:1:1/10", silence)
    make_node("host:1:1", seen_at=clock.unmoved() - silence - SECOND)
    assert judge("host:1:1/10", silence)


def test_a_process_that_a_later_report_does_not_list_is_dead() -> None:
    make_node("host:1:1", pids=[10])
    assert judge("host:1:1/12", claimed_ago=3 * SECOND)


def test_a_process_that_was_forked_after_the_last_report_is_not_dead() -> None:
    make_node("host:1:1", pids=[10], seen_at=clock.unmoved() - 2 * SECOND)
    assert not judge("host:1:1/12", claimed_ago=SECOND)
    assert not judge("host:1:1/12", claimed_ago=2 * SECOND), "a report as old as the claim says nothing"


def test_a_process_is_never_dead_to_itself() -> None:
    assert not judge(liveness.worker_id())


def test_a_thread_lives_as_long_as_its_process() -> None:
    make_node("host.example:1:1", pids=[10])
    assert not judge("host.example:1:1/10.77")
    assert judge("host.example:1:1/12.77")
    with ThreadPoolExecutor(1) as pool:
        claimant = pool.submit(liveness.claimant).result()
    assert claimant != liveness.claimant() == liveness.worker_id()
    assert not judge(claimant), "a process is never dead to itself, nor are its threads"


def test_it_asks_once_for_all(django_assert_num_queries: Callable[..., object]) -> None:
    make_node("host:1:1")
    claims = {f"host:{number}:1/10": clock.now() - 3 * SECOND for number in range(50)}
    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        found = liveness.dead(claims, clock.now())
    assert len(found) == 49


def test_moving_time_in_a_test_kills_nobody(clock_shift: Callable[[float], None]) -> None:
    make_node("host:1:1", pids=[10])
    clock_shift(3600)
    assert not judge("host:1:1/10", dt.timedelta(hours=1))


def test_a_report_of_a_known_node_changes_its_row_and_keeps_its_start() -> None:
    before = make_node("host:1:1", pids=[10])
    after = make_node("host:1:1", pids=[11])
    assert (after.pids, after.started_at) == ([11], before.started_at)
    assert after.seen_at > before.seen_at
    assert WorkerHeartbeat.objects.count() == 1


def test_children_are_named_after_their_node_and_themselves() -> None:
    parent = liveness.worker_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, liveness.worker_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    name = os.read(reader, 1000).decode()
    assert name == f"{parent.rpartition('/')[0]}/{child}"
    assert parent.endswith(f"/{os.getpid()}")


def test_beat_is_late_when_it_never_was_or_has_been_silent() -> None:
    assert liveness.beat_is_late()
    leases.take(leases.BEAT, "a beat", 10)
    assert not liveness.beat_is_late()
    Lease.objects.update(seen_at=clock.unmoved() - liveness.late_after() - SECOND)
    assert liveness.beat_is_late()


def test_a_lease_has_one_holder_until_it_runs_out() -> None:
    assert leases.take("it", "one", 10)
    assert not leases.take("it", "two", 10)
    assert leases.take("it", "one", 10), "renewed"
    assert not leases.take("it", "one", 10, renew=False)
    Lease.objects.update(expires_at=clock.unmoved() - SECOND)
    assert leases.take("it", "two", 10)
    assert not leases.take("it", "one", 10)


def test_a_lease_can_be_given_back_by_its_holder_only() -> None:
    leases.take("it", "one", 10)
    leases.give_back("it", "two")
    assert not leases.take("it", "two", 10)
    leases.give_back("it", "one")
    assert leases.take("it", "two", 10)
