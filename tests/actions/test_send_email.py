"""Emails, over a real SMTP server that behaves and misbehaves."""

from __future__ import annotations

import datetime as dt
import re
from email import message_from_bytes
from html import unescape
from typing import Any

import pytest
from django.core import mail
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from automation import clock
from automation.actions.bodies import render_bodies
from automation.actions.layout import Surroundings, page
from automation.actions.unsubscribe import read_token, unsubscribe, unsubscribe_url
from automation.durable.exceptions import ApplicationError
from automation.models import NotificationLog, NotificationPreference
from automation.providers.email import Email, canonical, send
from tests.actions.conftest import Change, Stage
from tests.support.mail import SmtpServer

BOTH: dict[str, Any] = {"action_type": "send_email", "recipient": "both", "subject": "Hi", "message": "Hello"}
ADA, JOSE = "ada@weir.example", "jose@enterprise.example"


def unix(text: str) -> str:
    """Lines end in CRLF on the wire."""
    return text.replace("\r\n", "\n").strip()


pytestmark = pytest.mark.usefixtures("smtp")


def test_it_sends_text_and_html(stage: Stage, smtp_server: SmtpServer) -> None:
    result = stage.act(
        action_type="send_email",
        subject="{{ event_type_name }} with {{ invitee_name }}",
        message="Dear {{ invitee_name }},\n\nsee https://weir.example/a?b=1&c=2.\n<Bye>",
    )
    [received] = smtp_server.messages
    assert received.recipients == (JOSE,)
    assert received.subject == "Discovery Call with José Álvarez"
    assert unix(received.text) == "Dear José Álvarez,\n\nsee https://weir.example/a?b=1&c=2.\n<Bye>"
    assert "<p>Dear José Álvarez,</p>" in received.html
    assert '<a href="https://weir.example/a?b=1&amp;c=2">https://weir.example/a?b=1&amp;c=2</a>.' in received.html
    assert "&lt;Bye&gt;" in received.html
    assert received.message["Reply-To"] == ADA
    assert result["status"] == "success"
    assert result["recipients"] == [
        {"recipient": JOSE, "status": "sent", "detail": received.message["Message-ID"]},
    ]
    assert result["rendered"]["subject"] == "Discovery Call with José Álvarez"
    row = NotificationLog.objects.get()
    assert (row.status, row.attempts, row.provider_id) == ("sent", 1, received.message["Message-ID"])
    assert row.body == unix(received.text)
    assert row.sent_at is not None


def test_html_written_by_the_author_escapes_what_the_invitee_wrote(
    stage: Stage, smtp_server: SmtpServer, change: Change
) -> None:
    change(invitee_name="<script>alert(1)</script> & co")
    stage.act(
        action_type="send_email",
        subject="Hi",
        message='<h1>Hello {{ invitee_name }}</h1><p>Join <a href="https://m.example/x">here</a><br>Bye</p>',
    )
    [received] = smtp_server.messages
    assert "<h1>Hello &lt;script&gt;alert(1)&lt;/script&gt; &amp; co</h1>" in received.html
    assert "<script>" not in received.html
    assert unix(received.text) == "Hello <script>alert(1)</script> & co\n\nJoin here (https://m.example/x)\nBye"


def test_the_unsubscribe_link_is_the_recipients_own(stage: Stage, smtp_server: SmtpServer) -> None:
    stage.act(**BOTH)
    headers = {
        received.recipients[0]: str(received.message["List-Unsubscribe"]).strip() for received in smtp_server.messages
    }
    assert headers == {address: f"<{unsubscribe_url(stage.organizer.pk, address)}>" for address in (ADA, JOSE)}
    assert smtp_server.messages[0].message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = headers[JOSE].strip("<>").rstrip("/").rpartition("/")[2]
    assert read_token(token) == (stage.organizer.pk, JOSE)

    unsubscribe(token)
    unsubscribe(token)

    smtp_server.reset()
    result = stage.act(**BOTH)
    assert [received.recipients for received in smtp_server.messages] == [(ADA,)]
    assert [outcome["status"] for outcome in result["recipients"]] == ["sent", "suppressed"]
    assert NotificationLog.objects.filter(recipient=JOSE).latest("created_at").status == "suppressed"
    assert stage.act(**{**BOTH, "recipient": "invitee"})["status"] == "skipped"


