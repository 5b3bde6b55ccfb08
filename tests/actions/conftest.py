"""A booking with a workflow, and actions run as a worker runs them: by name, over the rows."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from automation import clock
from automation.actions import invocation
from automation.actions.registry import registry
from automation.models import (
    Booking,
    EventType,
    NotificationLog,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.providers.sms import memory


@dataclass(frozen=True)
class Info:
    """What the engine tells an activity about its attempt."""

    execution_id: uuid.UUID
    seq: int
    attempt: int

    @property
    def idempotency_key(self) -> str:
        return f"{self.execution_id}:{self.seq}"


@dataclass
class Stage:
    """One organizer with one booking; `execution` plans a workflow of one action for it, `run` makes an attempt."""

    organizer: User
    booking: Booking
    executions: list[WorkflowExecution] = field(default_factory=list)

    def execution(self, trigger: str = "booking_created", depth: int = 0, **action: Any) -> WorkflowExecution:
        workflow = Workflow.objects.create(
            organizer=self.organizer, name=f"Flow {Workflow.objects.count() + 1}", trigger=trigger
        )
        row = WorkflowAction.objects.create(workflow=workflow, **{"name": "Act", **action})
        names = [field.name for field in WorkflowAction._meta.fields if field.name not in ("workflow", "id")]
        snapshot = {
            "id": str(workflow.id),
            "name": workflow.name,
            "trigger": trigger,
            "actions": [{"id": str(row.id), **{name: _plain(getattr(row, name)) for name in names}}],
        }
        version = WorkflowVersion.objects.create(workflow=workflow, number=1, snapshot=snapshot)
        execution = WorkflowExecution.objects.create(
            definition="automation",
            business_id=str(uuid.uuid4()),
            queue="q",
            workflow=workflow,
            version=version,
            booking=self.booking,
            trigger=trigger,
            booking_sequence=self.booking.sequence,
            depth=depth,
        )
        self.executions.append(execution)
        return execution

    def invocation(self, execution: WorkflowExecution, attempt: int = 1, seq: int = 1) -> invocation.Invocation:
        assert execution.version is not None
        action_id = execution.version.snapshot["actions"][0]["id"]
        return invocation.load(action_id, Info(execution.id, seq, attempt))

    def run(self, execution: WorkflowExecution, attempt: int = 1, seq: int = 1) -> dict[str, Any]:
        assert execution.version is not None
        kind = registry.get(execution.version.snapshot["actions"][0]["action_type"])
        return kind.run(self.invocation(execution, attempt, seq))

    def act(self, trigger: str = "booking_created", **action: Any) -> dict[str, Any]:
        """Plans and runs in one go."""
        return self.run(self.execution(trigger, **action))

    def logs(self) -> dict[str, NotificationLog]:
        return {row.recipient: row for row in NotificationLog.objects.all()}


def _plain(value: Any) -> Any:
    return (
        value.isoformat() if isinstance(value, dt.datetime) else str(value) if isinstance(value, uuid.UUID) else value
    )


@pytest.fixture
def stage(db: None) -> Stage:
    organizer = User.objects.create_user(
        "ada@weir.example", first_name="Ada", last_name="Lovelace", timezone="Europe/Berlin", phone="0171 1234567"
    )
    event_type = EventType.objects.create(organizer=organizer, name="Discovery Call", duration=30)
    start = (clock.now() + dt.timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    booking = Booking.objects.create(
        event_type=event_type,
        organizer=organizer,
        invitee_name="José Álvarez",
        invitee_email="jose@enterprise.example",
        invitee_phone="600 123 456",
        invitee_timezone="Europe/Madrid",
        start_time=start,
        end_time=start + dt.timedelta(minutes=30),
        custom_answers={"company": "Acme", "size": 12},
    )
    return Stage(organizer, booking)


@pytest.fixture
def smtp(settings: Any) -> None:
    """Mail leaves by SMTP, for the `smtp_server` fixture."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture
def sms(settings: Any) -> Iterator[list[Any]]:
    settings.SMS_BACKEND = "automation.providers.sms.memory.MemoryBackend"
    memory.clear()
    yield memory.outbox
    memory.clear()


Change = Callable[..., None]


@pytest.fixture
def change(stage: Stage) -> Change:
    """Changes the booking's row as somebody else's UPDATE does."""

    def apply(**values: Any) -> None:
        Booking.objects.filter(id=stage.booking.id).update(**values)

    return apply
