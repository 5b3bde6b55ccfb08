"""What an operator does in the admin about hosts that were away and events that failed."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import reverse

from automation.models import (
    CircuitState,
    Destination,
    EventType,
    HeldCall,
    HeldState,
    InboundEvent,
    InboundStatus,
    StepStatus,
    User,
    WorkflowExecution,
)
from automation.services import inbound, inbound_sources
from tests.api.conftest import PASSWORD, booking_of, execution_of, user_of, workflow_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    User.objects.create_superuser("root@example.com", PASSWORD)
    client = Client()
    assert client.login(email="root@example.com", password=PASSWORD)
    return client


def act(client: Client, model: str, action: str, *pks: object) -> str:
    data = {"action": action, "_selected_action": [str(pk) for pk in pks]}
    response = client.post(reverse(f"admin:automation_{model}_changelist"), data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def failed_call() -> HeldCall:
    owner = user_of("ada@example.com")
    event_type = EventType.objects.create(organizer=owner, name="Call", duration=30)
    execution = execution_of(workflow_of(owner), booking=booking_of(event_type), status="failed")
    execution.steps.update(status=StepStatus.FAILED, resolved_seq=1)
    row = Destination.objects.create(organizer=owner, host="hooks.example.com", state=CircuitState.OPEN, failures=5)
    step = execution.steps.get()
    return HeldCall.objects.create(
        destination=row, execution=execution, step_seq=step.seq, state=HeldState.FAILED, cause="HTTP 503"
    )


def test_it_replays_failed_calls_and_shows_them_by_cause(root: Client) -> None:
    call = failed_call()
    page = reverse("admin:automation_destination_change", args=[call.destination_id])
    assert "HTTP 503" in root.get(page).content.decode()
    assert "1 calls are being made again." in act(root, "destination", "replay", call.destination_id)
    assert WorkflowExecution.objects.get().status == "running"
    call.refresh_from_db()
    assert call.state == HeldState.RETRYING


def test_it_closes_a_circuit(root: Client) -> None:
    call = failed_call()
    act(root, "destination", "close", call.destination_id)
    assert Destination.objects.get().state == CircuitState.CLOSED


def test_it_processes_an_event_again(root: Client) -> None:
    owner = user_of("ada@example.com")
    source, _ = inbound_sources.create(owner, name="Zap", kind="standard")
    data = {
        "id": "e1",
        "event_type": "call",
        "invitee_name": "José",
        "invitee_email": "jose@example.com",
        "start_time": "2031-01-01T10:00:00Z",
    }
    body = json.dumps({"type": "booking.created", "timestamp": "2030-12-31T10:00:00Z", "data": data})
    event = InboundEvent.objects.create(source=source, external_id="m1", type="booking.created", payload=body)
    assert inbound.process(event.pk).status == InboundStatus.FAILED
    EventType.objects.create(organizer=owner, name="Call", slug="call", duration=30)
    assert "Processed. Made." in act(root, "inboundevent", "process", event.pk)
