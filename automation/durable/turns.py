"""Whose turn it is to advance an execution, among the threads of one process.

Many steps that run in parallel end at about the same time, and each wants the execution to go on. If every thread did
that at once, each would take the execution from the one before, whose work would be for nothing. So one does, and what
ends meanwhile is seen by another turn after it: one for all.
"""

from __future__ import annotations

import threading
import uuid
from typing import NamedTuple

from automation.durable import activity


class Turn(NamedTuple):
    """An execution, or a canvas of it, that is to go on."""

    execution: uuid.UUID
    canvas: int | None
    queue: str


class Turns:
    """Of one worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[Turn, int] = {}
        self._wanted: dict[Turn, None] = {}

    def begin(self, turn: Turn) -> bool:
        """Whether it is this thread's; else it is wanted again when the other one has ended its own."""
        with self._lock:
            if self._is_held(turn):
                self._wanted[turn] = None
                return False
            self._wanted.pop(turn, None)
            self._holders[turn] = threading.get_ident()
            return True

    def end(self, turn: Turn) -> None:
        with self._lock:
            if self._holders.get(turn) == threading.get_ident():
                del self._holders[turn]

    def next(self) -> Turn | None:
        """One that is wanted, and can begin."""
        with self._lock:
            return next((turn for turn in self._wanted if not self._is_held(turn)), None)

    def left(self) -> list[Turn]:
        """What is wanted, and nobody will come to: the worker stops."""
        with self._lock:
            left = list(self._wanted)
            self._wanted.clear()
            return left

    def _is_held(self, turn: Turn) -> bool:
        # One that has come to run an activity does not look any more, and may be long.
        holder = self._holders.get(turn)
        return holder is not None and holder not in activity.running
