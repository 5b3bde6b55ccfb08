"""Who is alive: worker processes by their node's heartbeat rows, and beat by its lease.

A worker process is named '<node id>/<pid>', its threads '<node id>/<pid>.<thread>'. The node's main process reports the
pids of its children every DURABLE_HEARTBEAT_INTERVAL seconds; a claim names the worker that holds it, so that a sweep
can tell a slow worker from a dead one. Signs of life are in the database's time, without what tests move
(`clock.unmoved`).
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings

from automation import clock
from automation.durable import leases
from automation.models import WorkerHeartbeat

REPORT_MARGIN = dt.timedelta(seconds=0.5)
"""How much later than a claim a report must be before a pid that is missing from it counts as dead: two processes
agree about the time to some milliseconds, and a child starts to work before its parent has noted its pid."""

BEAT_LATE_MIN = 10.0
"""Seconds of silence after which beat is late, at least."""

_node_id = ""
_worker: tuple[int, str] = (0, "")


def new_node_id() -> str:
    """An id for this process as a node: '<hostname>:<pid>:<milliseconds since 1970>'; never used twice."""
    return f"{socket.gethostname()[:64]}:{os.getpid()}:{int(time.time() * 1000)}"


def set_node(node_id: str) -> None:
    """Say which node this process, and each that is forked from it, belongs to. Call it before the first fork."""
    global _node_id, _worker
    _node_id = node_id
    _worker = (0, "")


def worker_id() -> str:
    """This process's name in claims. A process that belongs to no node, such as a command, is a node of its own."""
    global _worker
    pid = os.getpid()
    if _worker[0] != pid:  # the first call, or the first one after a fork
        if not _node_id:
            set_node(new_node_id())
        _worker = (pid, f"{_node_id}/{pid}")
    return _worker[1]


def claimant() -> str:
    """This thread's name in claims: that of its process, and in all threads but the main one their number behind it
    ('<process>.<thread>'). A visit that fails gives back what it holds, and nothing that another thread's does."""
    if threading.current_thread() is threading.main_thread():
        return worker_id()
    return f"{worker_id()}.{threading.get_native_id()}"


def _process(claimed_by: str) -> tuple[str, str]:
    """The node and the pid of a claimant."""
    node, _, process = claimed_by.rpartition("/")
    return node, process.partition(".")[0]


@dataclass(frozen=True)
class NodeReport:
    """What a node says about itself. `pids`: the processes that run tasks, the node's own included, as they were at
    `taken_at` or later."""

    id: str
    node: str
    pid: int
    pids: list[int]
    queues: list[str]
    concurrency: int
    started_at: dt.datetime
    hostname: str = field(default_factory=socket.gethostname)
    taken_at: dt.datetime = field(default_factory=clock.unmoved)


def record(node: NodeReport) -> None:
    """Write the node's row: a sign of life."""
    WorkerHeartbeat.objects.bulk_create(
        [
            WorkerHeartbeat(
                id=node.id,
                namespace=settings.WORKFLOW_NAMESPACE,
                node=node.node[:200],
                hostname=node.hostname[:200],
                pid=node.pid,
                pids=node.pids,
                queues=node.queues,
                concurrency=node.concurrency,
                started_at=node.started_at,
                seen_at=node.taken_at,
            )
        ],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["pids", "queues", "concurrency", "seen_at"],
    )


def stopped(node_id: str) -> None:
    """Say that the node has ended: whatever it still holds is free at once."""
    WorkerHeartbeat.objects.filter(id=node_id).update(stopped_at=clock.unmoved(), pids=[])


def dead(claims: Mapping[str, dt.datetime], now: dt.datetime) -> set[str]:
    """Which of these workers are dead; one query. `claims` maps a worker's id to the time of its latest claim, and
    `now` is the present on the same clock.

    A worker is dead when its node's row is missing, says that the node stopped, or is older than
    DURABLE_WORKER_STALE; or when a report made well after the claim no longer lists its process.
    """
    own = _process(worker_id())
    nodes = {worker: _process(worker) for worker in claims if _process(worker) != own}
    rows = {
        row["id"]: row
        for row in WorkerHeartbeat.objects.filter(id__in={node for node, _ in nodes.values()}).values(
            "id", "pids", "seen_at", "stopped_at"
        )
    }
    present = clock.unmoved()
    stale = present - dt.timedelta(seconds=settings.DURABLE_WORKER_STALE)
    found = set()
    for worker, (node, pid) in nodes.items():
        row = rows.get(node)
        if row is None or row["stopped_at"] is not None or row["seen_at"] < stale:
            found.add(worker)
        elif pid not in map(str, row["pids"]):
            claimed_at = present - (now - claims[worker])
            if row["seen_at"] > claimed_at + REPORT_MARGIN:
                found.add(worker)
    return found


def late_after() -> dt.timedelta:
    """The silence after which beat, or a sweep, counts as late."""
    return dt.timedelta(seconds=max(BEAT_LATE_MIN, 3 * settings.DURABLE_SWEEP_INTERVAL))


def beat_is_late(now: dt.datetime | None = None) -> bool:
    """Whether beat's last tick is older than three sweep intervals (10 s at least), or there never was one."""
    return _is_late(leases.BEAT, now)


def sweeps_are_late(now: dt.datetime | None = None) -> bool:
    """The same for the last sweep: beat may tick while its message waits behind a long queue."""
    return _is_late(leases.SWEEP, now)


def _is_late(name: str, now: dt.datetime | None) -> bool:
    seen_at = leases.last_seen(name)
    return seen_at is None or seen_at < (now or clock.unmoved()) - late_after()
