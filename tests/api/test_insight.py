"""Backtests and summaries."""

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
    BookingEvent,
    BookingStatus,
    EventType,
    ExecutionStatus,
    ExecutionStep,
    User,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, workflows
from automation.services.backtest import events_of, verdict
from tests.api.conftest import NOBODY, booking_of, execution_of, problem_of

pytestmark = pytest.mark.django_db

MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
NOW = clock.now().replace(microsecond=0)


def only(domain: str) -> list[dict[str, Any]]:
    return [{"operator": "AND", "rules": [{"field": "invitee_domain", "operator": "equals", "value": domain}]}]


def make(owner: User, *actions: dict[str, Any], **fields: Any) -> Workflow:
    return workflows.create(
        owner, **{"name": "W", "trigger": "booking_created", "actions": actions or [MAIL], **fields}
    )


def url(workflow: Workflow, rest: str) -> str:
    return f"/api/v1/workflows/{workflow.pk}/{rest}/"


def backtested(api: APIClient, workflow: Workflow, **body: Any) -> dict[str, Any]:
    response = api.post(url(workflow, "backtest"), body)
    assert response.status_code == 200, response.content
    result: dict[str, Any] = response.json()
    return result


# --- Backtests --------------------------------------------------------------------------------------------------------


def test_it_tells_on_which_bookings_the_draft_would_have_acted(
    api: APIClient, owner: User, event_type: EventType
) -> None:
    for email in ("a@enterprise.com", "b@enterprise.com", "c@other.com"):
        booking_of(event_type, invitee_email=email)
    live = make(owner, {**MAIL, "conditions": only("enterprise.com")})
    action_id = str(live.actions.get().pk)
    draft = {"actions": [{"id": action_id, "conditions": only("other.com")}, {**MAIL, "name": "All"}]}
    assert api.patch(url(live, "draft"), draft).status_code == 200
    result = backtested(api, live)
    assert result["summary"] == ("The draft would have acted on 3 of the last 3 bookings, the live version on 2.")
    assert (result["candidate_version"], result["live_version"]) == (None, 1)
    assert (result["both_act"], result["only_candidate"], result["only_live"]) == (2, 1, 0)
    assert result["differences"] == 3
    newest = result["results"][0]
    assert (newest["candidate"]["actions"], newest["live"]["actions"]) == (["Mail", "All"], [])
    assert newest["live"]["reason"] == "No action's conditions hold."


