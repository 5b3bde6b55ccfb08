"""Testing workflows: what is shown, and that nothing is sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation import clock
from automation.models import (
    Booking,
    BookingAuditLog,
    BookingStatus,
    EventType,
    NotificationLog,
    NotificationPreference,
    User,
    Workflow,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.providers.sms.memory import outbox as texts
from automation.services import monitoring, statistics, workflows
from project.celery import app
from tests.api.conftest import NOBODY, booking_of, problem_of
from tests.support.mail import SmtpServer
from tests.support.receiver import HttpReceiver

NEVER = [{"operator": "AND", "rules": [{"field": "invitee_domain", "operator": "equals", "value": "other.com"}]}]
MAIL = {
    "name": "Mail",
    "action_type": "send_email",
    "subject": "{{ event_type_name }}",
    "message": "Hello {{ invitee_name }}, your password is {{ meeting_password }}",
}
TEXT = {"name": "Text", "action_type": "send_sms", "message": "Hi {{ invitee_name }}"}
CHANGE = {"name": "Change", "action_type": "update_booking", "update_booking_fields": {"meeting_id": "42"}}


@pytest.fixture
def delivering(settings: Any) -> None:
    """What is sent in this process really goes out, to the receivers of the test run."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.SMS_BACKEND = "automation.providers.sms.memory.MemoryBackend"
    texts.clear()


@pytest.fixture
def inline() -> Iterator[None]:
    """Messages are carried out where they are sent, at once."""
    import tasks.registry  # noqa: F401

    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def make(owner: User, *actions: dict[str, Any], **fields: Any) -> Workflow:
    return workflows.create(
        owner, **{"name": "Tried", "trigger": "booking_created", "is_active": False, "actions": actions, **fields}
    )


SLACK = {
    "name": "Slack",
    "action_type": "slack_message",
    "webhook_secret": "https://hooks.slack.example/services/T0/B0/secret",
    "message": "{{ invitee_name }}",
}


def everything(receiver: HttpReceiver) -> list[dict[str, Any]]:
    hook = {"name": "Hook", "action_type": "webhook", "webhook_url": receiver.url(), "webhook_data": {"n": "{{ 1 }}"}}
    return [MAIL, TEXT, hook, CHANGE]


def url_for(workflow: Workflow, name: str = "test") -> str:
    return f"/api/v1/workflows/{workflow.pk}/{name}/"


def tried(api: APIClient, workflow: Workflow, **body: Any) -> dict[str, Any]:
    response = api.post(url_for(workflow), body)
    assert response.status_code == 200, response.content
    result: dict[str, Any] = response.json()
    return result


# --- Nothing is sent --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("test_type", ["mock_data", "real_data"])
def test_it_shows_everything_and_sends_nothing(
    api: APIClient,
    owner: User,
    booking: Booking,
    delivering: None,
    inline: None,
    smtp_server: SmtpServer,
    http_receiver: HttpReceiver,
    test_type: str,
) -> None:
    Booking.objects.filter(pk=booking.pk).update(invitee_phone="+34600123456")
    workflow = make(owner, *everything(http_receiver))
    body = {"booking_id": str(booking.pk)} if test_type == "real_data" else {}
    result = tried(api, workflow, test_type=test_type, **body)
    assert [(action["name"], action["status"]) for action in result["actions"]] == [
        ("Mail", "runs"), ("Text", "runs"), ("Hook", "runs"), ("Change", "runs"),
    ]  # fmt: skip
    assert (result["passed"], result["sent"], result["version"]) == (True, False, 1)
    mail_, text, hook, change = result["actions"]
    assert mail_["rendered"]["subject"] == "Discovery Call"
    assert mail_["rendered"]["text"].startswith("Hello José Álvarez")
    assert text["recipients"] == ["+34600123456"]
    assert hook["rendered"]["body"]["n"] == "1"
    assert change["rendered"]["fields"] == {"meeting_id": "42"}
    assert all(action["duration_ms"] >= 0 for action in result["actions"])

    assert (smtp_server.messages, smtp_server.attempts, http_receiver.requests, texts) == ([], [], [], [])
    for model in (NotificationLog, WorkflowExecution, BookingAuditLog):
        assert model.objects.count() == 0
    booking.refresh_from_db()
    assert booking.meeting_id == ""

    # The same workflow does send, once it is told to: the receivers above could have seen it.
    response = api.post(url_for(workflow), {"test_type": "live_test", "live_test": True, "booking_id": str(booking.pk)})
    assert response.status_code == 202
    assert [message.recipients for message in smtp_server.messages] == [("jose@enterprise.com",)]
    assert len(http_receiver.requests) == len(texts) == 1
    booking.refresh_from_db()
    assert booking.meeting_id == "42"


