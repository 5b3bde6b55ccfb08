"""Validating workflows: errors, warnings, and what the surroundings say."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation.models import Alert, CircuitState, Destination, EventType, User, Workflow, WorkflowAction
from automation.services import workflows
from tests.api.conftest import booking_of
from tests.support.mail import SmtpServer
from tests.support.receiver import HttpReceiver

MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
TEXT = {"name": "Text", "action_type": "send_sms", "message": "Hi"}

pytestmark = pytest.mark.django_db


def make(owner: User, *actions: dict[str, Any], **fields: Any) -> Workflow:
    return workflows.create(owner, **{"name": "W", "trigger": "booking_created", "actions": actions, **fields})


def validated(api: APIClient, workflow: Workflow, **body: Any) -> dict[str, Any]:
    response = api.post(f"/api/v1/workflows/{workflow.pk}/validate/", body)
    assert response.status_code == 200, response.content
    result: dict[str, Any] = response.json()
    assert set(result) == {"valid", "errors", "warnings", "runtime_checks", "overall_status"}
    return result


def checks(result: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {check["name"]: (check["status"], check["message"]) for check in result["runtime_checks"]}


def test_it_is_content_with_a_good_workflow(api: APIClient, owner: User, event_type: EventType) -> None:
    result = validated(api, make(owner, MAIL), runtime=False)
    assert result == {
        "valid": True, "errors": [], "warnings": [], "runtime_checks": [], "overall_status": "valid",
    }  # fmt: skip


def test_it_names_errors_by_their_place(api: APIClient, owner: User) -> None:
    workflow = make(owner, MAIL, TEXT)
    # As an import, or a hand on the rows, may leave them.
    WorkflowAction.objects.filter(workflow=workflow, name="Mail").update(message="{{ unclosed", on_failure="stop")
    result = validated(api, workflow, runtime=False)
    assert (result["valid"], result["overall_status"]) == (False, "invalid")
    assert [(error["path"], error["line"]) for error in result["errors"]] == [("actions[0].message", 1)]
    assert ("unreachable", "actions[1]") in [(one["code"], one["path"]) for one in result["warnings"]]


def test_it_names_an_unknown_type_and_an_empty_workflow(api: APIClient, owner: User) -> None:
    workflow = make(owner, MAIL)
    WorkflowAction.objects.update(action_type="smoke_signal")
    assert [error["path"] for error in validated(api, workflow)["errors"]] == ["actions[0].action_type"]
    empty = make(owner, name="Empty")
    assert [error["code"] for error in validated(api, empty)["errors"]] == ["no_active_action"]


def test_it_warns_of_what_may_be_meant(api: APIClient, owner: User, event_type: EventType) -> None:
    conditions = [{"operator": "AND", "rules": [{"field": "event_type_name", "operator": "equals", "value": "Nope"}]}]
    workflow = make(
        owner,
        {**MAIL, "subject": "", "message": "{{ invitee_nmae }} {{ cancellation_reason }}"},
        {**TEXT, "conditions": conditions},
    )
    result = validated(api, workflow, runtime=False)
    assert (result["valid"], result["overall_status"]) == (True, "warnings")
    assert [(one["code"], one["path"]) for one in result["warnings"]] == [
        ("configuration", "actions[0].message"),
        ("configuration", "actions[0].subject"),
        ("unknown_to_trigger", "actions[0].message"),
        ("contradiction", "actions[1].conditions[0].rules[0]"),
        ("unreachable", "actions[1]"),
        ("phone_not_asked_for", "actions[1].recipient"),
    ]
    assert result["warnings"][0]["suggestion"] == "invitee_name"


def test_it_looks_at_bookings(api: APIClient, owner: User, event_type: EventType) -> None:
    booking_of(event_type, custom_answers={"company": "ACME"}, invitee_phone="+34600123456")
    booking_of(event_type)
    action = {**MAIL, "message": "{{ custom_company }} {{ custom_compny }}"}
    found = checks(validated(api, make(owner, action, TEXT)))
    assert found["bookings"] == ("ok", "2 confirmed bookings lie ahead.")
    assert found["phone_numbers"][0] == "warning"
    assert found["phone_numbers"][1].startswith("1 of the last 2 bookings")
    assert found["answers"] == (
        "warning",
        "None of the last 2 bookings has an answer 'compny'. Did you mean custom_company?",
    )


def test_it_looks_at_servers_and_calls_nobody(
    api: APIClient, owner: User, settings: Any, smtp_server: SmtpServer, http_receiver: HttpReceiver
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    hook = {"name": "Hook", "action_type": "webhook", "webhook_url": http_receiver.url()}
    workflow = make(owner, MAIL, TEXT, hook)
    found = checks(validated(api, workflow))
    assert (found["email"], found["webhook"][0]) == (("ok", "The mail server answers."), "ok")
    assert (smtp_server.messages, smtp_server.attempts, http_receiver.requests) == ([], [], [])
    WorkflowAction.objects.filter(name="Hook").update(webhook_url="http://10.0.0.1/x")
    settings.EMAIL_PORT = 9
    found = checks(validated(api, workflow))
    assert found["webhook"][0] == "failed"
    assert "private" in found["webhook"][1]
    assert found["email"][0] == "failed"
    assert found["workers"][0] == "failed", "no worker runs in this test"


def test_it_tells_open_alerts_and_switches(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, MAIL, is_active=False, event_types=[event_type])
    Alert.objects.create(kind="failure_rate", key=str(workflow.pk), message="3 of 3 failed.", workflow=workflow)
    EventType.objects.update(is_active=False)
    found = checks(validated(api, workflow))
    assert found["switched_on"][0] == "warning"
    assert found["event_types"][0] == "failed"
    assert found["alert"] == ("warning", "3 of 3 failed.")


def test_it_tells_hosts_to_which_calls_wait(api: APIClient, owner: User) -> None:
    hook = {"name": "Hook", "action_type": "webhook", "webhook_url": "https://crm.example.com/x"}
    slack = {
        "name": "Slack", "action_type": "slack_message", "message": "Hi",
        "webhook_secret": "https://hooks.slack.example/services/secret",
    }  # fmt: skip
    Destination.objects.create(
        organizer=owner, host="crm.example.com", state=CircuitState.OPEN, last_cause="HTTP 503",
    )  # fmt: skip
    result = validated(api, make(owner, hook, slack))
    assert checks(result)["destination"] == (
        "failed", "Calls to crm.example.com wait: the last ones failed (HTTP 503).",
    )  # fmt: skip
    assert "services/secret" not in str(result)


def test_a_secret_that_nobody_can_read_is_told(api: APIClient, owner: User) -> None:
    hook = {"name": "Hook", "action_type": "webhook", "webhook_url": "https://crm.example.com/x"}
    workflow = make(owner, hook)
    WorkflowAction.objects.update(webhook_secret_encrypted="gAAAAA")
    assert checks(validated(api, workflow))["secrets"][0] == "failed"


def test_it_takes_a_constant_number_of_queries(api: APIClient, owner: User, event_type: EventType) -> None:
    counts = []
    for count in (1, 20):
        workflow = make(owner, *[MAIL] * count, name=f"W{count}")
        for _ in range(count):
            booking_of(event_type)
        with CaptureQueriesContext(connection) as queries:
            validated(api, workflow)
        counts.append(len(queries))
    assert counts[0] == counts[1]
