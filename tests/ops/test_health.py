"""Health says what is well, what is late and what is down."""

from __future__ import annotations

import datetime as dt
import json
import time

import pytest
from django.conf import settings
from django.db import connections

from automation import clock
from automation.durable import leases
from automation.models import Lease, WorkerHeartbeat
from automation.services import alerts, health
from project.embedded import PostgresServer, RedisServer
from tests.ops.factories import make_node, make_runs

pytestmark = pytest.mark.real

ALL_QUEUES = [settings.WORKFLOW_TASK_QUEUE, settings.WORKFLOW_CRITICAL_QUEUE, settings.WORKFLOW_BACKGROUND_QUEUE]
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _all_is_well(db: None) -> None:
    make_node("host:1:1", queues=ALL_QUEUES)
    leases.take(leases.BEAT, "a beat", 10)


def test_all_is_well() -> None:
    found = health.check()
    assert found.status == "ok"
    assert found.database.ok
    assert found.broker.ok
    assert (found.database.milliseconds or 0) > 0
    assert (found.broker.milliseconds or 0) > 0
    assert found.beat.ok
    assert (found.beat.age or 0) < 5
    assert [(node.processes, node.queues) for node in found.workers] == [(2, ALL_QUEUES)]
    assert json.loads(json.dumps(found.as_dict()))["status"] == "ok"


def test_a_silent_beat_degrades() -> None:
    Lease.objects.update(seen_at=clock.unmoved() - MINUTE)
    found = health.check()
    assert (found.status, found.beat.ok, round(found.beat.age or 0)) == ("degraded", False, 60)
    Lease.objects.all().delete()
    assert health.check().beat == health.Beat(False, None)


def test_a_queue_that_no_living_worker_serves_degrades() -> None:
    make_node("host:1:1", queues=ALL_QUEUES[:2])
    make_node("gone:1:1", queues=ALL_QUEUES, seen_at=clock.unmoved() - MINUTE)
    make_node("ended:1:1", queues=ALL_QUEUES, stopped_at=clock.unmoved())
    found = health.check()
    assert (found.status, found.unserved_queues) == ("degraded", ALL_QUEUES[2:])
    assert len(found.workers) == 1


def test_a_row_that_waits_too_long_degrades() -> None:
    make_runs(None, 1, "pending", due=clock.now() + MINUTE)
    assert health.check().status == "ok"
    make_runs(None, 1, "pending", due=clock.now() - 2 * MINUTE)
    found = health.check()
    assert (found.status, found.backlog.ok) == ("degraded", False)
    assert 120 <= found.backlog.oldest < 130


def test_it_counts_open_alerts() -> None:
    alerts.open_alert("slow", "a", "slow")
    assert health.check().open_alerts == 1


def test_a_broker_that_is_away_degrades(redis_server: RedisServer) -> None:
    redis_server.kill()
    found = health.check()
    assert (found.status, found.broker.ok) == ("degraded", False)
    assert "does not answer" in found.broker.error


def test_a_broker_that_hangs_does_not_hang_the_check(redis_server: RedisServer) -> None:
    redis_server.pause()
    started = time.monotonic()
    assert health.check().status == "degraded"
    assert time.monotonic() - started < 3 * health.BROKER_TIMEOUT


def test_without_the_database_it_is_down(postgres: PostgresServer) -> None:
    postgres.kill()
    try:
        found = health.check()
    finally:
        postgres.start()
        connections.close_all()
    assert (found.status, found.database.ok) == ("down", False)
    assert json.dumps(found.as_dict())
    # However long the restart took: the worker and beat give signs of life again.
    WorkerHeartbeat.objects.update(seen_at=clock.unmoved())
    leases.take(leases.BEAT, "a beat", 10)
    assert health.check().status == "ok"