def test_a_header_cannot_be_injected(stage: Stage, smtp_server: SmtpServer, change: Change) -> None:
    change(invitee_name="Eve\r\nBcc: victim@example.com\r\n\r\nspam")
    stage.act(action_type="send_email", subject="Hi {{ invitee_name }}\u2028X: y\x0bz\x85", message="Hello")
    [received] = smtp_server.messages
    assert received.message["Bcc"] is None
    assert received.recipients == (JOSE,)
    assert received.subject.startswith("Hi Eve Bcc: victim@example.com spam")
    assert received.text == "Hello"


@pytest.mark.parametrize(
    "address", ["eve@example.com\r\nBcc: x@example.com", "a@b@c", "eve@example.com, x@example.com"]
)
def test_an_address_that_is_none_is_refused(
    address: str, stage: Stage, smtp_server: SmtpServer, change: Change
) -> None:
    change(invitee_email=address)
    with pytest.raises(ApplicationError, match="is not an email address") as caught:
        stage.act(**{**BOTH, "recipient": "invitee"})
    assert caught.value.non_retryable
    assert smtp_server.messages == []


def test_one_person_in_both_roles_gets_one_mail(stage: Stage, smtp_server: SmtpServer, change: Change) -> None:
    change(invitee_email="Ada@Weir.example")
    stage.act(**BOTH)
    assert len(smtp_server.messages) == 1


def test_the_message_id_is_the_same_at_every_attempt(stage: Stage, smtp_server: SmtpServer) -> None:
    """The mail is taken, and the answer is lost: the copy that follows can be told by its id."""
    smtp_server.drop_answers(1)
    execution = stage.execution(**{**BOTH, "recipient": "invitee"})
    with pytest.raises(ApplicationError) as caught:
        stage.run(execution)
    assert not caught.value.non_retryable
    assert stage.run(execution, attempt=2)["status"] == "success"
    first, second = (received.message["Message-ID"] for received in smtp_server.messages)
    assert first == second


def test_a_server_that_is_down_is_tried_again(stage: Stage, smtp_server: SmtpServer) -> None:
    smtp_server.down()
    execution = stage.execution(**BOTH)
    with pytest.raises(ApplicationError, match="cannot be reached") as caught:
        stage.run(execution)
    assert not caught.value.non_retryable
    assert {row.status for row in stage.logs().values()} == {"failed"}
    smtp_server.up()
    assert stage.run(execution, attempt=2)["status"] == "success"
    assert len(smtp_server.messages) == 2
    assert {(row.status, row.attempts, row.error) for row in stage.logs().values()} == {("sent", 2, "")}


def test_greylisting_is_waited_for_and_the_other_gets_one_mail(stage: Stage, smtp_server: SmtpServer) -> None:
    smtp_server.greylist(1)
    execution = stage.execution(**BOTH)
    with pytest.raises(ApplicationError, match="451") as caught:
        stage.run(execution)
    assert not caught.value.non_retryable
    assert [received.recipients for received in smtp_server.messages] == [(JOSE,)]
    result = stage.run(execution, attempt=2)
    assert [outcome["status"] for outcome in result["recipients"]] == ["sent", "already_sent"]
    assert sorted(received.recipients for received in smtp_server.messages) == [(ADA,), (JOSE,)]


