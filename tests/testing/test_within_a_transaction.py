"""The test environment within the transaction that pytest-django puts around a test: nothing is ever committed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection, transaction

from automation import clock
from automation.durable import workflow
from automation.durable.testing import WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment
from automation.models import ExecutionStatus, WorkflowExecution
from tests.flows.models import Posting
from tests.flows.workflows import call, snippet

__all__ = ["workflow_environment"]

DAY = dt.timedelta(days=1)


@workflow.defn(name="testing_naps")
class Naps:
    @workflow.run
    async def run(self, days: int) -> list[str]:
        times = []
        for _ in range(days):
            await workflow.sleep(DAY)
            times.append(workflow.now().isoformat())
        return times


def test_a_workflow_runs_to_its_end(workflow_environment: WorkflowEnvironment) -> None:
    assert transaction.get_connection().in_atomic_block
    began = clock.now()
    with transaction.atomic():
        handle = workflow_environment.start(Naps, 2, id="inside")
        assert handle.status == ExecutionStatus.PENDING, "the caller's block has not ended"
    assert handle.result() == [(began + n * DAY).isoformat() for n in (1, 2)]


@pytest.mark.parametrize("turn", [1, 2])
def test_rows_of_all_kinds_of_activities_are_seen_and_gone_with_the_test(
    workflow_environment: WorkflowEnvironment, turn: int
) -> None:
    async def enters(_data: Any) -> Any:
        return [await call("enter", "x"), await call("enter_and_fail", "y", 1), await call("async_enter", "z", 1)]

    snippet(enters)
    assert workflow_environment.run("flows_snippet", "enters", None, id="entering") == ["x", "y", "z"]
    assert [posting.note for posting in Posting.objects.order_by("id")] == ["x", "y", "z"]


def test_a_start_that_is_rolled_back_starts_nothing(workflow_environment: WorkflowEnvironment) -> None:
    with transaction.atomic():
        workflow_environment.start(Naps, 1)
        transaction.set_rollback(True)
    workflow_environment.skip(DAY)
    assert not WorkflowExecution.objects.exists()


def test_a_statement_that_fails_in_an_activity_fails_for_itself(workflow_environment: WorkflowEnvironment) -> None:
    attempts = []

    def enter_twice(value: str) -> int:
        attempts.append(value)
        if len(attempts) == 1:
            with connection.cursor() as cursor:
                cursor.execute("SELECT no_such_column")
        if len(attempts) == 2:
            with transaction.atomic():
                Posting.objects.create(key=value, attempt=1)
                raise ValueError("rolled back by the activity itself")
        Posting.objects.create(key=value, attempt=1)
        return Posting.objects.count()

    async def enters(_data: Any) -> Any:
        return await call("echo", "x")

    workflow_environment.replace_activities({"flows_echo": enter_twice})
    snippet(enters)
    assert workflow_environment.run("flows_snippet", "enters", None) == 1
    assert attempts == ["x"] * 3
