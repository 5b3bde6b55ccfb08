"""Carrying executions in threads of this process, without a broker: what waits is found by its rows.

What this process publishes for the queues that it serves wakes its threads; the rest goes out as ever. Rows that
others wrote are found by looking, a few times a second. Claims decide who does what, so it does not matter who else
looks.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections
from django.db.models import Q

from automation import clock
from automation.durable import canvas, coroutines, limits, liveness, sweeping
from automation.durable.options import DEFAULT_START_TO_CLOSE
from automation.models import OPEN_STATUSES, ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""How long an idle thread waits before it looks again, unless it is woken."""

BATCH = 10
"""Executions, or steps, that a thread takes at once, at most."""


def slots(wanted: int | None) -> int:
    """How many threads: as many as wanted, else 4; SQLite lets one write at a time."""
    return wanted or (1 if connection.vendor == "sqlite" else 4)


class Carrier:
    """Serves `queues` with so many threads between `start` and `stop`."""

    def __init__(
        self, queues: Sequence[str], threads: int, on_error: Callable[[BaseException], Any] | None = None
    ) -> None:
        self._queues = frozenset(queues)
        self._on_error = on_error
        self._publisher: Callable[[Any], bool] = canvas._publish
        self._stopping = threading.Event()
        self._woken = threading.Condition()
        self._wakes = 0
        self._node = liveness.worker_id().rpartition("/")[0]
        self._started_at = clock.unmoved()
        self._threads = [threading.Thread(target=self._serve, name=f"carrier-{n}", daemon=True) for n in range(threads)]
        self._threads.append(threading.Thread(target=self._attend, name="carrier-sweeps", daemon=True))

    def start(self) -> None:
        self._report()
        self._publisher = canvas._publish
        canvas._publish = self._publish
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let what runs come to its end."""
        self._stopping.set()
        self._wake()
        for thread in self._threads:
            thread.join()
        if canvas._publish == self._publish:  # else another has taken this one's place, and asks it on
            canvas._publish = self._publisher  # type: ignore[assignment]
        liveness.stopped(self._node)

    # -- what is published -----------------------------------------------------------------------------------------

    def _publish(self, signature: Any) -> bool:
        if _first_queues(signature) <= self._queues and not self._stopping.is_set():
            self._wake()  # the row is there: whoever is free finds it
            return True
        return self._publisher(signature)

    def _wake(self) -> None:
        with self._woken:
            self._wakes += 1
            self._woken.notify_all()

    # -- threads ---------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                seen = self._wakes
                if self._guarded(self._turn):
                    continue
                with self._woken:
                    if self._wakes == seen and not self._stopping.is_set():
                        self._woken.wait(LOOK_SECONDS)
        finally:
            coroutines.close()
            connections.close_all()

    def _attend(self) -> None:
        """Signs of life, and sweeps: timers, retries, time limits, and what a dead worker left."""
        reported = swept = -1e9
        try:
            while not self._stopping.wait(min(LOOK_SECONDS, settings.DURABLE_SWEEP_INTERVAL)):
                now = time.monotonic()
                if now - reported >= settings.DURABLE_HEARTBEAT_INTERVAL:
                    reported = now
                    self._guarded(self._report)
                if now - swept >= settings.DURABLE_SWEEP_INTERVAL:
                    swept = now
                    self._guarded(sweeping.sweep_alone)
        finally:
            connections.close_all()

    def _guarded(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database is away or refuses: %s; trying again", error)
            connection.close()
            self._stopping.wait(1.0)
        except Exception as error:
            logger.exception("a visit failed; its rows are tried again")
            if self._on_error is not None:
                self._on_error(error)
            self._stopping.wait(LOOK_SECONDS)
        return False

    def _report(self) -> None:
        liveness.record(
            liveness.NodeReport(
                id=self._node,
                node=f"in-process@{self._node}"[:200],
                pid=os.getpid(),
                pids=[os.getpid()],
                queues=sorted(self._queues),
                concurrency=len(self._threads) - 1,
                started_at=self._started_at,
            )
        )

    # -- one turn --------------------------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Do what is ready; whether there was anything."""
        now = clock.now()
        return any([self._executions(now), self._timers(now), self._steps(now)])

    def _executions(self, now: dt.datetime) -> bool:
        rows = WorkflowExecution.objects.filter(
            Q(started_at__isnull=False) | Q(scheduled_for=None) | Q(scheduled_for__lte=now),
            queue__in=self._queues,
            status__in=OPEN_STATUSES,
            paused_at=None,
            due__isnull=False,
            worker="",
        ).order_by("due")
        found = list(rows.values_list("id", "epoch", "queue")[:BATCH])
        for id_, epoch, queue in found:
            self._visit(queue).executions([(id_, epoch)])
        return bool(found)

    def _timers(self, now: dt.datetime) -> bool:
        waiting = self._waiting(now, StepKind.TIMER).filter(run_at__lte=now, execution__queue__in=self._queues)
        found = list(waiting.values_list("execution_id", "seq", "execution__queue")[:BATCH])
        for id_, seq, queue in found:
            self._visit(queue).fire([(id_, seq)])
        return bool(found)

    def _steps(self, now: dt.datetime) -> bool:
        ready = self._waiting(now, StepKind.ACTIVITY).filter(queue__in=self._queues)
        found = list(ready.values_list("execution_id", "seq", "queue")[:BATCH])
        return sum(self._link(id_, seq, queue) for id_, seq, queue in found) > 0

    def _waiting(self, now: dt.datetime, kind: StepKind) -> Any:
        return ExecutionStep.objects.filter(
            Q(run_at=None) | Q(run_at__lte=now),
            kind=kind,
            status=StepStatus.PENDING,
            due__isnull=False,
            execution__status=ExecutionStatus.RUNNING,
            execution__paused_at=None,
        ).order_by("due")

    def _link(self, execution: uuid.UUID, seq: int, queue: str) -> bool:
        """Run one step and what follows from it; False when somebody else has it."""
        visit = self._visit(queue)
        rest = visit.link(execution, [seq])
        return not rest

    def _visit(self, queue: str) -> Any:
        return limits.visit(queue, DEFAULT_START_TO_CLOSE + canvas.TIME_LIMIT_MARGIN)


def _first_queues(signature: Any) -> set[str]:
    """The queues of the messages that publishing this sends at once."""
    kind = signature.get("subtask_type")
    if kind == "chain":
        return _first_queues(signature.tasks[0])
    if kind == "chord":
        return {queue for member in signature.tasks for queue in _first_queues(member)}
    return {signature.options.get("queue") or settings.WORKFLOW_TASK_QUEUE}