def test_one_refused_recipient_does_not_spoil_the_other(stage: Stage, smtp_server: SmtpServer) -> None:
    smtp_server.reject(ADA)
    execution = stage.execution(**BOTH)
    with pytest.raises(ApplicationError, match=r"550 5\.1\.1 no such user") as caught:
        stage.run(execution)
    assert caught.value.non_retryable
    assert caught.value.type == "RecipientRefused"
    statuses = {entry["recipient"]: entry["status"] for entry in caught.value.details[0]["recipients"]}
    assert statuses == {ADA: "refused", JOSE: "sent"}
    assert [received.recipients for received in smtp_server.messages] == [(JOSE,)]

    # Somebody mends the mailbox and retries the failed step: only the refused one gets a mail.
    smtp_server.reset()
    assert stage.run(execution, attempt=2)["status"] == "success"
    assert [received.recipients for received in smtp_server.messages] == [(ADA,)]


def test_a_refused_recipient_is_not_asked_for_again_while_another_is_retried(
    stage: Stage, smtp_server: SmtpServer
) -> None:
    smtp_server.reject(ADA)
    smtp_server.reject(JOSE, "450 4.2.1 mailbox busy")
    execution = stage.execution(**BOTH)
    with pytest.raises(ApplicationError) as caught:
        stage.run(execution)
    assert not caught.value.non_retryable
    smtp_server.reset()
    with pytest.raises(ApplicationError, match="550") as caught:
        stage.run(execution, attempt=2)
    assert caught.value.non_retryable
    assert [received.recipients for received in smtp_server.messages] == [(JOSE,)]


@pytest.mark.parametrize(("answer", "final"), [("554 5.7.1 spam", True), ("452 4.3.1 disk full", False)])
def test_a_refused_message_follows_its_code(answer: str, final: bool, stage: Stage, smtp_server: SmtpServer) -> None:
    smtp_server.refuse_data(answer)
    with pytest.raises(ApplicationError, match=answer[:9]) as caught:
        stage.act(**BOTH)
    assert caught.value.non_retryable is final
    assert len(smtp_server.attempts) == 2  # each recipient had a transaction of its own


def test_a_server_that_stalls_is_given_up(stage: Stage, smtp_server: SmtpServer, settings: Any) -> None:
    settings.EMAIL_TIMEOUT = 0.3
    smtp_server.stall(2)
    with pytest.raises(ApplicationError, match="cannot be reached") as caught:
        stage.act(**{**BOTH, "recipient": "invitee"})
    assert not caught.value.non_retryable


def test_a_custom_address(stage: Stage, smtp_server: SmtpServer) -> None:
    stage.act(**{**BOTH, "recipient": "custom", "custom_email": "team@weir.example"})
    assert smtp_server.messages[0].recipients == ("team@weir.example",)


def test_nobody_to_send_to_says_so(stage: Stage, change: Change) -> None:
    change(invitee_email="")
    with pytest.raises(ApplicationError, match="nobody") as caught:
        stage.act(**{**BOTH, "recipient": "invitee"})
    assert caught.value.non_retryable


# --- Wishes -----------------------------------------------------------------------------------------------------------


