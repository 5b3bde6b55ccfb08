"""A booking's timeline: what was sent, what is planned, and what a person can do about it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation import clock
from automation.durable import payloads
from automation.models import (
    Booking,
    BookingAuditLog,
    BookingEvent,
    EventType,
    ExecutionStep,
    NotificationLog,
    NotificationStatus,
    User,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, triggers, workflow_plans, workflows
from tests.api.conftest import NOBODY, booking_of, execution_of, problem_of

pytestmark = pytest.mark.django_db

MAIL = {"name": "Mail", "action_type": "send_email", "subject": "{{ event_type_name }}", "message": "Hello"}
MISSING = [{"operator": "AND", "rules": [{"field": "has_phone", "operator": "is_true"}]}]


def make(owner: User, *actions: dict[str, Any], **fields: Any) -> Workflow:
    defaults = {"name": "Reminder", "trigger": "before_meeting", "delay_minutes": 60, "actions": actions or [MAIL]}
    return workflows.create(owner, **{**defaults, **fields})


def process() -> None:
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))


@pytest.fixture
def planned(owner: User, event_type: EventType) -> WorkflowExecution:
    """A reminder an hour before a meeting in three days."""
    make(owner)
    booking_of(event_type)
    process()
    return WorkflowExecution.objects.select_related("booking", "workflow").get()


def url(row: WorkflowExecution | Booking, control: str = "") -> str:
    if isinstance(row, Booking):
        return f"/api/v1/bookings/{row.pk}/timeline/"
    return f"/api/v1/bookings/{row.booking_id}/timeline/{row.pk}/{control}/"


def entries(api: APIClient, booking: Any, kind: str = "") -> list[dict[str, Any]]:
    response = api.get(url(booking))
    assert response.status_code == 200, response.content
    return [entry for entry in response.json()["entries"] if not kind or entry["kind"] == kind]


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


# --- What it shows ----------------------------------------------------------------------------------------------------


def test_it_shows_what_is_planned_and_what_that_would_come_to(
    api: APIClient, owner: User, event_type: EventType
) -> None:
    make(owner, MAIL, {**MAIL, "name": "Text them", "conditions": MISSING, "delay_minutes": 15, "order": 3})
    booking = booking_of(event_type)
    process()
    first, second = entries(api, booking, "planned")
    begins = booking.start_time - dt.timedelta(minutes=60)
    assert (moment(first["at"]), moment(second["at"])) == (begins, begins + dt.timedelta(minutes=15))
    assert (first["action"], first["status"], first["subject"]) == ("Mail", "runs", "Discovery Call")
    assert first["recipients"] == ["jose@enterprise.com"]
    assert first["controls"] == ["skip", "send_now", "move"]
    assert (second["action"], second["status"]) == ("Text them", "skipped_conditions")
    assert first["execution_id"] == second["execution_id"]


def test_it_shows_messages_changes_and_what_was_not_sent(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, name="Late", delay_minutes=60 * 24 * 30)
    booking = bookings.create(
        event_type, invitee_name="José", invitee_email="jose@enterprise.com", actor="ada@example.com",
        start_time=clock.now() + dt.timedelta(days=3),
    )  # fmt: skip
    process()
    sent = execution_of(workflow, booking=booking)
    NotificationLog.objects.create(
        organizer=owner, execution=sent, step_seq=1, channel="email", recipient="jose@enterprise.com", subject="Hi",
        status=NotificationStatus.SENT, sent_at=clock.now(),
    )  # fmt: skip
    (message,) = entries(api, booking, "message")
    assert (message["status"], message["subject"], message["workflow_name"]) == ("sent", "Hi", "Late")
    (change,) = entries(api, booking, "change")
    assert (change["status"], change["actor"]) == ("created", "ada@example.com")
    (late,) = entries(api, booking, "not_sent")
    assert "had already passed" in late["reason"]
    times = [moment(entry["at"]) for entry in entries(api, booking)]
    assert times == sorted(times)


def test_it_shows_actions_that_wait_in_an_execution_that_has_begun(
    api: APIClient, owner: User, planned: WorkflowExecution
) -> None:
    assert planned.version is not None
    action = planned.version.snapshot["actions"][0]
    WorkflowExecution.objects.update(status="running", started_at=clock.now())
    at = clock.now() + dt.timedelta(hours=1)
    ExecutionStep.objects.create(
        execution=planned, seq=1, kind="activity", name="execute_email_action", status="pending", run_at=at,
        input=payloads.encode([{"action_id": action["id"]}]),
    )  # fmt: skip
    (entry,) = entries(api, planned.booking, "planned")
    assert (moment(entry["at"]), entry["action"], entry["controls"]) == (at, "Mail", [])


# --- What can be done -------------------------------------------------------------------------------------------------


def test_it_skips(api: APIClient, planned: WorkflowExecution) -> None:
    response = api.post(url(planned, "skip"), {"reason": "I have called them."})
    assert response.status_code == 200, response.content
    kinds = [entry["kind"] for entry in response.json()["entries"]]
    assert "planned" not in kinds
    planned.refresh_from_db()
    assert (planned.status, planned.error_message) == (
        "cancelled", "Skipped by ada@example.com. I have called them.",
    )  # fmt: skip
    problem_of(api.post(url(planned, "skip")), 409, "conflict")
    # It stays skipped, whatever is planned anew for this time.
    assert planned.workflow_id is not None
    workflow_plans.mark([planned.workflow_id])
    workflow_plans.plan_workflow(planned.workflow_id)
    planned.refresh_from_db()
    assert planned.status == "cancelled"
    assert BookingAuditLog.objects.filter(action="message_skipped", execution=planned, actor="ada@example.com").exists()


def test_it_sends_now(api: APIClient, planned: WorkflowExecution) -> None:
    assert api.post(url(planned, "send-now")).status_code == 200
    planned.refresh_from_db()
    assert planned.status == "pending"
    assert planned.scheduled_for is not None
    assert planned.scheduled_for <= clock.now()
    assert planned.workflow_id is not None
    workflow_plans.mark([planned.workflow_id])
    workflow_plans.plan_workflow(planned.workflow_id)
    planned.refresh_from_db()
    assert planned.status == "pending"
    assert planned.scheduled_for <= clock.now()


def test_it_moves_and_the_time_stays(api: APIClient, owner: User, planned: WorkflowExecution) -> None:
    assert planned.booking is not None
    assert planned.workflow is not None
    at = planned.booking.start_time - dt.timedelta(minutes=10)
    (entry,) = [
        entry
        for entry in api.post(url(planned, "move"), {"at": at.isoformat()}).json()["entries"]
        if entry["kind"] == "planned"
    ]
    assert (moment(entry["at"]), entry["set_by_hand"]) == (at, True)
    # Neither an edit of the workflow nor another event of the booking takes it back.
    workflows.update(planned.workflow, delay_minutes=120)
    workflow_plans.plan_workflow(planned.workflow.pk)
    bookings.update(planned.booking.pk, invitee_name="Joe")
    process()
    planned.refresh_from_db()
    assert planned.scheduled_for == at
    assert planned.version is not None
    assert planned.version.number == 2
    # The meeting's own move does: another meeting, another time.
    start = planned.booking.start_time + dt.timedelta(days=1)
    bookings.reschedule(planned.booking.pk, start)
    process()
    planned.refresh_from_db()
    assert planned.scheduled_for == start - dt.timedelta(minutes=120)
    assert [entry["set_by_hand"] for entry in entries(api, planned.booking, "planned")] == [False]


def test_a_workflow_that_was_off_and_is_on_again_plans_anew(
    api: APIClient, owner: User, planned: WorkflowExecution
) -> None:
    assert planned.booking is not None
    assert planned.workflow is not None
    before = planned.scheduled_for
    at = planned.booking.start_time - dt.timedelta(minutes=10)
    api.post(url(planned, "move"), {"at": at.isoformat()})
    for is_active in (False, True):
        workflows.update(planned.workflow, is_active=is_active)
        workflow_plans.plan_workflow(planned.workflow.pk)
    planned.refresh_from_db()
    assert (planned.status, planned.scheduled_for, planned.fixed_sequence) == ("pending", before, None)


def test_a_time_set_by_hand_does_not_outlive_the_booking(api: APIClient, planned: WorkflowExecution) -> None:
    assert planned.booking is not None
    at = planned.booking.start_time - dt.timedelta(minutes=10)
    api.post(url(planned, "move"), {"at": at.isoformat()})
    bookings.cancel(planned.booking.pk)
    process()
    planned.refresh_from_db()
    assert planned.status == "cancelled"


def test_what_an_event_has_delayed_can_be_moved_too(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, trigger="booking_created", delay_minutes=60)
    booking = booking_of(event_type)
    process()
    execution = WorkflowExecution.objects.get()
    at = booking.start_time + dt.timedelta(days=1)
    assert api.post(url(execution, "move"), {"at": at.isoformat()}).status_code == 200
    workflows.update(workflow, delay_minutes=30)
    workflow_plans.plan_workflow(workflow.pk)
    execution.refresh_from_db()
    assert execution.scheduled_for == at


@pytest.mark.parametrize(("minutes", "word"), [(0, "before the meeting"), (-60 * 24 * 30, "has passed"), (None, "")])
def test_it_moves_to_no_time_that_makes_no_sense(
    api: APIClient, planned: WorkflowExecution, minutes: int | None, word: str
) -> None:
    assert planned.booking is not None
    body = {}
    if minutes is not None:
        body = {"at": (planned.booking.start_time + dt.timedelta(minutes=minutes)).isoformat()}
    error = problem_of(api.post(url(planned, "move"), body), 400, "invalid")
    assert word in error["fields"]["at"][0]
    planned.refresh_from_db()
    assert planned.fixed_sequence is None


@pytest.mark.parametrize("control", ["skip", "send-now", "move"])
def test_what_has_begun_is_left(api: APIClient, planned: WorkflowExecution, control: str) -> None:
    WorkflowExecution.objects.update(status="running", started_at=clock.now())
    assert planned.booking is not None
    at = (planned.booking.start_time - dt.timedelta(minutes=5)).isoformat()
    problem_of(api.post(url(planned, control), {"at": at}), 409, "conflict")
    planned.refresh_from_db()
    assert planned.status == "running"


# --- Whose ------------------------------------------------------------------------------------------------------------


def test_it_hides_other_peoples(
    stranger: APIClient, anonymous: APIClient, operator: APIClient, planned: WorkflowExecution
) -> None:
    assert planned.booking is not None
    for client, status in ((stranger, 404), (anonymous, 401)):
        problem_of(client.get(url(planned.booking)), status)
        for control in ("skip", "send-now", "move"):
            problem_of(client.post(url(planned, control), {"at": "2100-01-01T00:00:00Z"}), status)
    assert operator.get(url(planned.booking)).status_code == 200
    planned.refresh_from_db()
    assert planned.status == "pending"


def test_it_takes_no_execution_of_another_booking(api: APIClient, owner: User, planned: WorkflowExecution) -> None:
    other = booking_of(EventType.objects.create(organizer=owner, name="Other", duration=30))
    problem_of(api.post(f"{url(other)}{planned.pk}/skip/"), 404)
    problem_of(api.post(f"{url(other)}{NOBODY}/skip/"), 404)


def test_it_takes_no_more_queries_for_more(api: APIClient, owner: User, event_type: EventType) -> None:
    counts = []
    for count in (1, 10):
        for number in range(count):
            make(owner, MAIL, name=f"W{count}-{number}", delay_minutes=number)
        booking = booking_of(event_type)
        process()
        for execution in WorkflowExecution.objects.filter(booking=booking):
            NotificationLog.objects.create(execution=execution, channel="email", recipient="x@example.com")
        with CaptureQueriesContext(connection) as queries:
            entries(api, booking)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8
