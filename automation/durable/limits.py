"""How many activities and how many advances a worker runs at once, where that is less than its pool could.

A gate lets so many in. A visit passes the gate of advances while it runs workflow code and writes what follows, and the
gate of activities before it claims a step. It never waits for the second while it holds the first: a step that finds no
room is sent as a message instead of being carried, and a link that finds none goes back to its queue. So nothing can
wait in a circle, and the time that a step waits is not its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from django.conf import settings

from automation.durable import hooks
from automation.durable.records import Decision, StepRecord
from automation.durable.replay import Run
from automation.durable.runner import Ran
from automation.durable.visits import Visit

ROUND_PAUSE = 0.01
"""Seconds between two looks at a full gate of processes."""


class Gate(Protocol):
    """Lets so many in at once. Whoever came in goes out again, or dies: both make room."""

    def enter(self, patience: float | None = None) -> bool:
        """Whether there was room within `patience` seconds; None waits for ever."""

    def leave(self) -> None: ...


class ThreadGate:
    """Between the threads of one process."""

    def __init__(self, size: int) -> None:
        self._room = threading.BoundedSemaphore(size)

    def enter(self, patience: float | None = None) -> bool:
        if patience is not None and patience <= 0:
            return self._room.acquire(blocking=False)
        return self._room.acquire(timeout=patience)

    def leave(self) -> None:
        self._room.release()


class ProcessGate:
    """Between processes that are forked from the one that made it, each with one thread that passes it.

    A place is a lock on one byte of a nameless file. A shared semaphore would do until the first process is killed
    between its two ends; the kernel gives a dead process's locks back.
    """

    def __init__(self, size: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker lives)
        self._size = size
        self._mine: list[int] = []

    def enter(self, patience: float | None = None) -> bool:
        deadline = None if patience is None else time.monotonic() + patience
        while not self._find_place():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(ROUND_PAUSE)
        return True

    def leave(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._mine.pop())

    def _find_place(self) -> bool:
        first = os.getpid()  # each starts elsewhere, so that few meet at a taken place
        for offset in range(self._size):
            place = (first + offset) % self._size
            if place in self._mine:
                continue  # a process is not kept out by a lock of its own
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                continue
            self._mine.append(place)
            return True
        return False


class _Open:
    """A gate that everybody passes."""

    def enter(self, patience: float | None = None) -> bool:
        return True

    def leave(self) -> None:
        pass


_OPEN = _Open()
_activities: Gate = _OPEN
_advances: Gate = _OPEN


class _Held(threading.local):
    """What this thread holds of the gate of advances. `depth`: advances that it is in, one within the other."""

    depth = 0
    inside = False


_held = _Held()


def limit(activities: Gate | None, advances: Gate | None) -> None:
    """Let this process, and those forked from it, pass these gates; None is no limit. Call it once, before the first
    fork and after every other `hooks.on_step`."""
    global _activities, _advances
    _activities, _advances = activities or _OPEN, advances or _OPEN
    if advances is not None:
        hooks.on_step(_outside(hooks.step_hook()))


def visit(queue: str, hard_limit: float, budget: float | None = None) -> Visit:
    """A visit that keeps to this process's limits."""
    limited = _activities is not _OPEN or _advances is not _OPEN
    return (LimitedVisit if limited else Visit)(queue, hard_limit, budget)


class LimitedVisit(Visit):
    """A visit that passes gates; see the module."""

    def link(
        self, execution: uuid.UUID, seqs: Sequence[int], *, parallel: bool = False, asks: bool = True
    ) -> list[int]:
        came = time.monotonic()
        # No longer than a link's budget: its message's time limit has begun.
        if not _activities.enter(settings.DURABLE_LINK_BUDGET):
            return list(seqs)
        self.hands_over_at += time.monotonic() - came
        self._in_activities = True
        try:
            return super().link(execution, seqs, parallel=parallel, asks=asks)
        finally:
            self._leave_activities()

    def _follow(self, step: StepRecord) -> None:
        self._leave_activities()  # what follows is an advance, and carries for itself
        super()._follow(step)

    def _advance(self, wanted: Sequence[tuple[uuid.UUID, int | None]], patience: float = 0.0) -> int:
        _enter_advances()
        _held.depth += 1
        try:
            return super()._advance(wanted, patience)
        finally:
            _held.depth -= 1
            if not _held.depth:
                _leave_advances()

    def _begin(self, run: Run, decision: Decision) -> None:
        if not _activities.enter(0):
            self._write([(run, decision)])
            return
        try:
            super()._begin(run, decision)
        finally:
            _activities.leave()

    _in_activities = False

    def _leave_activities(self) -> None:
        if self._in_activities:
            self._in_activities = False
            _activities.leave()


def _enter_advances() -> None:
    if not _held.inside:
        _advances.enter()
        _held.inside = True


def _leave_advances() -> None:
    if _held.inside:
        _held.inside = False
        _advances.leave()


def _outside(inner: hooks.StepHook | None) -> hooks.StepHook:
    """An attempt that an advance carries is no advance: while it runs, somebody else may."""

    def around(name: str, execution: uuid.UUID, seq: int, run: Callable[[], Ran]) -> Ran:
        carried = _held.inside
        _leave_advances()
        try:
            return run() if inner is None else inner(name, execution, seq, run)
        finally:
            if carried:
                _enter_advances()

    return around