def test_a_live_test_has_to_be_meant(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(owner, MAIL)
    body = {"test_type": "live_test", "booking_id": str(booking.pk)}
    error = problem_of(api.post(url_for(workflow), body), 400, "invalid")
    assert "sends real messages" in error["fields"]["live_test"][0]
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "test_type"),
        ({"test_type": "full_moon"}, "test_type"),
        ({"test_type": "real_data"}, "booking_id"),
        ({"test_type": "live_test", "live_test": True}, "booking_id"),
        ({"test_type": "mock_data", "booking_id": NOBODY}, "booking_id"),
        ({"test_type": "mock_data", "live_test": True}, "test_type"),
        ({"test_type": "real_data", "booking_id": NOBODY, "sample": {"duration": 1}}, "sample"),
        ({"test_type": "mock_data", "sample": {"invitee_nmae": "x"}}, "sample.invitee_nmae"),
        ({"test_type": "mock_data", "sample": {"attendee_count": "many"}}, "sample.attendee_count"),
        ({"test_type": "mock_data", "sample": {"start_time": "soon"}}, "sample.start_time"),
        ({"test_type": "mock_data", "sample": {"booking_status": "odd"}}, "sample.booking_status"),
        ({"test_type": "mock_data", "sample": {"end_time": "2001-01-01T00:00:00Z"}}, "sample.end_time"),
        ({"test_type": "mock_data", "sample": []}, "sample"),
        ({"test_type": "mock_data", "at": "soon"}, "at"),
    ],
)
def test_it_says_what_is_wrong_with_the_request(api: APIClient, owner: User, body: dict[str, Any], field: str) -> None:
    error = problem_of(api.post(url_for(make(owner, MAIL)), body), 400, "invalid")
    assert field in error["fields"], error


# --- What is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_it_shows_conditions_fallbacks_and_problems(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(
        owner,
        {**MAIL, "conditions": NEVER},
        {**MAIL, "name": "Sent", "message": "{{ meeting_password }} {{ nobody_knows }}"},
        {**MAIL, "name": "Broken", "message": "{{ attendee_count | date }}", "on_failure": "stop"},
        {**TEXT, "name": "After"},
    )
    result = tried(api, workflow, test_type="real_data", booking_id=str(booking.pk))
    skipped, sent, broken, after = result["actions"]
    assert skipped["status"] == "skipped_conditions"
    (rule,) = skipped["conditions"][0]["rules"]
    assert (rule["actual"], rule["expected"], rule["result"]) == ("enterprise.com", "other.com", False)
    assert (sent["status"], sent["fallbacks"][0]) == ("runs", "meeting_password")
    assert sent["rendered"]["text"].startswith("N/A")
    assert [(problem["path"], problem["severity"]) for problem in sent["problems"]] == [("message", "warning")]
    assert broken["status"] == "fails"
    assert "no day" in broken["problems"][0]["message"]
    assert (after["status"], after["notes"][-1]) == ("skipped", "'Broken' fails before it, and stops what follows.")
    assert result["passed"] is False


@pytest.mark.django_db
def test_nobody_to_send_to_is_a_failure(api: APIClient, owner: User, booking: Booking) -> None:
    (action,) = tried(api, make(owner, TEXT), test_type="real_data", booking_id=str(booking.pk))["actions"]
    assert action["status"] == "fails"
    assert "no phone number" in action["problems"][0]["message"]


@pytest.mark.django_db
def test_the_invented_booking_can_be_edited(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, MAIL)
    sample = {
        "invitee_email": "eve@Other.com",
        "custom_budget": "10",
        "start_time": "2027-03-27T10:00:00Z",
        "event_type_duration": 90,
        "is_business_hours": True,
    }
    context = tried(api, workflow, test_type="mock_data", sample=sample)["context"]
    assert context["invitee_domain"] == "other.com"
    assert context["custom_budget"] == "10"
    assert (context["is_weekend"], context["booking_day_name"], context["duration"]) == (True, "Saturday", 90)
    assert context["is_business_hours"] is True, "a derived field can be set against the rest"
    assert context["event_type_name"] == event_type.name
    assert context["organizer_name"] == "Ada Lovelace"
    event_type.refresh_from_db()
    assert event_type.duration == 30


