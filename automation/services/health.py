"""Whether the parts that Weir needs answer, and whether work gets done."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import amqp
import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from automation import clock
from automation.durable import leases, liveness
from automation.models import Alert, ExecutionStep, WorkerHeartbeat, WorkflowExecution

logger = logging.getLogger(__name__)

BROKER_TIMEOUT = 1.0
"""Seconds that the broker has to answer in."""
BACKLOG_LATE = 60.0
"""Seconds that the oldest due row may wait before work counts as late."""

Status = Literal["ok", "degraded", "down"]


@dataclass(frozen=True)
class Answer:
    """One server. `milliseconds` of a round trip; None where it did not answer, and `error` says why."""

    ok: bool
    milliseconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Beat:
    """`age`: seconds since its last sign of life; None where there never was one."""

    ok: bool
    age: float | None = None


@dataclass(frozen=True)
class Node:
    """A worker node that is alive. `age`: seconds since its last report."""

    name: str
    processes: int
    queues: list[str]
    age: float


@dataclass(frozen=True)
class Backlog:
    """`oldest`: seconds that the row that has been due longest is overdue; 0 where none is."""

    ok: bool
    oldest: float = 0.0


@dataclass(frozen=True)
class Health:
    """`ok`: all is well. `degraded`: work is accepted and done late. `down`: nothing is, without the database."""

    status: Status
    database: Answer
    broker: Answer
    beat: Beat
    workers: list[Node]
    unserved_queues: list[str]
    backlog: Backlog
    open_alerts: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check() -> Health:
    """Ask every part; takes some milliseconds, or with a broker that does not answer a little over a second."""
    found = broker()
    started = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        database = Answer(True, _milliseconds(started))
        beat, workers, backlog = _beat(), _workers(), _backlog()
        alerts = Alert.objects.filter(closed_at=None).count()
    except (DatabaseError, InterfaceError) as error:
        logger.debug("health: the database does not answer: %s", error)
        # What it said may name hosts and users; the log has it.
        gone = Answer(False, error="the database does not answer")
        return Health("down", gone, found, Beat(False), [], [], Backlog(False), 0)
    served = {queue for node in workers for queue in node.queues}
    unserved = sorted(set(_needed_queues()) - served)
    well = found.ok and beat.ok and backlog.ok and not unserved
    return Health("ok" if well else "degraded", database, found, beat, workers, unserved, backlog, alerts)


def _needed_queues() -> list[str]:
    return [settings.WORKFLOW_TASK_QUEUE, settings.WORKFLOW_CRITICAL_QUEUE, settings.WORKFLOW_BACKGROUND_QUEUE]


def broker() -> Answer:
    """Ask the broker alone; takes a little over a second at most."""
    url = settings.CELERY_BROKER_URL
    started = time.perf_counter()
    try:
        if url.startswith(("redis", "unix")):
            client = redis.Redis.from_url(
                url, socket_timeout=BROKER_TIMEOUT, socket_connect_timeout=BROKER_TIMEOUT, retry=None
            )
            with client:
                client.ping()
        elif "amqp" in url.partition(":")[0]:
            _shake_hands(url)
        else:
            parts = urlsplit(url)
            socket.create_connection((parts.hostname or "localhost", parts.port or 26379), BROKER_TIMEOUT).close()
    except (redis.RedisError, amqp.AMQPError, OSError) as error:
        logger.debug("health: the broker does not answer: %s", error)
        return Answer(False, error="the broker does not answer; rows are kept, and messages follow later")
    return Answer(True, _milliseconds(started))


def _shake_hands(url: str) -> None:
    """Enter RabbitMQ as a worker does: by its user, and on its virtual host."""
    parts = urlsplit(url)
    encrypted = parts.scheme == "amqps"
    with amqp.Connection(
        f"{parts.hostname or 'localhost'}:{parts.port or (5671 if encrypted else 5672)}",
        unquote(parts.username or "guest"),
        unquote(parts.password or "guest"),
        virtual_host=unquote(parts.path[1:]) or "/",
        ssl=encrypted,
        connect_timeout=BROKER_TIMEOUT,
        read_timeout=BROKER_TIMEOUT,
        write_timeout=BROKER_TIMEOUT,
    ):
        pass


def _beat() -> Beat:
    seen_at = leases.last_seen(leases.BEAT)
    if seen_at is None:
        return Beat(False)
    age = clock.unmoved() - seen_at
    return Beat(age <= liveness.late_after(), round(max(0.0, age.total_seconds()), 3))


def _workers() -> list[Node]:
    now = clock.unmoved()
    alive = WorkerHeartbeat.objects.filter(
        namespace=settings.WORKFLOW_NAMESPACE,
        stopped_at=None,
        seen_at__gte=now - dt.timedelta(seconds=settings.DURABLE_WORKER_STALE),
    )
    return [
        Node(row.node, row.concurrency, list(row.queues), round(max(0.0, (now - row.seen_at).total_seconds()), 3))
        for row in alive.order_by("node")
    ]


def _backlog() -> Backlog:
    now = clock.now()
    here = settings.WORKFLOW_NAMESPACE
    dues = [
        rows.filter(due__isnull=False).order_by("due").values_list("due", flat=True).first()
        for rows in (
            WorkflowExecution.objects.filter(namespace=here),
            ExecutionStep.objects.filter(execution__namespace=here),
        )
    ]
    oldest = max([0.0, *((now - due).total_seconds() for due in dues if due is not None)])
    return Backlog(oldest < BACKLOG_LATE, round(oldest, 3))


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
