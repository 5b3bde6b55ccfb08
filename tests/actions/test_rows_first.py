"""Every message has its row before it goes out, so that no crash leaves a message that nobody knows of."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.mail.backends.base import BaseEmailBackend

from automation import outbound
from automation.models import NotificationLog
from automation.providers.sms.base import SmsBackend, SmsMessage, SmsReceipt
from tests.actions.conftest import Stage
from tests.support.receiver import HttpReceiver

seen: list[list[tuple[str, str, str, str]]] = []


def look() -> None:
    """Notes the rows that there are at the moment of sending."""
    seen.append(
        list(NotificationLog.objects.order_by("recipient").values_list("channel", "recipient", "status", "body"))
    )


class LookingEmail(BaseEmailBackend):
    def send_messages(self, email_messages: Any) -> int:
        look()
        return len(email_messages)


class LookingSms(SmsBackend):
    def send(self, message: SmsMessage) -> SmsReceipt:
        look()
        return SmsReceipt("SM1")


@pytest.fixture(autouse=True)
def _looking(settings: Any) -> None:
    seen.clear()
    settings.EMAIL_BACKEND = f"{__name__}.LookingEmail"
    settings.SMS_BACKEND = f"{__name__}.LookingSms"


def test_an_email(stage: Stage) -> None:
    stage.act(action_type="send_email", subject="Hi", message="Hello", recipient="both")
    assert seen[0] == [
        ("email", "ada@weir.example", "pending", "Hello"),
        ("email", "jose@enterprise.example", "pending", "Hello"),
    ]
    assert seen[1][0][2] == "sent", "each is noted before the next one goes out"


def test_an_sms(stage: Stage) -> None:
    stage.act(action_type="send_sms", message="Hello", recipient="custom", custom_phone="+34600123456")
    assert seen == [[("sms", "+34600123456", "pending", "Hello")]]


def test_a_webhook(stage: Stage, http_receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    post = outbound.post_json

    def looking(*args: Any, **kwargs: Any) -> Any:
        look()
        return post(*args, **kwargs)

    monkeypatch.setattr(outbound, "post_json", looking)
    stage.act(action_type="webhook", webhook_url=http_receiver.url())
    [[row]] = seen
    assert row[:3] == ("webhook", http_receiver.url(), "pending")
    assert '"action":"Act"' in row[3]
