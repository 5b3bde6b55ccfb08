"""Lists take a constant number of queries, however many rows they show."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation.durable import payloads
from automation.models import EventType, ExecutionStep, StepKind, StepStatus, User, WorkflowAction
from tests.api.conftest import booking_of, execution_of, workflow_of


def _event_types(owner: User, number: int) -> None:
    EventType.objects.create(organizer=owner, name=f"Call {number}", duration=30)


def _event_type(owner: User) -> EventType:
    return EventType.objects.get_or_create(organizer=owner, name="Call", defaults={"duration": 30})[0]


def _bookings(owner: User, number: int) -> None:
    booking = booking_of(EventType.objects.create(organizer=owner, name=f"Call {number}", duration=30))
    booking.start_time += dt.timedelta(days=number)


def _workflows(owner: User, number: int) -> None:
    workflow = workflow_of(owner, f"Workflow {number}")
    workflow.event_types.add(_event_type(owner))
    WorkflowAction.objects.create(workflow=workflow, name="Second", action_type="send_email")


def _executions(owner: User, number: int) -> None:
    execution_of(workflow_of(owner, f"Workflow {number}"), booking=booking_of(_event_type(owner)))


@pytest.mark.parametrize(
    ("path", "make", "most"),
    [
        ("event-types", _event_types, 3),
        ("bookings", _bookings, 3),
        ("workflows", _workflows, 5),
        ("executions", _executions, 3),
        ("workflows/executions", _executions, 3),
    ],
)
def test_it_takes_as_many_queries_for_20_rows_as_for_1(
    api: APIClient, owner: User, path: str, make: Callable[[User, int], None], most: int
) -> None:
    def count(rows: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            response = api.get(f"/api/v1/{path}/")
        assert len(response.json()["results"]) == rows
        return len(queries)

    make(owner, 0)
    one = count(1)
    for number in range(1, 20):
        make(owner, number)
    assert count(20) == one
    # The token with its user, the count, the page, and one query for each related list.
    assert one <= most


def test_steps_and_actions_too(api: APIClient, owner: User) -> None:
    workflow = workflow_of(owner)
    execution = execution_of(workflow)
    for url, most in (
        (f"/api/v1/executions/{execution.pk}/steps/", 4),
        (f"/api/v1/workflows/{workflow.pk}/actions/", 4),
        (f"/api/v1/executions/{execution.pk}/", 4),
        (f"/api/v1/workflows/{workflow.pk}/", 4),
    ):
        counts = []
        for _ in range(2):
            with CaptureQueriesContext(connection) as queries:
                assert api.get(url).status_code == 200
            counts.append(len(queries))
            for number in range(10):
                seq = execution.steps.count() + 1
                ExecutionStep.objects.create(
                    execution=execution,
                    seq=seq,
                    kind=StepKind.ACTIVITY,
                    name="execute_email_action",
                    status=StepStatus.COMPLETED,
                    output=payloads.encode({"status": "success"}),
                )
                WorkflowAction.objects.create(workflow=workflow, name=f"A{number}", action_type="send_email")
        assert counts[0] == counts[1] <= most, url
