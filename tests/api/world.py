"""One organizer for whom there is a row of every kind, and one good call of every operation of the API.

`$name` in a path's parameter, a query or a body stands for `World.ids[name]`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from automation import clock
from automation.models import (
    Alert,
    BookingEvent,
    BulkTest,
    BulkTestResult,
    CircuitState,
    Destination,
    EventType,
    ExecutionStatus,
    ExecutionStep,
    HeldCall,
    HeldState,
    InboundEvent,
    NotificationEvent,
    NotificationLog,
    NotificationPreference,
    StepKind,
    StepStatus,
    Suppression,
    TestType,
    User,
    WorkerHeartbeat,
    WorkflowAction,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.services import gallery, inbound_sources, publishing, triggers, workflows
from tests.api.conftest import NOBODY, PASSWORD, booking_of, execution_of

PREFIX = "/api/v1/"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
HOOK = {"name": "Hook", "action_type": "webhook", "webhook_url": "https://crm.example.com/x"}


def document() -> dict[str, Any]:
    """The OpenAPI document as it is served."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


def operations(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """'GET workflows/{id}/' → the operation, in the document's order."""
    return {
        f"{method.upper()} {path.removeprefix(PREFIX)}": operation
        for path, item in found["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


# --- Rows -------------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """What `fill` has made, by the names that calls use."""

    owner: User
    ids: dict[str, str]

    def put(self, template: Any) -> Any:
        """The template with every `$name` replaced."""
        if isinstance(template, str) and template.startswith("$"):
            return self.ids.get(template[1:], template)
        if isinstance(template, dict):
            return {self.put(name): self.put(value) for name, value in template.items()}
        if isinstance(template, list):
            return [self.put(item) for item in template]
        return template

    def path(self, path: str, params: Mapping[str, str]) -> str:
        """The path, below the prefix, with its parameters given."""
        return PREFIX + re.sub(r"{(\w+)}", lambda match: self.put(params[match[1]]), path)


def fill(owner: User, number: int = 0) -> World:
    """One more row of every kind, each the owner's (worker nodes are nobody's)."""
    event_type = EventType.objects.create(organizer=owner, name=f"Call {number}", slug=f"call-{number}", duration=30)
    unused = EventType.objects.create(organizer=owner, name=f"Unused {number}", slug=f"unused-{number}", duration=30)
    booking = booking_of(event_type, start_time=clock.now().replace(microsecond=0) + dt.timedelta(days=3 + number))
    past = booking_of(event_type, start_time=clock.now().replace(microsecond=0) - dt.timedelta(days=3 + number))
    workflow = workflows.create(
        owner,
        by=owner,
        name=f"Flow {number}",
        trigger="booking_created",
        actions=[MAIL, HOOK],
        event_types=[event_type],
    )
    workflows.update(workflow, by=owner, description="Edited")  # version 2, and a line in the audit log
    reminder = workflows.create(
        owner, by=owner, name=f"Reminder {number}", trigger="before_meeting", delay_minutes=60, actions=[MAIL]
    )
    drafted = workflows.create(owner, by=owner, name=f"Drafted {number}", trigger="booking_created", actions=[MAIL])
    publishing.save_draft(drafted, by=owner, description="As it will be")
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))
    plan = WorkflowExecution.objects.get(workflow=reminder, booking=booking)

    ended = execution_of(workflow, booking=booking, business_id=f"ended-{number}")
    running = execution_of(
        workflow, booking=booking, business_id=f"running-{number}", status=ExecutionStatus.RUNNING, completed_at=None
    )
    paused = execution_of(
        workflow,
        business_id=f"paused-{number}",
        status=ExecutionStatus.RUNNING,
        completed_at=None,
        paused_at=clock.now(),
    )
    failed = execution_of(workflow, booking=booking, business_id=f"failed-{number}", status=ExecutionStatus.FAILED)
    failed.steps.update(status=StepStatus.FAILED, resolved_seq=1)
    dead = execution_of(workflow, booking=booking, business_id=f"dead-{number}", status=ExecutionStatus.DEAD_LETTER)
    destination = Destination.objects.create(
        organizer=owner, host=f"crm-{number}.example.com", state=CircuitState.OPEN, opened_at=clock.now()
    )
    HeldCall.objects.create(
        destination=destination, execution=failed, step_seq=1, state=HeldState.FAILED, cause="HTTP 503", message="m"
    )
    source, _ = inbound_sources.create(owner, name=f"Cal {number}", kind="cal_com", default_event_type=event_type)
    event = InboundEvent.objects.create(
        source=source, external_id=f"e{number}", body_hash="0" * 64, type="PING", payload="{}", status="failed"
    )
    message = NotificationLog.objects.create(
        organizer=owner, execution=ended, step_seq=1, workflow=workflow, booking=booking,
        channel="email", recipient="jose@example.com", subject="Hi", body="Hello", status="sent", sent_at=clock.now(),
    )  # fmt: skip
    NotificationEvent.objects.create(
        notification=message, source="twilio", event_id="1", kind="delivered", occurred_at=clock.now()
    )
    preference = NotificationPreference.objects.create(organizer=owner, recipient=f"jose-{number}@example.com")
    suppression = Suppression.objects.create(
        organizer=owner, channel="email", recipient=f"gone-{number}@example.com", reason="manual"
    )
    template = gallery.save(workflow, by=owner, category="booking", name=f"Ours {number}")
    test = BulkTest.objects.create(
        organizer=owner, execution=running, test_type=TestType.MOCK_DATA, workflow_ids=[str(workflow.pk)],
        booking_ids=[], total=2,
    )  # fmt: skip
    BulkTestResult.objects.create(
        bulk_test=test, position=0, workflow_id=workflow.pk, workflow_name=workflow.name, passed=True, result={}
    )
    Alert.objects.create(kind="slow", key=str(number), message="Slow.", workflow=workflow, execution=failed)
    WorkerHeartbeat.objects.create(id=f"w{number}", node=f"worker-{number}", hostname="h", pid=1, queues=["q"])
    return World(
        owner,
        {
            name: str(row.pk)
            for name, row in {
                "event_type": event_type, "unused": unused, "booking": booking, "past": past,
                "workflow": workflow, "reminder": reminder, "drafted": drafted, "action": workflow.actions.first(),
                "second_action": workflow.actions.last(),
                "plan": plan, "ended": ended, "running": running, "paused": paused, "failed": failed, "dead": dead,
                "destination": destination, "source": source, "event": event, "message": message,
                "preference": preference, "suppression": suppression, "template": template, "bulk_test": test,
            }.items()
        }
        | {"number": str(number), "definition": "flows_order", "nobody": NOBODY},
    )  # fmt: skip


def grow(world: World) -> None:
    """Four more of what lies below the rows of a world: actions, versions, steps, results, news of a message."""
    ids = world.ids
    for more in range(1, 5):
        WorkflowAction.objects.create(workflow_id=ids["workflow"], name=f"More {more}", action_type="send_email")
        WorkflowVersion.objects.create(workflow_id=ids["workflow"], number=10 + more, snapshot={"actions": []})
        ExecutionStep.objects.create(
            execution_id=ids["ended"], seq=1 + more, kind=StepKind.ACTIVITY, name="a", status=StepStatus.COMPLETED
        )
        BulkTestResult.objects.create(
            bulk_test_id=ids["bulk_test"], position=more, workflow_id=ids["workflow"], passed=True, result={}
        )
        NotificationEvent.objects.create(
            notification_id=ids["message"], source="twilio", event_id=f"m{more}", kind="opened", occurred_at=clock.now()
        )


# --- Calls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call that is good: the owner gets `owner`, and staff `staff` (the same, unless said)."""

    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)
    owner: int = 200
    staff: int | None = None
    stranger: int | None = None
    """What another organizer gets: 404 where the path names rows, `owner` elsewhere, unless said."""
    anonymous: int = 401

    @property
    def by_staff(self) -> int:
        return self.owner if self.staff is None else self.staff

    @property
    def by_stranger(self) -> int:
        if self.stranger is not None:
            return self.stranger
        return 404 if self.params else self.owner


