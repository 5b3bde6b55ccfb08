"""The in-process workers of this process, as one node among those that have heartbeat rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from automation import clock
from automation.durable import liveness
from automation.models import WorkerHeartbeat

_lock = threading.RLock()
_present: list[Presence] = []
_left = ""
"""The node that this process has been, and is no more: what it still holds is free. It does not come back."""


class Presence:
    """One worker's part of the node: its queues, and how many things it does at once."""

    def __init__(self, queues: Sequence[str], concurrency: int) -> None:
        self.queues = frozenset(queues)
        self.concurrency = concurrency
        self._reports = True

    def enter(self) -> None:
        """Begin to be there; the first one begins a node, but in a process that is one already."""
        with _lock:
            if _present:
                self._reports = _present[0]._reports
            else:
                if _node() == _left:
                    liveness.set_node(liveness.new_node_id())
                # (A Celery worker reports for itself.)
                self._reports = not WorkerHeartbeat.objects.filter(id=_node(), stopped_at=None).exists()
            _present.append(self)
        self.report()

    def report(self) -> None:
        """Give a sign of life, for all that are there."""
        with _lock:
            if not self._reports or self not in _present:
                return
            report = liveness.NodeReport(
                id=_node(),
                node=f"in-process@{_node()}"[:200],
                pid=os.getpid(),
                pids=[os.getpid()],
                queues=sorted(frozenset().union(*(one.queues for one in _present))),
                concurrency=sum(one.concurrency for one in _present),
                started_at=clock.unmoved(),
            )
        liveness.record(report)

    def leave(self) -> None:
        """Go; with the last one, the node has stopped."""
        global _left
        with _lock:
            if self in _present:
                _present.remove(self)
            if _present or not self._reports or _node() == _left:
                return
            _left = _node()
        liveness.stopped(_left)


def _node() -> str:
    return liveness.worker_id().rpartition("/")[0]
