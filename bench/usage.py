"""What processes cost: CPU seconds and memory of process trees, from the operating system."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Self

import psutil  # type: ignore[import-untyped]

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds of the kernel's clock tick, in which it counts CPU time."""


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; empty when it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu(pid: int) -> float:
    """User and system CPU seconds of a process tree, those of children that ended and were waited for included."""
    total = 0.0
    for process in tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(pids: Iterable[int]) -> int:
    """Bytes of memory that would be free again if these process trees ended (unique set size)."""
    total = 0
    for pid in pids:
        for process in tree(pid):
            try:
                total += process.memory_full_info().uss
            except psutil.NoSuchProcess:
                continue
    return total


class MemoryWatch:
    """Samples the memory of process trees twice a second while its block runs; `growth` is the highest sample above
    the one at entry, in bytes."""

    def __init__(self, pids: list[int], interval: float = 0.5) -> None:
        self._pids = pids
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = 0
        self.highest = 0

    @property
    def growth(self) -> int:
        return self.highest - self.before

    def __enter__(self) -> Self:
        self.before = self.highest = memory(self._pids)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.highest = max(self.highest, memory(self._pids))

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            self.highest = max(self.highest, memory(self._pids))
