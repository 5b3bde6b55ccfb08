"""Priorities on the broker: what is more urgent is served first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from automation.durable import canvas, id_policies, starts
from automation.durable.common import Priority
from automation.durable.members import number_of
from automation.models import ExecutionStatus, WorkflowExecution
from project.celery import ORDINARY, app
from tests.support.processes import Worker
from tests.support.waiting import wait_until


@pytest.mark.parametrize(("key", "number"), [(None, 0), (1, 2), (2, 1), (3, 0), (5, 0)])
def test_a_key_becomes_a_number(key: int | None, number: int) -> None:
    assert number_of(Priority(priority_key=key)) == number


def test_each_broker_gets_its_own_number() -> None:
    assert [canvas._on_the_broker(urgency) for urgency in (1, 2, 9)] == [2, 1, 0]
    assert app.conf.task_default_priority > canvas._on_the_broker(1), "Redis serves the smaller number first"
    app.conf.task_default_priority = None
    try:
        assert [canvas._on_the_broker(urgency) for urgency in (1, 2, 9)] == [5, 6, 9], "RabbitMQ the greater"
    finally:
        app.conf.task_default_priority = ORDINARY


@pytest.mark.real
def test_what_is_urgent_overtakes_what_came_before(worker: Callable[..., Worker]) -> None:
    def start(priority: int) -> None:
        id_policies.start(starts.NewExecution("flows_script", (["call", "echo", priority],), priority=priority))

    for priority in (0, 0, 0, 0, 1, 2):
        start(priority)
    node = worker(pool="solo", concurrency=1)
    rows = WorkflowExecution.objects.all()
    wait_until(lambda: rows.filter(status=ExecutionStatus.COMPLETED).count() == 6, 60, node.log_tail)
    assert list(rows.order_by("started_at").values_list("priority", flat=True)) == [2, 1, 0, 0, 0, 0]
