"""Many executions in flight on real processes, and what is checked when the dust has settled."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from automation.durable import starts
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution
from tests.flows.models import Posting
from tests.support.consistency import assert_consistent
from tests.support.processes import Worker
from tests.support.receiver import HttpReceiver
from tests.support.waiting import wait_until

StartWorker = Callable[..., Worker]


class Orders:
    """`flows_order` executions: a call out, two in parallel, and a row."""

    paths = ("first", "left", "right")

    def __init__(self, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        self.ids: list[uuid.UUID] = []

    def start(self, count: int, pause: float = 0.0) -> None:
        url = self.receiver.url("/order")
        for _ in range(count):
            self.ids += starts.start_many([starts.NewExecution("flows_order", (url, pause))])

    def open(self) -> int:
        return WorkflowExecution.objects.filter(id__in=self.ids, status__in=OPEN_STATUSES).count()

    def by_status(self) -> Counter[str]:
        return Counter(WorkflowExecution.objects.filter(id__in=self.ids).values_list("status", flat=True))

    def wait(self, timeout: float) -> None:
        """Until all have ended; they must have completed."""
        wait_until(lambda: not self.open(), timeout, self.story, interval=0.2)

    def story(self) -> str:
        lines = [f"all ended; got {self.by_status()}"]
        for row in WorkflowExecution.objects.filter(id__in=self.ids, status__in=OPEN_STATUSES)[:5]:
            lines.append(f"{row.id} {row.status} epoch {row.epoch} due {row.due} worker {row.worker!r}")
            lines += [
                f"   #{step.seq} {step.name} {step.status} attempt {step.attempt} due {step.due} {step.worker!r} "
                f"{step.failure[:100]}"
                for step in row.steps.all()
            ]
        return "\n".join(lines)

    def check(self) -> None:
        """Nothing lost, nothing twice, no row against another."""
        assert self.by_status() == {ExecutionStatus.COMPLETED: len(self.ids)}, self.story()
        seen = Counter(request.headers["idempotency-key"] for request in self.receiver.requests)
        expected = {f"{id_}:{seq}" for id_ in self.ids for seq in (1, 2, 3)}
        assert set(seen) == expected
        entries = Counter(Posting.objects.values_list("key", flat=True))
        assert entries == {f"{id_}:4": 1 for id_ in self.ids}
        wait_until(self._swept, 30, "steps of ended executions are no longer due", interval=0.2)
        assert_consistent(self.ids)

    def _swept(self) -> bool:
        return not WorkflowExecution.objects.filter(id__in=self.ids, steps__due__isnull=False).exists()

    def repeated_calls(self) -> int:
        return len(self.receiver.requests) - 3 * len(self.ids)


@pytest.fixture
def orders(http_receiver: HttpReceiver) -> Orders:
    return Orders(http_receiver)


class Trouble:
    """Kills worker children and whole nodes, and starts the nodes again."""

    def __init__(self, nodes: Sequence[Worker], seed: int = 0) -> None:
        self.nodes = list(nodes)
        self.random = random.Random(seed)
        self.kills = 0

    def strike(self) -> None:
        node = self.random.choice(self.nodes)
        self.kills += 1
        if self.random.random() < 0.5 and node.children():
            node.kill_child(self.random.randrange(8))
        else:
            node.kill()
            node.start(wait=False)

    def for_seconds(self, seconds: float, every: float) -> None:
        """Strike every so often; the pace of the faults is what is tested, so this is a length of time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.strike()
            time.sleep(every)

    def end(self) -> None:
        for node in self.nodes:
            node.wait_ready()


@pytest.fixture
def trouble() -> Iterator[Callable[..., Trouble]]:
    made: list[Trouble] = []

    def make(*nodes: Worker, **options: Any) -> Trouble:
        made.append(Trouble(nodes, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()
