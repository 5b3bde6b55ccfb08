"""Webhooks, to a real HTTP server that behaves and misbehaves."""

from __future__ import annotations

import datetime as dt
import json
from email.utils import format_datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from automation import clock, secrets
from automation.actions.base import ActionProblem
from automation.actions.config import ActionConfig
from automation.actions.registry import registry
from automation.actions.webhook import BASE_FIELDS
from automation.durable.exceptions import ApplicationError
from automation.models import NotificationLog, WorkflowAction
from automation.outbound.waits import retry_after
from automation.rules.fields import sample_context
from tests.actions.conftest import Change, Stage
from tests.support.receiver import HttpReceiver, Reply

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def hook(receiver: HttpReceiver, **more: Any) -> dict[str, Any]:
    return {"action_type": "webhook", "webhook_url": receiver.url(), **more}


def test_it_posts_the_documented_payload(stage: Stage, http_receiver: HttpReceiver) -> None:
    execution = stage.execution(**hook(http_receiver))
    result = stage.run(execution)
    [received] = http_receiver.requests
    payload = received.json
    assert tuple(payload) == BASE_FIELDS
    booking = stage.booking
    assert payload == {
        "action": "Act",
        "workflow_id": str(execution.workflow_id),
        "workflow_name": "Flow 1",
        "booking_id": str(booking.id),
        "event_type_name": "Discovery Call",
        "organizer_email": "ada@weir.example",
        "invitee_name": "José Álvarez",
        "invitee_email": "jose@enterprise.example",
        "start_time": booking.start_time.isoformat(),
        "end_time": booking.end_time.isoformat(),
        "duration_minutes": 30,
        "status": "confirmed",
        "timestamp": payload["timestamp"],
    }
    assert abs(dt.datetime.fromisoformat(payload["timestamp"]) - clock.now()) < dt.timedelta(minutes=1)
    key = f"{execution.id}:1"
    assert received.headers["idempotency-key"] == received.headers["webhook-id"] == key
    assert received.headers["content-type"] == "application/json"
    assert "webhook-signature" not in received.headers
    assert result["response"]["status"] == 200
    assert result["response"]["body"] == "ok"
    row = NotificationLog.objects.get()
    assert (row.channel, row.status, row.recipient) == ("webhook", "sent", http_receiver.url())


def test_further_data_is_rendered_at_any_depth_and_overwrites_nothing(
    stage: Stage, http_receiver: HttpReceiver
) -> None:
    data = {
        "who": "{{ invitee_name }}",
        "deep": [{"size": "{{ custom_size }}", "n": 1, "no": None}],
        "status": "hacked",
    }
    result = stage.act(**hook(http_receiver, webhook_data=data))
    payload = http_receiver.requests[0].json
    assert payload["who"] == "José Álvarez"
    assert payload["deep"] == [{"size": "12", "n": 1, "no": None}]
    assert payload["status"] == "confirmed"
    assert "webhook_data.status was left out" in result["notes"][0]


def test_hostile_text_stays_inside_the_json(stage: Stage, http_receiver: HttpReceiver, change: Change) -> None:
    name = '"}, {"admin": true, "x": "\\\n\u2028</script>'
    change(invitee_name=name)
    stage.act(**hook(http_receiver, webhook_data={"who": "{{ invitee_name }}"}))
    assert http_receiver.requests[0].json["who"] == name
    assert "admin" not in http_receiver.requests[0].json


def test_it_is_signed_as_standard_webhooks_has_it(stage: Stage, http_receiver: HttpReceiver) -> None:
    secret = secrets.new_webhook_secret()
    stage.act(**hook(http_receiver, webhook_secret_encrypted=secrets.encrypt(secret)))
    [received] = http_receiver.requests
    assert Verifier(secret).verify(received.body, dict(received.headers)) == received.json
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(secrets.new_webhook_secret()).verify(received.body, dict(received.headers))


