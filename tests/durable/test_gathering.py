"""Starts in quick succession share messages; none is kept longer than DURABLE_GATHER, and none is lost in a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from automation.durable import gathering
from automation.durable.gathering import FULL, Batch, Gathering

LONG = 3600.0


class Sent:
    """What was sent, in order; `arrived` is set with every message."""

    def __init__(self) -> None:
        self.messages: list[tuple[Batch, str, int]] = []
        self.arrived = threading.Semaphore(0)

    def __call__(self, batch: Batch, queue: str, priority: int) -> None:
        self.messages.append((batch, queue, priority))
        self.arrived.release()


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def gathered(sent: Sent) -> Iterator[Gathering]:
    one = Gathering(sent)
    yield one
    one.flush()


def executions(count: int) -> Batch:
    return [(uuid.uuid4(), 0) for _ in range(count)]


def test_it_sends_the_first_at_once(gathered: Gathering, sent: Sent, settings: Any) -> None:
    settings.DURABLE_GATHER = LONG
    first = executions(1)
    gathered.add(first, "work", 3)
    assert sent.messages == [(first, "work", 3)]


def test_it_sends_a_full_message_without_waiting(gathered: Gathering, sent: Sent, settings: Any) -> None:
    settings.DURABLE_GATHER = LONG
    all_of_them = executions(1 + FULL + 1)
    for one in all_of_them:
        gathered.add([one], "work", 0)
    assert [batch for batch, *_ in sent.messages] == [all_of_them[:1], all_of_them[1 : 1 + FULL]]


def test_it_sends_what_is_held_when_the_time_is_over(gathered: Gathering, sent: Sent, settings: Any) -> None:
    settings.DURABLE_GATHER = 0.01
    held: Batch = []
    while not held:  # until two come close enough together on a machine that may stall in between
        pair = executions(2)
        gathered.add(pair[:1], "work", 0)
        before = len(sent.messages)
        gathered.add(pair[1:], "work", 0)
        held = pair[1:] if len(sent.messages) == before else []
    while held not in [batch for batch, *_ in sent.messages]:
        assert sent.arrived.acquire(timeout=30)


def test_it_keeps_queues_and_priorities_apart(gathered: Gathering, sent: Sent, settings: Any) -> None:
    settings.DURABLE_GATHER = LONG
    first, work, urgent, other = (executions(1) for _ in range(4))
    gathered.add(first, "work", 0)
    gathered.add(work, "work", 0)
    gathered.add(urgent, "work", 9)
    gathered.add(other, "other", 0)
    gathered.flush()
    assert sent.messages[1:] == [(work, "work", 0), (urgent, "work", 9), (other, "other", 0)]


def test_it_holds_nothing_when_it_is_off(gathered: Gathering, sent: Sent, settings: Any) -> None:
    settings.DURABLE_GATHER = 0.0
    for one in executions(3):
        gathered.add([one], "work", 0)
    assert [len(batch) for batch, *_ in sent.messages] == [1, 1, 1]


def test_a_forked_child_leaves_what_is_held_to_its_parent(sent: Sent, settings: Any) -> None:
    settings.DURABLE_GATHER = LONG
    parent = gathering.start(sent)
    parent.add(executions(1), "work", 0)
    held = executions(1)
    parent.add(held, "work", 0)
    pid = os.fork()
    if pid == 0:
        before = len(sent.messages)
        parent.flush()
        os._exit(0 if len(sent.messages) == before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    parent.flush()
    assert sent.messages[-1] == (held, "work", 0)


def test_a_process_that_ends_sends_what_it_holds_back() -> None:
    code = (
        "import django; django.setup()\n"
        "from uuid import UUID\n"
        "from automation.durable import gathering\n"
        "held = gathering.start(lambda batch, queue, priority: print(queue, len(batch)))\n"
        "for number in range(4):\n"
        "    held.add([(UUID(int=number), 0)], 'quick', 0)\n"
    )
    there = {**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings", "DURABLE_GATHER": "1"}
    ended = subprocess.run([sys.executable, "-c", code], env=there, capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n") == ["quick 1", "quick 3", ""]