def test_without_a_draft_nothing_differs(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(owner)
    result = backtested(api, workflow, only_differences=True)
    assert (result["candidate_version"], result["candidate_acts"], result["results"]) == (1, 1, [])
    workflows.update(workflow, actions=[])
    assert backtested(api, workflow, version=1)["only_candidate"] == 1
    problem_of(api.post(url(workflow, "backtest"), {"version": 9}), 404)
    problem_of(api.post(url(workflow, "backtest"), {"bookings": 0}), 400)


def judged(booking: Booking, trigger: str, delay: int = 0, **content: Any) -> tuple[bool, str]:
    row = Booking.objects.select_related("event_type", "organizer").get(pk=booking.pk)
    actions = [{"id": NOBODY, **action} for action in content.pop("actions", [MAIL])]
    snapshot = {
        **{"trigger": trigger, "delay_minutes": delay, "late_policy": "skip", "event_types": []},
        **{"actions": actions, **content},
    }
    found = verdict(snapshot, row, events_of([row.pk])[row.pk], clock.now())
    return found.acts, found.reason


def at(booking: Booking, trigger: str, when: dt.datetime) -> None:
    BookingEvent.objects.filter(booking=booking, trigger=trigger).update(occurred_at=when)


def test_it_knows_what_had_happened_by_then(event_type: EventType) -> None:
    start = NOW - dt.timedelta(days=2)
    booking = booking_of(event_type, start_time=start, created_at=start - dt.timedelta(days=5))
    at(booking, "booking_created", booking.created_at)
    assert judged(booking, "booking_created") == (True, "")
    assert judged(booking, "before_meeting", 60) == (True, "")
    assert judged(booking, "after_meeting", 60) == (True, "")
    assert judged(booking, "booking_cancelled") == (False, "It was not cancelled.")
    assert judged(booking, "booking_rescheduled") == (False, "Its time was not changed.")
    assert judged(booking, "before_meeting", 60 * 24 * 30)[0] is False
    bookings.cancel(booking.pk)
    at(booking, "booking_cancelled", start - dt.timedelta(minutes=90))
    assert judged(booking, "booking_created") == (True, "")
    assert judged(booking, "booking_created", 60 * 24 * 6) == (False, "It was cancelled before its time had come.")
    assert judged(booking, "booking_cancelled") == (True, "")
    assert judged(booking, "before_meeting", 120) == (True, "")
    assert judged(booking, "before_meeting", 60)[0] is False
    assert judged(booking, "after_meeting", 60)[0] is False


def test_a_completed_meeting_had_its_reminder(event_type: EventType) -> None:
    start = NOW - dt.timedelta(days=2)
    booking = booking_of(event_type, start_time=start, created_at=start - dt.timedelta(days=5))
    at(booking, "booking_created", booking.created_at)
    bookings.complete(booking.pk)
    assert judged(booking, "before_meeting", 60) == (True, "")
    assert judged(booking, "booking_completed") == (True, "")
    conditions = [
        {"operator": "AND", "rules": [{"field": "booking_status", "operator": "equals", "value": "confirmed"}]}
    ]
    assert judged(booking, "before_meeting", 60, actions=[{**MAIL, "conditions": conditions}]) == (True, "")


def test_it_knows_bookings_that_came_without_events(owner: User, event_type: EventType) -> None:
    booking = booking_of(event_type, status=BookingStatus.CANCELLED)
    BookingEvent.objects.all().delete()
    assert judged(booking, "booking_cancelled") == (True, "")
    other = EventType.objects.create(organizer=owner, name="Workshop", duration=60)
    limited = judged(booking, "booking_cancelled", event_types=[str(other.pk)])
    assert limited == (False, "It is not for 'Discovery Call'.")
    assert judged(booking, "booking_cancelled", actions=[]) == (False, "It has no active action.")


def test_a_backtest_takes_no_more_queries_for_more_bookings(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner)
    api.patch(url(workflow, "draft"), {"delay_minutes": 5})
    counts = []
    for count in (1, 20):
        for _ in range(count):
            booking_of(event_type)
        with CaptureQueriesContext(connection) as queries:
            backtested(api, workflow)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10


# --- Summaries --------------------------------------------------------------------------------------------------------


def test_no_data_is_no_zero(api: APIClient, owner: User) -> None:
    body = api.get(url(make(owner), "execution-summary")).json()
    assert (body["total"], body["success_rate"], body["days"]) == (0, None, 30)
    assert body["seconds"] == {"average": None, "p50": None, "p95": None}
    assert body["lifetime"]["success_rate"] is None
    assert body["planned"] == {"count": 0, "next_at": None}
    assert body["actions"][0]["success_rate"] is None


def test_it_summarizes(api: APIClient, owner: User) -> None:
    workflow = make(owner, MAIL, {**MAIL, "name": "Second"})
    first, second = workflow.actions.order_by("order")
    results = {first.pk: ["success", "success", "skipped_conditions"], second.pk: ["success"] * 3}
    for number in range(3):
        execution = execution_of(workflow, started_at=NOW, completed_at=NOW + dt.timedelta(seconds=10 * (number + 1)))
        execution.steps.all().delete()
        for seq, (id_, statuses) in enumerate(results.items(), 1):
            ExecutionStep.objects.create(
                execution=execution, seq=seq, kind="activity", name="execute_email_action", status="completed",
                input=payloads.encode([{"action_id": str(id_)}]), output=payloads.encode({"status": statuses[number]}),
            )  # fmt: skip
    execution_of(workflow, status=ExecutionStatus.FAILED, error_message="No such host", completed_at=NOW)
    execution_of(workflow, created_at=NOW - dt.timedelta(days=40))
    ahead = NOW + dt.timedelta(days=1)
    WorkflowExecution.objects.create(workflow=workflow, definition="automation", queue="q", scheduled_for=ahead)
    body = api.get(url(workflow, "execution-summary")).json()
    assert (body["total"], body["by_status"]["completed"], body["by_status"]["failed"]) == (5, 3, 1)
    assert body["success_rate"] == 75.0
    assert body["seconds"] == {"average": 20.0, "p50": 20.0, "p95": 30.0}
    assert [(one["name"], one["succeeded"], one["skipped_conditions"]) for one in body["actions"]] == [
        ("Mail", 2, 1), ("Second", 3, 0),
    ]  # fmt: skip
    assert [(error["message"], error["count"]) for error in body["errors"]] == [("No such host", 1)]
    assert body["planned"] == {"count": 1, "next_at": ahead.isoformat()}
    assert len(body["recent"]) == 5
    assert api.get(url(workflow, "execution-summary") + "?days=60").json()["total"] == 6
    problem_of(api.get(url(workflow, "execution-summary") + "?days=x"), 400)


def test_a_summary_takes_no_more_queries_for_more_runs(api: APIClient, owner: User) -> None:
    workflow = make(owner)
    execution_of(workflow)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            assert api.get(url(workflow, "execution-summary")).status_code == 200
        counts.append(len(queries))
        for _ in range(10):
            execution_of(workflow)
    assert counts[0] == counts[1] <= 10
