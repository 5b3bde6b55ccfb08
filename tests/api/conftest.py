"""Three callers: the owner of the rows, another organizer, and staff; and somebody who is not signed in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from automation import clock
from automation.durable import payloads
from automation.models import (
    Booking,
    EventType,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    Trigger,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
    WorkflowVersion,
)

PASSWORD = "correct horse battery"
NOBODY = "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10"


@pytest.fixture(autouse=True)
def _fresh_throttles() -> None:
    cache.clear()


def user_of(email: str, **fields: Any) -> User:
    return User.objects.create_user(email, PASSWORD, **fields)


def client_of(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        token, _ = Token.objects.get_or_create(user=user)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
    return client


@pytest.fixture
def owner(db: None) -> User:
    return user_of("ada@example.com", first_name="Ada", last_name="Lovelace", timezone="Europe/London")


@pytest.fixture
def other(db: None) -> User:
    return user_of("eve@example.com")


@pytest.fixture
def staff(db: None) -> User:
    return user_of("root@example.com", is_staff=True)


@pytest.fixture
def api(owner: User) -> APIClient:
    """The owner's client."""
    return client_of(owner)


@pytest.fixture
def stranger(other: User) -> APIClient:
    return client_of(other)


@pytest.fixture
def operator(staff: User) -> APIClient:
    return client_of(staff)


@pytest.fixture
def anonymous(db: None) -> APIClient:
    return client_of(None)


@pytest.fixture
def event_type(owner: User) -> EventType:
    return EventType.objects.create(organizer=owner, name="Discovery Call", duration=30)


@pytest.fixture
def foreign_event_type(other: User) -> EventType:
    return EventType.objects.create(organizer=other, name="Eve's Call", duration=30)


def booking_of(event_type: EventType, **fields: Any) -> Booking:
    start = fields.pop("start_time", clock.now().replace(microsecond=0) + dt.timedelta(days=3))
    return Booking.objects.create(
        **{
            "event_type": event_type,
            "organizer": event_type.organizer,
            "invitee_name": "José Álvarez",
            "invitee_email": "jose@enterprise.com",
            "start_time": start,
            "end_time": start + dt.timedelta(minutes=event_type.duration),
            **fields,
        }
    )


@pytest.fixture
def booking(event_type: EventType) -> Booking:
    return booking_of(event_type)


def workflow_of(organizer: User, name: str = "Confirmation", **fields: Any) -> Workflow:
    """A workflow with one email and version 1, as rows."""
    workflow = Workflow.objects.create(
        **{"organizer": organizer, "name": name, "trigger": Trigger.BOOKING_CREATED, "version": 1, **fields}
    )
    WorkflowAction.objects.create(
        workflow=workflow, name="Mail", action_type="send_email", subject="Hello", message="Hello {{ invitee_name }}"
    )
    WorkflowVersion.objects.create(workflow=workflow, number=1, snapshot={"name": name, "actions": []})
    return workflow


@pytest.fixture
def workflow(owner: User) -> Workflow:
    return workflow_of(owner)


def execution_of(workflow: Workflow | None, **fields: Any) -> WorkflowExecution:
    """An execution that ended well, with one step, as rows."""
    execution = WorkflowExecution(
        **{
            "workflow": workflow,
            "version": workflow.versions.first() if workflow else None,
            "definition": "automation",
            "queue": "estuary-workflows",
            "trigger": Trigger.BOOKING_CREATED,
            "status": ExecutionStatus.COMPLETED,
            "input": payloads.encode([{"stages": []}]),
            "result": payloads.encode({"executed": 1}),
            "actions_executed": 1,
            "started_at": clock.now(),
            "completed_at": clock.now(),
            **fields,
        }
    )
    execution.business_id = execution.business_id or str(execution.id)
    execution.save()
    ExecutionStep.objects.create(
        execution=execution,
        seq=1,
        kind=StepKind.ACTIVITY,
        name="execute_email_action",
        status=StepStatus.COMPLETED,
        attempt=1,
        input=payloads.encode([{"action_id": "a"}]),
        output=payloads.encode({"status": "success", "recipients": ["jose@enterprise.com"]}),
        started_at=clock.now(),
        completed_at=clock.now(),
    )
    return execution


@pytest.fixture
def execution(workflow: Workflow, booking: Booking) -> WorkflowExecution:
    return execution_of(workflow, booking=booking)


Problem = Callable[..., dict[str, Any]]


def problem_of(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The error of a response, after making sure that it is the envelope and nothing else."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response["Content-Type"].startswith("application/json"), response.content[:200]
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "fields"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert all(isinstance(found, list) and all(isinstance(t, str) for t in found) for found in error["fields"].values())
    if code is not None:
        assert error["code"] == code
    return error