@pytest.mark.django_db
def test_it_remarks_why_it_would_not_act(api: APIClient, owner: User, event_type: EventType) -> None:
    other = EventType.objects.create(organizer=owner, name="Workshop", duration=60)
    cancelled = booking_of(event_type, status=BookingStatus.CANCELLED)
    workflow = make(owner, MAIL, event_types=[other])
    remarks = tried(api, workflow, test_type="real_data", booking_id=str(cancelled.pk))["remarks"]
    assert remarks == [
        "The workflow is switched off.",
        "The workflow is not for 'Discovery Call'.",
        "The booking has been cancelled since this was planned.",
    ]


@pytest.mark.django_db
def test_it_asks_the_recipients(api: APIClient, owner: User, booking: Booking) -> None:
    both = {**MAIL, "name": "Both", "recipient": "both"}
    workflow = make(owner, MAIL, both)
    wish = NotificationPreference.objects.create(
        organizer=owner, recipient=booking.invitee_email, unsubscribed_at=booking.created_at
    )
    first, second = tried(api, workflow, test_type="real_data", booking_id=str(booking.pk))["actions"]
    assert (first["status"], second["status"]) == ("skipped", "runs")
    assert "has unsubscribed" in first["notes"][0]
    assert "has unsubscribed" in second["notes"][0]
    wish.unsubscribed_at = None
    wish.quiet_from, wish.quiet_until = dt.time(0), dt.time(23, 59, 59)
    wish.save()
    at = "2027-03-30T12:00:00Z"
    first, _ = tried(api, workflow, test_type="real_data", booking_id=str(booking.pk), at=at)["actions"]
    assert first["status"] == "runs"
    assert "quiet hours until 23:59" in first["notes"][0]


# --- Travelling in time -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_it_travels_in_time(api: APIClient, owner: User, booking: Booking) -> None:
    workflow = make(
        owner, MAIL, {**MAIL, "name": "Later", "delay_minutes": 30}, trigger="before_meeting", delay_minutes=60
    )
    planned = booking.start_time - dt.timedelta(minutes=60)

    def seen_from(at: dt.datetime) -> dict[str, Any]:
        result = tried(api, workflow, test_type="real_data", booking_id=str(booking.pk), at=at.isoformat())
        timing: dict[str, Any] = result["timing"]
        return timing

    before = seen_from(planned - dt.timedelta(minutes=1))
    assert (before["state"], dt.datetime.fromisoformat(before["planned_for"])) == ("waits", planned)
    assert [action["state"] for action in before["actions"]] == ["waits", "waits"]
    then = seen_from(planned + dt.timedelta(minutes=5))
    assert then["state"] == "fires"
    assert [action["state"] for action in then["actions"]] == ["fires", "waits"]
    assert dt.datetime.fromisoformat(then["actions"][1]["at"]) == planned + dt.timedelta(minutes=30)
    assert [a["state"] for a in seen_from(booking.start_time)["actions"]] == ["fires", "fires"]


@pytest.mark.django_db
@pytest.mark.parametrize(("policy", "state"), [("skip", "skipped"), ("run_now", "fires")])
def test_it_tells_what_becomes_of_a_time_that_had_passed(
    api: APIClient, owner: User, booking: Booking, policy: str, state: str
) -> None:
    workflow = make(owner, MAIL, trigger="before_meeting", delay_minutes=60 * 24 * 7, late_policy=policy)
    result = tried(api, workflow, test_type="real_data", booking_id=str(booking.pk))
    assert result["timing"]["state"] == state
    assert "had" in result["timing"]["reason"]
    assert bool(result["timing"]["planned_for"]) is (state == "fires")


@pytest.mark.django_db
def test_the_minutes_before_a_meeting_are_exact_when_clocks_change(api: APIClient, owner: User) -> None:
    workflow = make(owner, MAIL, trigger="before_meeting", delay_minutes=24 * 60)
    sample = {"start_time": "2027-03-28T10:00:00+01:00"}  # London's clocks go forward that night
    timing = tried(api, workflow, test_type="mock_data", sample=sample, at="2027-03-27T08:59:00Z")["timing"]
    assert timing["planned_for"] == "2027-03-27T09:00:00+00:00"
    assert timing["state"] == "waits"


