"""Why a workflow did, or did not, do something about a booking."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation import clock
from automation.causes import caused_by
from automation.durable import payloads
from automation.models import (
    Booking,
    BookingEvent,
    EventType,
    ExecutionStep,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)
from automation.rules import conditions
from automation.services import bookings, triggers, workflows
from tests.api.conftest import booking_of, execution_of, problem_of

pytestmark = pytest.mark.django_db

MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello"}


def make(owner: User, name: str = "W", **fields: Any) -> Workflow:
    return workflows.create(owner, **{"name": name, "trigger": "booking_created", "actions": [MAIL], **fields})


def process() -> None:
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))


def explained(api: APIClient, booking: Booking) -> dict[str, Any]:
    response = api.get(f"/api/v1/bookings/{booking.pk}/explain/")
    assert response.status_code == 200, response.content
    return {one["workflow_name"]: one for one in response.json()["workflows"]}


def codes(api: APIClient, booking: Booking, name: str = "W") -> list[str]:
    return [reason["code"] for reason in explained(api, booking)[name]["reasons"]]


def told(api: APIClient, booking: Booking, name: str = "W") -> tuple[str, str]:
    one = explained(api, booking)[name]
    return one["verdict"], " ".join(reason["message"] for reason in one["reasons"])


def with_log(workflow: Workflow, booking: Booking, *results: dict[str, Any], **fields: Any) -> WorkflowExecution:
    """An execution that ended, with these results of its actions."""
    from automation.services import versions

    execution = execution_of(workflow, booking=booking, **{"version": versions.publish(workflow), **fields})
    execution.steps.all().delete()
    for seq, (action, result) in enumerate(zip(workflow.actions.order_by("order"), results, strict=True), 1):
        ExecutionStep.objects.create(
            execution=execution, seq=seq, kind="activity", name="execute_email_action", status="completed",
            input=payloads.encode([{"action_id": str(action.pk)}]), output=payloads.encode(result),
        )  # fmt: skip
    return execution


# --- Never started ----------------------------------------------------------------------------------------------------


def test_it_names_everything_that_keeps_a_workflow_from_a_booking(
    api: APIClient, owner: User, event_type: EventType
) -> None:
    other = EventType.objects.create(organizer=owner, name="Workshop", duration=60)
    make(owner, is_active=False, event_types=[other], trigger="booking_cancelled", actions=[])
    booking = booking_of(event_type)
    process()
    one = explained(api, booking)["W"]
    assert one["verdict"] == "not_started"
    assert [(reason["code"], reason["message"]) for reason in one["reasons"]] == [
        ("switched_off", "It is switched off."),
        ("event_type", "It is not for 'Discovery Call'."),
        ("cannot_run", "It cannot run: it has no active action."),
        ("not_happened", "The booking has not been cancelled."),
    ]


def test_it_tells_events_that_wait(api: APIClient, owner: User, event_type: EventType) -> None:
    make(owner)
    make(owner, "R", trigger="before_meeting", delay_minutes=60)
    booking = booking_of(event_type)
    assert codes(api, booking) == ["not_processed"]
    assert codes(api, booking, "R") == ["not_processed"]
    process()
    found = explained(api, booking)
    assert {name: one["verdict"] for name, one in found.items()} == {"W": "planned", "R": "planned"}


def test_it_tells_what_came_too_late(api: APIClient, owner: User, event_type: EventType) -> None:
    booking = booking_of(event_type)
    process()
    workflow = make(owner)
    Workflow.objects.update(created_at=clock.now() + dt.timedelta(seconds=1))
    assert codes(api, booking) == ["made_later"]
    Workflow.objects.update(created_at=clock.now() - dt.timedelta(days=1))
    Workflow.objects.filter(pk=workflow.pk).update(updated_at=clock.now() + dt.timedelta(seconds=1))
    assert codes(api, booking) == ["edited_later"]
    Workflow.objects.filter(pk=workflow.pk).update(updated_at=clock.now() - dt.timedelta(days=1))
    assert codes(api, booking) == ["cleaned_up"]
    Workflow.objects.filter(pk=workflow.pk).update(is_active=False)
    assert codes(api, booking) == ["switched_off"], "a guess is for where nothing else explains it"


def test_it_tells_causes_that_go_in_a_circle(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, trigger="booking_completed")
    booking = booking_of(event_type)
    process()
    cause = execution_of(workflow, trigger="booking_created")
    with caused_by("workflow", execution_id=cause.pk, workflow_id=workflow.pk, depth=1):
        bookings.complete(booking.pk)
    process()
    assert codes(api, booking) == ["own_change"]
    BookingEvent.objects.update(caused_by=None, depth=5)
    assert codes(api, booking) == ["loop"]


def test_a_workflow_whose_time_is_over_says_so(api: APIClient, owner: User, event_type: EventType) -> None:
    make(owner, trigger="before_meeting", delay_minutes=60)
    past = booking_of(event_type, start_time=clock.now() - dt.timedelta(days=1))
    WorkflowExecution.objects.all().delete()
    verdict, message = told(api, past)
    assert verdict == "not_started"
    assert "had already passed" in message


# --- Started ----------------------------------------------------------------------------------------------------------


def test_it_names_the_rule_that_did_not_hold_and_what_it_met(api: APIClient, owner: User, booking: Booking) -> None:
    groups = [
        {
            "operator": "AND",
            "rules": [
                {"field": "invitee_domain", "operator": "equals", "value": "other.com"},
                {"field": "attendee_count", "operator": "greater_than", "value": 0},
                {"operator": "OR", "rules": [{"field": "duration", "operator": "less_than", "value": {"expr": "1/0"}}]},
            ],
        }
    ]
    workflow = make(owner)
    trace = conditions.evaluate(groups, {"invitee_domain": "enterprise.com", "attendee_count": 2, "duration": 5}).trace
    with_log(workflow, booking, {"status": "skipped_conditions", "conditions": trace})
    one = explained(api, booking)["W"]
    assert one["verdict"] == "stopped"
    first, second = one["reasons"]
    assert first["message"] == ("Mail: invitee_domain equals 'other.com' does not hold: it is 'enterprise.com'.")
    assert first["details"]["actual"] == "enterprise.com"
    assert "duration less than" in second["message"]
    assert "has no value here" in second["message"]


def test_it_tells_what_acted_and_what_kept_part_of_it(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(owner, actions=[MAIL, {**MAIL, "name": "Second"}])
    suppressed = {"recipient": "jose@enterprise.com", "status": "suppressed", "detail": "jose has unsubscribed."}
    with_log(
        workflow, booking, {"status": "success", "recipients": [suppressed]},
        {"status": "skipped", "notes": ["The booking has been cancelled since this was planned."]},
    )  # fmt: skip
    verdict, message = told(api, booking)
    assert verdict == "acted"
    assert "jose has unsubscribed" in message
    assert "Second: The booking has been cancelled" in message


def test_it_tells_who_cancelled_and_what_failed(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(owner)
    skipped = with_log(workflow, booking, {"status": "success"})
    skipped.steps.all().delete()
    WorkflowExecution.objects.update(status="cancelled", error_message="Skipped by ada@example.com.")
    assert told(api, booking) == ("stopped", "Skipped by ada@example.com.")
    WorkflowExecution.objects.update(status="failed", error_message="1 of 1 actions failed")
    assert told(api, booking) == ("failed", "1 of 1 actions failed")


def test_it_tells_what_is_tried_again_and_what_is_paused(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(owner)
    running = with_log(workflow, booking, {"status": "success"}, status="running", completed_at=None)
    failure = payloads.encode({"type": "ApplicationError", "message": "No connection.", "details": []})
    running.steps.update(status="pending", attempt=2, failure=failure, output="", completed_at=None)
    WorkflowExecution.objects.update(paused_at=clock.now())
    verdict, message = told(api, booking)
    assert verdict == "running"
    assert "Mail failed 2 times and is tried again: " in message
    assert "It was paused at" in message


def test_a_late_plan_says_that_it_was_late(api: APIClient, owner: User, event_type: EventType) -> None:
    make(owner, trigger="before_meeting", delay_minutes=60 * 24 * 30)
    booking = booking_of(event_type)
    process()
    verdict, message = told(api, booking)
    assert verdict == "stopped"
    assert message.startswith("Its time")


def test_it_considers_every_workflow_and_tells_the_events(api: APIClient, owner: User, event_type: EventType) -> None:
    for name in ("B", "A", "C"):
        make(owner, name, is_active=name != "C")
    booking = booking_of(event_type)
    process()
    body = api.get(f"/api/v1/bookings/{booking.pk}/explain/").json()
    assert [one["workflow_name"] for one in body["workflows"]] == ["A", "B", "C"]
    assert [event["trigger"] for event in body["events"]] == ["booking_created"]
    assert WorkflowAction.objects.count() == 3


def test_it_hides_other_peoples(stranger: APIClient, anonymous: APIClient, booking: Booking) -> None:
    problem_of(stranger.get(f"/api/v1/bookings/{booking.pk}/explain/"), 404, "not_found")
    problem_of(anonymous.get(f"/api/v1/bookings/{booking.pk}/explain/"), 401)


def test_it_takes_no_more_queries_for_more_workflows(api: APIClient, owner: User, event_type: EventType) -> None:
    counts = []
    for count in (1, 15):
        for number in range(count):
            make(owner, f"W{count}-{number}")
        booking = booking_of(event_type)
        process()
        with CaptureQueriesContext(connection) as queries:
            explained(api, booking)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10