def of(row: str, body: Any = None, owner: int = 200, **fields: Any) -> Call:
    """A call of a path that ends in one row's id, or goes on below it."""
    return Call({"id": f"${row}"}, body, owner=owner, **fields)


def at(days: int) -> str:
    return (clock.now().replace(microsecond=0) + dt.timedelta(days=days)).isoformat()


STAFF_ONLY = {"owner": 403, "staff": 200, "stranger": 403}
WORKFLOW = {"name": "Another", "trigger": "booking_created", "actions": [MAIL, HOOK], "event_types": ["$event_type"]}
PLANNED = {"id": "$booking", "execution_id": "$plan"}

CALLS: dict[str, Call] = {
    "POST auth/token/": Call(body={"email": "ada@example.com", "password": PASSWORD}, anonymous=200),
    "GET health/": Call(anonymous=200),
    # Reference
    "GET workflows/action-types/": Call(),
    "GET workflows/context-fields/": Call(),
    # Event types
    "GET event-types/": Call(),
    "POST event-types/": Call(body={"name": "Workshop", "duration": 90}, owner=201),
    "GET event-types/{id}/": of("event_type"),
    "PUT event-types/{id}/": of("event_type", {"name": "Renamed", "duration": 45}),
    "PATCH event-types/{id}/": of("event_type", {"duration": 60}),
    "DELETE event-types/{id}/": of("unused", owner=204),
    # Bookings
    "GET bookings/": Call(),
    "POST bookings/": Call(
        body={
            "event_type": "$event_type",
            "invitee_name": "José",
            "invitee_email": "jose@example.com",
            "start_time": at(9),
        },
        owner=201,
        stranger=400,
    ),
    "GET bookings/{id}/": of("booking"),
    "PATCH bookings/{id}/": of("booking", {"invitee_name": "Josefa"}),
    "POST bookings/{id}/cancel/": of("booking", {"reason": "Ill"}),
    "POST bookings/{id}/complete/": of("past"),
    "POST bookings/{id}/no-show/": of("past"),
    "POST bookings/{id}/reschedule/": of("booking", {"start_time": at(12)}),
    "GET bookings/{id}/explain/": of("booking"),
    "GET bookings/{id}/timeline/": of("booking"),
    "POST bookings/{id}/timeline/{execution_id}/move/": Call(PLANNED, {"at": at(2)}),
    "POST bookings/{id}/timeline/{execution_id}/send-now/": Call(PLANNED),
    "POST bookings/{id}/timeline/{execution_id}/skip/": Call(PLANNED, {"reason": "They know"}),
    # Workflows
    "GET workflows/": Call(),
    "POST workflows/": Call(body=WORKFLOW, owner=201, staff=400, stranger=400),
    "GET workflows/{id}/": of("workflow"),
    "PUT workflows/{id}/": of("workflow", WORKFLOW),
    "PATCH workflows/{id}/": of("workflow", {"description": "Edited again"}),
    "DELETE workflows/{id}/": of("workflow", owner=204),
    "GET workflows/{id}/actions/": of("workflow"),
    "POST workflows/{id}/actions/": of("workflow", {**MAIL, "name": "Second mail"}, 201),
    "POST workflows/{id}/actions/reorder/": of("workflow", {"ids": ["$second_action", "$action"]}),
    "GET workflows/actions/{id}/": of("action"),
    "PUT workflows/actions/{id}/": of("action", {**MAIL, "subject": "Hello"}),
    "PATCH workflows/actions/{id}/": of("action", {"subject": "Hello"}),
    "DELETE workflows/actions/{id}/": of("action", owner=204),
    "POST workflows/bulk/": Call(body={"action": "disable", "ids": ["$workflow", "$drafted"]}),
    "POST workflows/{id}/duplicate/": of("workflow", {"name": "Copy"}, 201),
    "GET workflows/{id}/execution-summary/": of("workflow", query={"days": 30}),
    "GET workflows/performance-stats/": Call(query={"days": 7}),
    # Drafts and versions
    "GET workflows/{id}/draft/": of("drafted"),
    "PUT workflows/{id}/draft/": of("drafted", WORKFLOW),
    "PATCH workflows/{id}/draft/": of("drafted", {"description": "Or so"}),
    "DELETE workflows/{id}/draft/": of("drafted", owner=204),
    "POST workflows/{id}/publish/": of("drafted", {}),
    "POST workflows/{id}/backtest/": of("drafted", {"bookings": 10}),
    "GET workflows/{id}/versions/": of("workflow"),
    "GET workflows/{id}/versions/{number}/": Call({"id": "$workflow", "number": "2"}, query={"against": "1"}),
    "POST workflows/{id}/versions/{number}/roll-back/": Call({"id": "$workflow", "number": "1"}),
    # Trials
    "POST workflows/{id}/test/": of("workflow", {"test_type": "real_data", "booking_id": "$booking"}),
    "POST workflows/{id}/validate/": of("workflow", {"runtime": False}),
    "GET workflows/bulk-test/": Call(),
    "POST workflows/bulk-test/": Call(body={"test_type": "mock_data", "workflow_ids": ["$workflow"]}, stranger=400),
    "GET workflows/bulk-test/{id}/": of("bulk_test"),
    "GET workflows/bulk-test/{id}/results/": of("bulk_test"),
    "POST workflows/bulk-test/{id}/stop/": of("bulk_test"),
    # Documents and templates
    "GET workflows/export/": Call(query={"format": "json"}),
    "GET workflows/{id}/export/": of("workflow", query={"format": "yaml"}),
    "POST workflows/import/": Call(
        body={"weir": 1, "workflows": [{"name": "Imported", "trigger": "booking_created", "actions": [MAIL]}]},
        query={"mode": "copy"},
        owner=201,
    ),
    "GET workflows/templates/": Call(query={"own": "true"}),
    "POST workflows/templates/": Call(
        body={"workflow": "$workflow", "category": "reminder", "name": "T"}, owner=201, stranger=404
    ),
    "GET workflows/templates/{id}/": of("template"),
    "DELETE workflows/templates/{id}/": of("template", owner=204),
    "POST workflows/templates/create-from/": Call(
        body={"template_id": "$template", "customizations": {"name": "Made"}}, owner=201, stranger=404
    ),
    # Executions
    "GET executions/": Call(),
    "GET workflows/executions/": Call(),
    "GET executions/{id}/": of("ended"),
    "GET executions/{id}/steps/": of("ended"),
    "POST executions/{id}/cancel/": of("running", {"reason": "Enough"}),
    "POST executions/{id}/pause/": of("running"),
    "POST executions/{id}/resume/": of("paused"),
    "POST executions/{id}/retry/": of("failed"),
    "POST executions/{id}/redrive/": of("dead"),
    "POST executions/{id}/restart/": of("ended", {}, 201),
    "POST executions/{id}/signal/": of("running", {"name": "hello", "args": [1]}, 202),
    "POST executions/{id}/query/": of(
        "ended", {"name": "status"}, 422
    ),  # an automation has no queries; see test_definitions for those that do
    "POST executions/{id}/update/": of("running", {"name": "hello", "wait_seconds": 0}, 202),
    # Python workflows: staff's
    "GET definitions/": Call(**STAFF_ONLY),
    "GET definitions/{name}/": Call({"name": "$definition"}, **STAFF_ONLY),
    "POST definitions/{name}/start/": Call(
        {"name": "$definition"}, {"input": {"url": "http://127.0.0.1"}}, **{**STAFF_ONLY, "staff": 201}
    ),
    # Messages
    "GET notifications/totals/": Call(query={"days": "7"}),
    "GET notifications/": Call(),
    "GET notifications/{id}/": of("message"),
    "GET notification-preferences/": Call(),
    "POST notification-preferences/": Call(body={"recipient": "new@example.com", "daily_limit": 3}, owner=201),
    "GET notification-preferences/{id}/": of("preference"),
    "PATCH notification-preferences/{id}/": of("preference", {"timezone": "Europe/Madrid"}),
    "DELETE notification-preferences/{id}/": of("preference", owner=204),
    "GET suppressions/": Call(),
    "POST suppressions/": Call(body={"channel": "email", "recipient": "no@example.com", "reason": "manual"}, owner=201),
    "GET suppressions/{id}/": of("suppression"),
    "DELETE suppressions/{id}/": of("suppression", owner=204),
    "POST callbacks/{provider}/": Call({"provider": "email"}, {}, owner=404, stranger=404, anonymous=404),
    # What comes from outside, and where calls go
    "GET inbound-sources/": Call(),
    "POST inbound-sources/": Call(
        body={"name": "Mine", "kind": "cal_com", "default_event_type": "$event_type"},
        owner=201,
        staff=400,
        stranger=400,
    ),
    "GET inbound-sources/{id}/": of("source"),
    "PATCH inbound-sources/{id}/": of("source", {"name": "Renamed"}),
    "DELETE inbound-sources/{id}/": of("source", owner=204),
    "POST inbound-sources/{id}/rotate/": of("source", {}),
    "POST inbound/{source}/": Call({"source": "$source"}, {"triggerEvent": "PING"}, owner=401, stranger=401),
    "GET events/": Call(),
    "GET events/{id}/": of("event"),
    "POST events/{id}/process/": of("event"),
    "GET destinations/": Call(),
    "POST destinations/": Call(body={"host": "hooks.example.com", "rate": "60/min"}),
    "GET destinations/{id}/": of("destination"),
    "POST destinations/{id}/close/": of("destination"),
    "POST destinations/{id}/replay/": of("destination", {"cause": "HTTP 503"}, 202),
    # Operations
    "GET audit/": Call(),
    "GET alerts/": Call(),
    "GET workers/": Call(**STAFF_ONLY),
}
"""Every operation of the API. `test_walk` fails where one is missing, or is no more."""

PUBLIC = {
    "POST auth/token/": "gives out tokens",
    "GET health/": "load balancers ask",
    "POST callbacks/{provider}/": "the provider's signature is asked for instead",
    "POST inbound/{source}/": "the sender's signature is asked for instead",
}
"""Operations that somebody who is not signed in may call, and why."""
