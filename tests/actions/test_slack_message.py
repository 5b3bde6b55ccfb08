"""Slack messages, to a real HTTP server that answers as Slack documents it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automation import secrets
from automation.actions.config import ActionConfig
from automation.actions.registry import registry
from automation.durable.exceptions import ApplicationError
from automation.errors import InvalidInput
from automation.models import HeldCall, NotificationLog, Workflow, WorkflowAction
from automation.rules.fields import sample_context
from automation.services import workflows
from tests.actions.conftest import Change, Stage
from tests.support.receiver import HttpReceiver, Reply

PATH = "/services/T000/B000/s3cr3ts3cr3ts3cr3t"


def slack(receiver: HttpReceiver, message: str = "*New:* {{ invitee_name }}") -> dict[str, Any]:
    return {
        "action_type": "slack_message",
        "message": message,
        "webhook_secret_encrypted": secrets.encrypt(receiver.url(PATH)),
    }


def test_it_posts_the_message(stage: Stage, http_receiver: HttpReceiver) -> None:
    result = stage.act(**slack(http_receiver))
    [received] = http_receiver.to(PATH)
    assert received.json == {"text": "*New:* José Álvarez"}
    assert received.headers["content-type"] == "application/json"
    assert result["rendered"]["body"] == {"text": "*New:* José Álvarez"}
    row = NotificationLog.objects.get()
    assert (row.channel, row.status) == ("slack", "sent")


def test_no_connection_repeats_a_message_by_itself(stage: Stage, http_receiver: HttpReceiver) -> None:
    """Slack knows no idempotency key, so a lost answer is a failed attempt, and not quietly asked for again."""
    stage.act(**slack(http_receiver))  # whose connection is kept
    http_receiver.on(PATH, Reply(mode="drop"), Reply())
    with pytest.raises(ApplicationError) as caught:
        stage.act(**slack(http_receiver))
    assert not caught.value.non_retryable
    assert len(http_receiver.to(PATH)) == 2


def test_the_url_is_shown_to_nobody(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on(PATH, Reply(status=404, body=b"no_service"))
    with pytest.raises(ApplicationError) as caught:
        stage.act(**slack(http_receiver))
    assert caught.value.type == "HTTP404"
    row, held = NotificationLog.objects.get(), HeldCall.objects.get()
    for text in (json.dumps(caught.value.details), caught.value.message, row.recipient, row.error, held.message):
        assert "s3cr3ts3" not in text


def test_names_mention_nobody(stage: Stage, http_receiver: HttpReceiver, change: Change) -> None:
    change(invitee_name="<!channel> & <https://evil.example|here>")
    stage.act(**slack(http_receiver, "<https://weir.example|Weir>: {{ invitee_name }} {{ custom_company }}"))
    assert http_receiver.requests[0].json["text"] == (
        "<https://weir.example|Weir>: &lt;!channel&gt; &amp; &lt;https://evil.example|here&gt; Acme"
    )


def test_too_many_requests_wait_as_slack_asks(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on(PATH, Reply(status=429, headers={"Retry-After": "30"}), Reply())
    execution = stage.execution(**slack(http_receiver))
    with pytest.raises(ApplicationError) as caught:
        stage.run(execution)
    assert caught.value.next_retry_delay is not None
    assert caught.value.next_retry_delay.total_seconds() == 30
    assert stage.run(execution, 2)["status"] == "success"
    assert stage.run(execution, 3)["recipients"][0]["status"] == "already_sent"
    assert len(http_receiver.requests) == 2


def test_an_archived_channel_switches_the_action_off(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on(PATH, Reply(status=410, body=b"channel_is_archived"))
    with pytest.raises(ApplicationError, match="410"):
        stage.act(**slack(http_receiver))
    action = WorkflowAction.objects.get()
    assert not action.is_active
    assert "s3cr3ts3" not in action.disabled_reason


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"message": "{{ custom_nothing }}"}, "is empty"),
        ({"message": "{{ 'x' * 41000 }}"}, "Slack takes 40,000"),
        ({"webhook_secret_encrypted": ""}, "no webhook URL"),
        ({"webhook_secret_encrypted": "nonsense"}, "cannot be decrypted"),
    ],
)
def test_what_cannot_be_sent_is_not_tried_again(
    stage: Stage, http_receiver: HttpReceiver, action: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ApplicationError, match=reason) as caught:
        stage.act(**{**slack(http_receiver), **action})
    assert caught.value.non_retryable
    assert not http_receiver.requests


def test_what_is_wrong_with_it_is_said_when_it_is_saved(db: None) -> None:
    kind = registry.get("slack_message")
    found = {problem.path: problem for problem in kind.validate(ActionConfig(action_type="slack_message"))}
    assert found["message"].severity == "error"
    assert found["webhook_secret"].severity == "warning"
    assert kind.validate(ActionConfig(message="{{ x", webhook_secret_encrypted="y"))[0].path == "message"


def test_its_preview_posts_nothing(db: None, http_receiver: HttpReceiver) -> None:
    preview = registry.get("slack_message").preview(
        sample_context(), ActionConfig.from_mapping(slack(http_receiver, "Hi {{ invitee_name }}"))
    )
    assert preview.rendered["text"].startswith("Hi ")
    assert not http_receiver.requests


def test_a_workflow_stores_its_url_encrypted_and_refuses_what_is_none(stage: Stage) -> None:
    def make(secret: str) -> Workflow:
        action = {"action_type": "slack_message", "message": "x", "webhook_secret": secret}
        return workflows.create(stage.organizer, name="S", trigger="booking_created", actions=[action])

    with pytest.raises(InvalidInput) as caught:
        make("hooks.slack.com/services/T0/B0/s3cr3t")
    assert "s3cr3t" not in json.dumps([caught.value.message, caught.value.fields])
    workflow = make(" https://hooks.slack.com/services/T0/B0/s3cr3t ")
    action = workflow.actions.get()
    assert "s3cr3t" not in action.webhook_secret_encrypted
    assert secrets.decrypt(action.webhook_secret_encrypted) == "https://hooks.slack.com/services/T0/B0/s3cr3t"
