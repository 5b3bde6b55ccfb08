"""A worker node's signs of life, and its help when beat falls silent.

Runs in the node's main process (the parent in a prefork pool), beside the consumer, so that it goes on while the
broker is away. It has a thread with a database connection of its own.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

logger = logging.getLogger(__name__)

FORK_PATIENCE = 2.0
"""Seconds that a fork waits for the threads below to come to rest, at most."""

FIRST_REPORT_PATIENCE = 10.0
"""Seconds that a worker's start waits for its first report, at most: it starts while the database is away, too."""


class Heartbeat(bootsteps.StartStopStep):
    """The worker's bootstep; starts once the pool has its processes, before the first message is taken."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        from automation.durable import liveness

        # Before the pool forks: its processes are named after this node.
        self.node_id = liveness.new_node_id()
        liveness.set_node(self.node_id)
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        self.beater = Beater(self.node_id, worker)
        self.beater.start()
        # Not at the step's `stop`: a warm shutdown then still waits for the running tasks, which are alive.
        atexit.register(self.beater.finish)

    def info(self, worker: Any) -> dict[str, str]:
        """Shown by `celery inspect stats`."""
        return {"weir_node": self.node_id}


class Beater:
    """Reports the node every DURABLE_HEARTBEAT_INTERVAL seconds, and sweeps while beat does not."""

    def __init__(self, node_id: str, worker: Any) -> None:
        from django.conf import settings

        from automation import clock

        self.node_id = node_id
        self.worker = worker
        self.pid = os.getpid()
        self.started_at = clock.unmoved()
        self.interval: float = settings.DURABLE_HEARTBEAT_INTERVAL
        self.sweep_interval: float = settings.DURABLE_SWEEP_INTERVAL
        self.reported = threading.Event()
        self.ending = threading.Event()
        self.reporter = threading.Thread(target=self._report_for_ever, name="weir-heartbeat", daemon=True)
        self.sweeper: threading.Thread | None = None
        self._trouble: dict[str, str] = {}

    def start(self) -> None:
        """Start reporting. The first report is waited for: no claim is older than its node's row. It is made by the
        thread, as children would inherit a connection of the main one."""
        self.reporter.start()
        self.reported.wait(FIRST_REPORT_PATIENCE)

    def finish(self) -> None:
        """Say that the node has ended; in the process that started it only, not in what was forked from it."""
        if os.getpid() != self.pid or self.ending.is_set():
            return
        self.ending.set()
        self.reporter.join(FORK_PATIENCE)  # so that no report comes after the last word
        from automation.durable import liveness

        self._try("saying goodbye", lambda: liveness.stopped(self.node_id))

    def _report_for_ever(self) -> None:
        while True:
            self._report()
            self.reported.set()
            if self.ending.wait(self.interval):
                return
            self._stand_in_for_beat()

    def _report(self) -> None:
        from automation import clock
        from automation.durable import leases, liveness

        def report() -> None:
            leases.synchronize_clock()
            taken_at = clock.unmoved()  # before the pids are read: a process that is older than this is among them
            liveness.record(
                liveness.NodeReport(
                    id=self.node_id,
                    node=self.worker.hostname,
                    pid=self.pid,
                    pids=self._pids(),
                    queues=sorted(self.worker.app.amqp.queues.consume_from),
                    concurrency=int(self.worker.concurrency or 1),
                    started_at=self.started_at,
                    taken_at=taken_at,
                )
            )

        self._try("reporting this node", report)

    def _pids(self) -> list[int]:
        """The processes that run tasks: a prefork pool's children, and this one, which does in the other pools."""
        processes = (self.worker.pool.info or {}).get("processes") or ()
        return sorted({self.pid, *(pid for pid in processes if pid)})

    def _stand_in_for_beat(self) -> None:
        from automation.durable import liveness

        if self.sweeper is not None and self.sweeper.is_alive():
            return
        late: list[bool] = []
        self._try("asking for beat", lambda: late.append(liveness.sweeps_are_late() or liveness.beat_is_late()))
        if any(late):
            self.sweeper = threading.Thread(target=self._sweep_while_late, name="weir-sweeper", daemon=True)
            self.sweeper.start()

    def _sweep_while_late(self) -> None:
        """In a thread of its own: a long sweep must not silence the reports."""
        from django.db import connections

        from automation.durable import liveness, sweeping

        late = True

        def sweep() -> None:
            nonlocal late
            sweeping.sweep_alone()
            late = liveness.beat_is_late()

        try:
            while late and not self.ending.wait(self.sweep_interval):
                self._try("sweeping in beat's place", sweep)
        finally:
            connections.close_all()

    def _try(self, what: str, action: Callable[[], object]) -> None:
        """Run it; a failure is logged when it begins and when it ends, and the next time comes."""
        from django.db import connections

        try:
            with _at_work:
                action()
        except Exception as error:  # a database that is away, above all: this thread has to outlive everything
            said = f"{type(error).__name__}: {error}"
            if self._trouble.get(what) is None:
                logger.warning("%s failed, and is tried again: %s", what, said)
            self._trouble[what] = said
            connections.close_all()  # this thread's, perhaps broken: the next attempt opens new ones
        else:
            if self._trouble.pop(what, None) is not None:
                logger.warning("%s works again", what)


class _Work:
    """Counts who is at work, so that a fork can wait for a moment when nobody is.

    A fork copies locks as they are. One that a thread holds (Django's, the driver's, a cached property's) would stay
    locked in the child for ever, as the thread that would release it is not copied.
    """

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self.idle = threading.Condition(threading.Lock())
        self.busy = 0

    def __enter__(self) -> None:
        with self.idle:
            self.busy += 1

    def __exit__(self, *_: object) -> None:
        with self.idle:
            self.busy -= 1
            self.idle.notify_all()

    def before_fork(self) -> None:
        self.idle.acquire()
        self.idle.wait_for(lambda: not self.busy, FORK_PATIENCE)  # nobody begins until the fork is done

    def after_in_parent(self) -> None:
        self.idle.release()


_at_work = _Work()
os.register_at_fork(
    before=_at_work.before_fork, after_in_parent=_at_work.after_in_parent, after_in_child=_at_work._renew
)