# --- For real ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_live_test_to_oneself_reaches_nobody_else(
    api: APIClient,
    owner: User,
    booking: Booking,
    delivering: None,
    inline: None,
    smtp_server: SmtpServer,
    http_receiver: HttpReceiver,
) -> None:
    Booking.objects.filter(pk=booking.pk).update(invitee_name="{{ 7 * 7 }} <b>Bobby</b>", invitee_phone="+34600123456")
    both = [{**action, "recipient": "both"} for action in (MAIL, TEXT)]
    workflow = make(owner, *both, *everything(http_receiver)[2:], SLACK)
    body = {"test_type": "live_test", "live_test": True, "booking_id": str(booking.pk), "send_to_me": True}
    response = api.post(url_for(workflow), body)
    assert response.status_code == 202
    execution = WorkflowExecution.objects.get()
    assert (response.json()["id"], execution.status) == (str(execution.pk), "completed")
    assert {recipient for message in smtp_server.messages for recipient in message.recipients} == {owner.email}
    assert [message.subject for message in smtp_server.messages] == [
        "[Test] Discovery Call", "[Test] Text (a text)", "[Test] Hook", "[Test] Change", "[Test] Slack",
    ]  # fmt: skip
    hook = smtp_server.messages[2].text
    assert http_receiver.url() in hook
    assert "{{ 7 * 7 }} <b>Bobby</b>" in hook, "what an invitee typed is shown, and not rendered again"
    assert "T0/B0" not in smtp_server.messages[4].text, "a secret is not told"
    assert (http_receiver.requests, texts) == ([], [])
    booking.refresh_from_db()
    assert booking.meeting_id == ""
    assert list(WorkflowVersion.objects.filter(number=None)) == [execution.version]
    statistics.roll_up_all()
    monitored = monitoring.runs_between(execution.created_at, clock.now())
    assert monitored == {}, "a version that was only tried does not count"
    workflow.refresh_from_db()
    assert (workflow.version, workflow.total_executions) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_a_text_to_oneself_is_texted_where_one_has_a_phone(
    api: APIClient, owner: User, booking: Booking, delivering: None, inline: None
) -> None:
    User.objects.filter(pk=owner.pk).update(phone="+447911123456")
    workflow = make(owner, TEXT)
    body = {"test_type": "live_test", "live_test": True, "booking_id": str(booking.pk), "send_to_me": True}
    assert api.post(url_for(workflow), body).status_code == 202
    assert [text.to for text in texts] == ["+447911123456"]


@pytest.mark.django_db(transaction=True)
def test_a_live_test_need_not_wait(api: APIClient, owner: User, booking: Booking, inline: None) -> None:
    workflow = make(owner, {**MAIL, "delay_minutes": 600})
    body = {"test_type": "live_test", "live_test": True, "booking_id": str(booking.pk)}
    api.post(url_for(workflow), body)
    assert mail.outbox == []
    api.post(url_for(workflow), {**body, "skip_delays": True})
    assert len(mail.outbox) == 1


@pytest.mark.django_db
def test_there_has_to_be_something_to_run(api: APIClient, owner: User, booking: Booking) -> None:
    body = {"test_type": "live_test", "live_test": True, "booking_id": str(booking.pk)}
    problem_of(api.post(url_for(make(owner)), body), 409, "conflict")


# --- Whose ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["test", "validate"])
def test_it_hides_other_peoples(
    stranger: APIClient, anonymous: APIClient, operator: APIClient, owner: User, name: str
) -> None:
    workflow = make(owner, MAIL)
    body = {"test_type": "mock_data"}
    problem_of(stranger.post(url_for(workflow, name), body), 404, "not_found")
    problem_of(anonymous.post(url_for(workflow, name), body), 401)
    assert operator.post(url_for(workflow, name), body).status_code == 200


@pytest.mark.django_db
def test_it_takes_nobody_elses_booking(
    api: APIClient, operator: APIClient, owner: User, foreign_event_type: EventType
) -> None:
    workflow, foreign = make(owner, MAIL), booking_of(foreign_event_type)
    for client in (api, operator):
        for body in ({"test_type": "real_data"}, {"test_type": "live_test", "live_test": True}):
            problem_of(client.post(url_for(workflow), {**body, "booking_id": str(foreign.pk)}), 404)


@pytest.mark.django_db
def test_it_takes_as_many_queries_for_twenty_actions_as_for_one(api: APIClient, owner: User, booking: Booking) -> None:
    counts = []
    for count in (1, 20):
        workflow = make(owner, *[MAIL] * count, name=f"W{count}")
        with CaptureQueriesContext(connection) as queries:
            tried(api, workflow, test_type="real_data", booking_id=str(booking.pk), draft=True)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 11