def test_the_body_is_the_same_at_every_attempt(stage: Stage, http_receiver: HttpReceiver, change: Change) -> None:
    secret = secrets.new_webhook_secret()
    http_receiver.on("/hook", Reply(status=500), Reply(mode="reset"), Reply())
    execution = stage.execution(
        **hook(
            http_receiver, webhook_data={"n": "{{ invitee_name }}"}, webhook_secret_encrypted=secrets.encrypt(secret)
        )
    )
    for attempt in (1, 2):
        with pytest.raises(ApplicationError) as caught:
            stage.run(execution, attempt)
        assert not caught.value.non_retryable
        change(invitee_name=f"Renamed {attempt}")
    assert stage.run(execution, 3)["status"] == "success"
    assert len({received.body for received in http_receiver.requests}) == 1
    assert len({received.headers["webhook-id"] for received in http_receiver.requests}) == 1
    for received in http_receiver.requests:
        Verifier(secret).verify(received.body, dict(received.headers))
    assert NotificationLog.objects.get().attempts == 3


def test_what_was_answered_is_not_sent_again(stage: Stage, http_receiver: HttpReceiver) -> None:
    """The worker died after the answer was noted and before the step's outcome was."""
    execution = stage.execution(**hook(http_receiver))
    stage.run(execution)
    result = stage.run(execution, attempt=2)
    assert result["recipients"][0]["status"] == "already_sent"
    assert len(http_receiver.requests) == 1


# --- Answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 429])
def test_it_tries_again(status: int, stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=status, body=b"later"))
    with pytest.raises(ApplicationError, match=f"answered {status}") as caught:
        stage.act(**hook(http_receiver))
    assert not caught.value.non_retryable
    assert caught.value.next_retry_delay is None
    assert caught.value.details[0]["response"] | {"elapsed_ms": 0} == {
        "status": status,
        "body": "later",
        "elapsed_ms": 0,
    }
    assert NotificationLog.objects.get().status == "failed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 451])
def test_it_ends(status: int, stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=status, body=b"no" * 5000))
    with pytest.raises(ApplicationError, match=f"answered {status}") as caught:
        stage.act(**hook(http_receiver))
    assert caught.value.non_retryable
    assert caught.value.details[0]["response"]["body"] == "no" * 1024


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int, stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=status, headers={"Location": "http://169.254.169.254/latest/"}))
    with pytest.raises(ApplicationError, match="redirects are not followed") as caught:
        stage.act(**hook(http_receiver))
    assert caught.value.non_retryable
    assert len(http_receiver.requests) == 1


def test_410_switches_the_action_off(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=410))
    execution = stage.execution(**hook(http_receiver))
    with pytest.raises(ApplicationError, match="410 Gone; the action has been switched off") as caught:
        stage.run(execution)
    assert caught.value.non_retryable
    action = WorkflowAction.objects.get()
    assert action.is_active is False
    assert "410" in action.disabled_reason

    result = stage.run(execution, attempt=2, seq=2)
    assert result["status"] == "skipped"
    assert "410" in result["notes"][0]
    assert len(http_receiver.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("7200", 3600), (format_datetime(NOW + dt.timedelta(seconds=90), usegmt=True), 90), ("soon", None)],
    ids=["seconds", "bounded", "date", "nonsense"],
)
def test_retry_after_is_honoured(
    status: int,
    value: str,
    seconds: int | None,
    stage: Stage,
    http_receiver: HttpReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = stage.execution(**hook(http_receiver))
    monkeypatch.setattr(clock, "now", lambda: NOW)
    http_receiver.on("/hook", Reply(status=status, headers={"Retry-After": value}))
    with pytest.raises(ApplicationError) as caught:
        stage.run(execution)
    assert caught.value.next_retry_delay == (None if seconds is None else dt.timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", None),
        ("-5", None),
        ("", None),
        ("9" * 400, 3600),
        ("²", None),
        ("Sun, 01 Mar 2026 11:59:00 GMT", None),
        ("Sun, 01 Mar 2026 12:00:30", 30),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Fri, 31 Dec 99999 23:59:59 +9999", None),
        (" 7 ", 7),
    ],
)
def test_retry_after_of_any_kind(value: str, wait: int | None) -> None:
    assert retry_after(value, NOW) == (None if wait is None else dt.timedelta(seconds=wait))


