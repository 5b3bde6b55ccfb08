"""Starts that come in quick succession travel together: many executions to a message.

The first start after a quiet moment is sent at once. Those that follow within DURABLE_GATHER seconds are held back
until that time is over or a message is full; then they go as one. A message costs about as much as five durable
commits, so a busy process spends most of its time on work, and an idle one waits for nothing.

Held executions are committed rows: should the process die while it holds them, a sweep sends them.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from django.conf import settings

FULL = 16
"""Executions in a message: enough to make its cost small, few enough to leave some to other workers."""

Batch = list[tuple[uuid.UUID, int | None]]
Send = Callable[[Batch, str, int], None]
"""(executions with their epochs, queue, priority)"""


class Gathering:
    """What one process holds back, by queue and priority. Safe to use from many threads."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begin()

    def _begin(self) -> None:
        self._wake = threading.Condition()
        self._held: dict[tuple[str, int], Batch] = {}
        self._sent_at = -1e9
        self._thread: threading.Thread | None = None

    def add(self, executions: Sequence[tuple[uuid.UUID, int | None]], queue: str, priority: int) -> None:
        """Send executions, now or in a moment."""
        now = time.monotonic()
        with self._wake:
            if not self._held and now - self._sent_at >= settings.DURABLE_GATHER:
                batch, self._sent_at = list(executions), now
            else:
                held = self._held.setdefault((queue, priority), [])
                held.extend(executions)
                if len(held) < FULL:
                    self._have_it_flushed()
                    return
                batch, self._sent_at = self._held.pop((queue, priority)), now
        self._send(batch, queue, priority)

    def flush(self) -> None:
        """Send all that is held."""
        with self._wake:
            held, self._held = self._held, {}
            self._sent_at = time.monotonic()
        for (queue, priority), batch in held.items():
            self._send(batch, queue, priority)

    def forget(self) -> None:
        """In a forked child: what is held is the parent's to send, and its thread did not come along."""
        self._begin()

    def _have_it_flushed(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="weir-gathering", daemon=True)
            self._thread.start()
        else:
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._held:
                    self._wake.wait()
                left = self._sent_at + settings.DURABLE_GATHER - time.monotonic()
            if left > 0:
                time.sleep(left)
            else:
                self.flush()


def start(send: Send) -> Gathering:
    """A gathering for this process and each of its children."""
    gathering = Gathering(send)
    os.register_at_fork(after_in_child=gathering.forget)
    atexit.register(gathering.flush)
    return gathering