def test_quiet_hours_are_waited_for(stage: Stage, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    NotificationPreference.objects.create(
        organizer=stage.organizer,
        recipient=JOSE,
        timezone="Europe/Madrid",
        quiet_from=dt.time(21),
        quiet_until=dt.time(8),
    )
    night = dt.datetime(2026, 3, 28, 22, 30, tzinfo=dt.UTC)  # 23:30 in Madrid; the clocks go forward at 2:00
    monkeypatch.setattr(clock, "now", lambda: night)
    execution = stage.execution(**BOTH)
    with pytest.raises(ApplicationError, match="quiet hours until 08:00") as caught:
        stage.run(execution)
    assert caught.value.type == "QuietHours"
    assert not caught.value.non_retryable
    assert caught.value.next_retry_delay == dt.timedelta(hours=7, minutes=30)
    assert [received.recipients for received in smtp_server.messages] == [(ADA,)]

    monkeypatch.setattr(clock, "now", lambda: night + dt.timedelta(hours=7, minutes=30))
    assert stage.run(execution, attempt=2)["status"] == "success"
    assert [received.recipients for received in smtp_server.messages] == [(ADA,), (JOSE,)]


def test_a_reminder_that_would_come_after_the_start_is_not_sent(
    stage: Stage, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    NotificationPreference.objects.create(
        organizer=stage.organizer, recipient=JOSE, timezone="UTC", quiet_from=dt.time(0), quiet_until=dt.time(23, 59)
    )
    early = stage.booking.start_time.replace(hour=1) - dt.timedelta(minutes=30)
    monkeypatch.setattr(clock, "now", lambda: early + dt.timedelta(hours=1))
    execution = stage.execution("before_meeting", **{**BOTH, "recipient": "invitee"})
    result = stage.run(execution)
    assert result["status"] == "skipped"
    assert "after the meeting has begun" in result["notes"][0]
    assert smtp_server.messages == []


def test_the_daily_limit_holds(stage: Stage, smtp_server: SmtpServer) -> None:
    NotificationPreference.objects.create(organizer=stage.organizer, recipient=JOSE, daily_limit=2)
    statuses = [stage.act(**{**BOTH, "recipient": "invitee"})["status"] for _ in range(3)]
    assert statuses == ["success", "success", "skipped"]
    assert len(smtp_server.messages) == 2


# --- Text survives ----------------------------------------------------------------------------------------------------


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
@example("")
@example(".\n..\n.")
@example("From me\n>From you")
@example("x" * 3000 + "\n" + "ü" * 3000)
@example("trailing spaces   \n\ttab\n\n\n")
@example("a\rb\r\nc")
@example("=20 =\n= =3D")
@example("\x0b\x0c\x1c\x85\u2028\u2029\ufeff")
@example("no newline at the end")
def test_text_survives_byte_for_byte(smtp_server: SmtpServer, text: str) -> None:
    smtp_server.reset()
    send(Email(to=JOSE, subject="Text", text=text, html="<p>x</p>", idempotency_key="k"))
    [received] = smtp_server.messages
    parts = {part.get_content_type(): part.get_payload(decode=True) for part in received.message.walk()}
    payload = parts.get("text/plain", b"")  # no part for no text
    assert isinstance(payload, bytes)
    assert payload.decode("utf-8").replace("\r\n", "\n") == canonical(text)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
@example("{{ x }} {% if %} {# no #}")
@example(".\r\n.\n..\r.")
@example("\n\n trailing \n\n")
@example("<p>no <b>HTML & such</b></p>")
@example("ü" * 1200 + " " + "x" * 2000)
@example("\ufeff\x85\u2028\x0b\x1f")
def test_text_survives_from_the_template_to_the_mailbox(smtp_server: SmtpServer, text: str) -> None:
    smtp_server.reset()
    bodies = render_bodies("{{ custom_note }}", {"custom_note": text})
    around = Surroundings(title="x", text=bodies.text)
    send(Email(to=JOSE, subject="Text", text=bodies.text, html=page(bodies.html, around), idempotency_key="k"))
    [received] = smtp_server.messages
    [payload] = [
        part.get_payload(decode=True) for part in received.message.walk() if part.get_content_type() == "text/plain"
    ]
    assert isinstance(payload, bytes)
    assert payload.decode("utf-8").replace("\r\n", "\n") == canonical(text)
    shown = unescape(re.sub("<[^>]*>", " ", received.html.partition('class="card content"')[2].partition(">")[2]))
    assert canonical(text).split() == shown.split()[: len(canonical(text).split())]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120))
def test_subjects_survive(smtp_server: SmtpServer, text: str) -> None:
    smtp_server.reset()
    send(Email(to=JOSE, subject=text, text="x", idempotency_key="k"))
    assert smtp_server.messages[0].subject.split() == text.split()


def test_no_attempt_leaves_a_connection_open(smtp_server: SmtpServer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    send(Email(to=JOSE, subject="x", text="x", idempotency_key="k"))
    assert message_from_bytes(mail.outbox[0].message().as_bytes())["Message-ID"].startswith("<")