def test_a_silent_receiver_is_given_up_and_tried_again(
    stage: Stage, http_receiver: HttpReceiver, settings: Any
) -> None:
    settings.WEBHOOK_TIMEOUT = 0.3
    http_receiver.on("/hook", Reply(mode="silent"))
    with pytest.raises(ApplicationError, match="did not answer in full") as caught:
        stage.act(**hook(http_receiver))
    assert not caught.value.non_retryable
    assert caught.value.type == "OutboundFailed"


def test_an_attempt_has_ten_seconds(stage: Stage, http_receiver: HttpReceiver, settings: Any) -> None:
    assert settings.WEBHOOK_TIMEOUT == 10.0
    assert registry.get("webhook").timeout.total_seconds() > settings.WEBHOOK_TIMEOUT, "the engine gives it time to end"


def test_an_endless_answer_counts_by_its_status(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(mode="endless"))
    result = stage.act(**hook(http_receiver))
    assert result["response"]["body"] == "0" * 2048


def test_a_receiver_that_is_down_is_tried_again(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.down()
    with pytest.raises(ApplicationError) as caught:
        stage.act(**hook(http_receiver))
    assert not caught.value.non_retryable


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "http://[::1]/"])
def test_an_address_that_weir_does_not_call_ends_it(url: str, stage: Stage) -> None:
    with pytest.raises(ApplicationError, match="address") as caught:
        stage.act(action_type="webhook", webhook_url=url)
    assert caught.value.non_retryable
    assert caught.value.type == "OutboundRefused"


def test_a_secret_under_a_lost_key_says_what_to_do(stage: Stage, http_receiver: HttpReceiver, settings: Any) -> None:
    encrypted = secrets.encrypt(secrets.new_webhook_secret())
    settings.SECRET_KEY = "another"
    with pytest.raises(ApplicationError, match="ENCRYPTION_KEYS") as caught:
        stage.act(**hook(http_receiver, webhook_secret_encrypted=encrypted))
    assert caught.value.non_retryable
    assert http_receiver.requests == []


def test_a_very_long_url_has_a_row_of_its_own(stage: Stage, http_receiver: HttpReceiver) -> None:
    for tail in ("a", "b"):
        stage.act(**hook(http_receiver) | {"webhook_url": http_receiver.url("/hook?" + "x" * 1500 + tail)})
    recipients = [row.recipient for row in NotificationLog.objects.all()]
    assert len(set(recipients)) == 2
    assert all(len(recipient) <= 320 for recipient in recipients)


# --- Validation and preview -------------------------------------------------------------------------------------------


def problems(**config: Any) -> dict[str, ActionProblem]:
    return {problem.path: problem for problem in registry.get("webhook").validate(ActionConfig(**config))}


def test_validation_names_the_place() -> None:
    found = problems(
        webhook_url="ftp://x", webhook_data={"booking_id": "x", "a": ["{{ invitee_nam }}", "{% if %}"], "ok": 1}
    )
    assert found["webhook_url"].severity == "error"
    assert "cannot be overwritten" in found["webhook_data.booking_id"].message
    assert found["webhook_data.a[0]"].suggestion == "invitee_name"
    assert found["webhook_data.a[0]"].severity == "warning"
    assert found["webhook_data.a[1]"].severity == "error"
    assert found["webhook_secret"].severity == "warning"
    assert "webhook_url" in problems()


def test_a_preview_is_json() -> None:
    config = ActionConfig(name="Act", webhook_url="https://hooks.example.com/", webhook_data={"a": "{{ start_time }}"})
    preview = registry.get("webhook").preview(sample_context(), config)
    assert json.loads(json.dumps(preview.as_dict()))["rendered"]["body"]["invitee_name"] == "José Álvarez"
