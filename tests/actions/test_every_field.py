"""Every field of the context, and an answer of every kind, through conditions, email, SMS and webhook."""

from __future__ import annotations

from typing import Any

import pytest

from automation import clock
from automation.actions.invocation import context_of
from automation.models import BookingStatus, EventType, User
from automation.rules.fields import FIELDS
from automation.rules.template_text import readable
from tests.actions.conftest import Change, Stage
from tests.support.mail import SmtpServer
from tests.support.receiver import HttpReceiver

ANSWERS = {
    "company": "Acme & Söhne",
    "size": 12,
    "rate": 0.5,
    "vip": True,
    "topics": ["a", "b"],
    "What for?": "Über 'x'",
}
NAMES = [*FIELDS, "custom_company", "custom_size", "custom_rate", "custom_vip", "custom_topics", "custom_what_for"]


@pytest.fixture
def full(stage: Stage, change: Change, settings: Any) -> dict[str, Any]:
    """A booking with something in every field, cancelled, because of `cancellation_reason`; its context."""
    User.objects.filter(pk=stage.organizer.pk).update(company="Analytical Engines")
    EventType.objects.filter(pk=stage.booking.event_type_id).update(description="A first <conversation>.")
    change(
        status=BookingStatus.CANCELLED,
        cancellation_reason="Ill",
        meeting_link="https://meet.example.com/a?b=1&c=2",
        meeting_id="812 345",
        meeting_password="s3cret",
        custom_answers=ANSWERS,
    )
    settings.PUBLIC_URL = "https://weir.example"
    stage.booking.refresh_from_db()
    return context_of(stage.booking, clock.now())


def lines(context: dict[str, Any]) -> list[str]:
    return [f"{name}={readable(context[name])};" for name in NAMES]


def template(names: list[str] = NAMES) -> str:
    return "\n".join(f"{name}={{{{ {name} }}}};" for name in names)


def test_the_booking_has_something_in_every_field(full: dict[str, Any]) -> None:
    assert set(FIELDS) <= set(full)
    assert not [name for name in NAMES if full[name] in (None, "")]


@pytest.mark.usefixtures("smtp")
def test_every_field_in_an_email(stage: Stage, full: dict[str, Any], smtp_server: SmtpServer) -> None:
    for start in range(0, len(NAMES), 8):  # a subject's template has at most 500 characters
        some = NAMES[start : start + 8]
        result = stage.act("booking_cancelled", action_type="send_email", subject=template(some), message=template())
        assert result["status"] == "success", result
    expected = lines(full)
    for received in smtp_server.messages:
        body = received.text.replace("\r\n", "\n")
        assert [line for line in expected if f"{line}\n" not in f"{body}\n"] == []
    subjects = " ".join(" ".join(str(received.message["subject"]).split()) for received in smtp_server.messages)
    assert [line for line in expected if line not in subjects] == []


def test_every_field_in_text_messages(stage: Stage, full: dict[str, Any], sms: list[Any]) -> None:
    for start in range(0, len(NAMES), 10):
        some = NAMES[start : start + 10]
        assert stage.act("booking_cancelled", action_type="send_sms", message=template(some))["status"] == "success"
    sent = "\n".join(message.text for message in sms)
    assert sent == "\n".join(lines(full))


def test_every_field_in_a_webhook(stage: Stage, full: dict[str, Any], http_receiver: HttpReceiver) -> None:
    data = {f"my_{name}": f"{{{{ {name} }}}}" for name in NAMES}
    stage.act("booking_cancelled", action_type="webhook", webhook_url=http_receiver.url(), webhook_data=data)
    [received] = http_receiver.requests
    assert {f"my_{name}={received.json[f'my_{name}']};" for name in NAMES} == {f"my_{line}" for line in lines(full)}


def test_every_field_in_conditions(stage: Stage, full: dict[str, Any], mailoutbox: list[Any]) -> None:
    rules = [{"field": name, "operator": "is_not_empty"} for name in NAMES]
    rules += [{"field": name, "operator": "equals", "value": {"expr": name}} for name in NAMES]
    conditions = [{"operator": "AND", "rules": rules}]
    result = stage.act("booking_cancelled", action_type="send_email", message="x", conditions=conditions)
    assert result["status"] == "success", [rule for rule in result["conditions"][0]["rules"] if not rule["result"]]
    assert [rule["field"] for rule in result["conditions"][0]["rules"]] == NAMES * 2
    assert len(mailoutbox) == 1
