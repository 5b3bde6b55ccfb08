"""Database sessions live longer than tasks: Celery's habit of closing them would cost two thirds of the throughput."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from project.celery import app
from tests.ops import tasks
from tests.support.processes import Worker
from tests.support.waiting import wait_until


@pytest.mark.real
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_process_keeps_its_session_from_task_to_task(pool: str, worker: Callable[..., Worker]) -> None:
    node = worker(pool=pool, include=["tests.ops.tasks"])
    known = len(tasks.told("sessions"))
    for _ in range(20):
        app.send_task("ops_session")
    told = wait_until(
        lambda: len(tasks.told("sessions")) >= known + 20 and tasks.told("sessions")[known:], message=node.log_tail
    )
    sessions = defaultdict(set)
    for line in told or ():
        process, session = line.split()
        sessions[process].add(session)
    assert {len(found) for found in sessions.values()} == {1}
