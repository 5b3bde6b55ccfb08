"""What the rows of some queues say can be done now, for a worker that no broker tells."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from automation import clock
from automation.durable.states import UNFINISHED
from automation.models import (
    ENDED_STEP_STATUSES,
    OPEN_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    WorkflowExecution,
)

BATCH = 100
"""Rows that one look finds, at most."""


class Found(NamedTuple):
    """Something of an execution that is ready: itself, by its epoch, or a step, by its seq and the attempt before; of a
    canvas, by its id."""

    execution: uuid.UUID
    queue: str
    number: int
    attempt: int = 0
    canvas: int | None = None


Look = Callable[[Collection[str], dt.datetime], Sequence[Found]]

UNSEEN = dt.timedelta(seconds=0.5)
"""Whoever ends a step looks at what follows at once. An outcome that has been there for so long came from elsewhere: a
process that completed an activity from outside, or in which a child ended."""


def latest_due(now: dt.datetime) -> dt.datetime:
    """The latest `due` of anything whose time has come: a sweep's longest pause from now, and what that adds to it. By
    itself in a condition, it has the planner leave out what sleeps for longer, which may be millions of rows."""
    longest = settings.DURABLE_REPUBLISH_MIN + settings.DURABLE_REPUBLISH_MAX
    return now + dt.timedelta(seconds=longest + settings.DURABLE_LOOKAHEAD + 2 * settings.DURABLE_LEASE)


def executions(queues: Collection[str], now: dt.datetime) -> list[Found]:
    """Executions that wait to be advanced."""
    rows = WorkflowExecution.objects.filter(
        Q(started_at__isnull=False) | Q(scheduled_for=None) | Q(scheduled_for__lte=now),
        queue__in=queues,
        status__in=OPEN_STATUSES,
        paused_at=None,
        due__lte=latest_due(now),
        worker="",
    )
    return _found(rows.order_by("due"), "id", "queue", "epoch")


def timers(queues: Collection[str], now: dt.datetime) -> list[Found]:
    """Timers whose time has come."""
    rows = _pending(now, StepKind.TIMER).filter(run_at__lte=now, execution__queue__in=queues)
    return _found(rows, "execution_id", "execution__queue", "seq")


def steps(queues: Collection[str], now: dt.datetime) -> list[Found]:
    """Activities that can be claimed."""
    rows = _pending(now, StepKind.ACTIVITY).filter(queue__in=queues)
    return _found(rows, "execution_id", "queue", "seq", "attempt", "canvas")


def outcomes(queues: Collection[str], now: dt.datetime) -> list[Found]:
    """Outcomes that nobody has looked at. The first member of a canvas waits for the others: while one is under way, it
    is whoever runs that one who looks."""
    under_way = ExecutionStep.objects.filter(
        execution_id=OuterRef("execution_id"),
        canvas=OuterRef("canvas"),
        seq__gt=OuterRef("canvas"),
        status__in=UNFINISHED,
        due__isnull=False,
    )
    rows = ExecutionStep.objects.filter(
        ~Exists(under_way),
        _GOING,
        execution__queue__in=queues,
        execution__worker="",
        status__in=ENDED_STEP_STATUSES,
        due__lte=latest_due(now),
        completed_at__lte=now - UNSEEN,
    )
    return _found(rows.order_by("due"), "execution_id", "execution__queue", "seq", "attempt", "canvas")


def _found(rows: Any, *fields: str) -> list[Found]:
    return [Found(*row) for row in rows.values_list(*fields)[:BATCH]]


_GOING = Q(execution__status=ExecutionStatus.RUNNING, execution__paused_at=None)


def _pending(now: dt.datetime, kind: StepKind) -> Any:
    rows = ExecutionStep.objects.filter(
        _GOING, Q(run_at=None) | Q(run_at__lte=now), kind=kind, status=StepStatus.PENDING, due__lte=latest_due(now)
    )
    return rows.order_by("due")


class Offer:
    """What one look has found, handed out to the threads of a process: no two get the same, and they do not all look.

    every: seconds between two looks, unless `again` says that there is something new.
    """

    def __init__(self, look: Look, queues: Collection[str], every: float) -> None:
        self._look = look
        self._queues = queues
        self._every = every
        self._lock = threading.Lock()
        self._found: deque[Found] = deque()
        self._held: set[Found] = set()
        self._looks_at = 0.0

    def again(self) -> None:
        """There is something new: the next who asks looks."""
        self._looks_at = 0.0

    def is_open(self) -> bool:
        """Whether there is something that nobody has taken yet."""
        with self._lock:
            self._fill()
            return bool(self._found)

    def take(self, share: int = 0) -> list[Found]:
        """Something that is ready, which `give_back` ends; nothing where there is nothing. Where a step has many beside
        it that run in parallel, one in `share` of them."""
        with self._lock:
            self._fill()
            if not self._found:
                return []
            taken = [self._found.popleft()]
            size = len(self._found) // share if share else 1
            while len(taken) < size and _together(self._found[0], taken[0]):
                taken.append(self._found.popleft())
            self._held.update(taken)
            return taken

    def _fill(self) -> None:
        if not self._found and time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + self._every
            found = self._look(self._queues, clock.now())
            self._found.extend(one for one in found if one not in self._held)

    def give_back(self, taken: Sequence[Found]) -> None:
        """It has been seen to; what is left of it is found again."""
        with self._lock:
            self._held.difference_update(taken)


def _together(step: Found, other: Found) -> bool:
    return (step.execution, step.queue, step.canvas) == (other.execution, other.queue, other.canvas)
