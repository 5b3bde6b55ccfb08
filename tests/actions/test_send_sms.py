"""SMS: numbers as people type them, segments, one missing number."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automation.durable.exceptions import ApplicationError
from automation.models import NotificationLog
from automation.providers.sms import SmsFailed, SmsMessage, SmsRefused
from automation.providers.sms.memory import refusals
from tests.actions.conftest import Change, Stage

SMS: dict[str, Any] = {"action_type": "send_sms", "message": "See you, {{ invitee_name }}"}
ADA, JOSE = "+491711234567", "+34600123456"


def test_numbers_are_read_as_of_their_owners_country(stage: Stage, sms: list[SmsMessage]) -> None:
    result = stage.act(**{**SMS, "recipient": "both"})
    assert [(message.to, message.text) for message in sms] == [
        (ADA, "See you, José Álvarez"),
        (JOSE, "See you, José Álvarez"),
    ]
    assert len({message.idempotency_key for message in sms}) == 1
    assert result["rendered"] == {"text": "See you, José Álvarez", "segments": 1, "encoding": "UCS-2", "units": 21}
    assert {row.recipient: row.status for row in NotificationLog.objects.all()} == {ADA: "sent", JOSE: "sent"}


@pytest.mark.parametrize("phone", ["", "   ", "call me", "123"])
def test_both_tolerates_one_without_a_usable_number_and_says_so(
    phone: str, stage: Stage, sms: list[SmsMessage], change: Change
) -> None:
    change(invitee_phone=phone)
    result = stage.act(**{**SMS, "recipient": "both"})
    assert result["status"] == "success"
    assert [message.to for message in sms] == [ADA]
    assert result["notes"][0].startswith("The invitee")


def test_nobody_with_a_number_fails(stage: Stage, sms: list[SmsMessage], change: Change) -> None:
    change(invitee_phone="")
    with pytest.raises(ApplicationError, match="The invitee has no phone number") as caught:
        stage.act(**SMS)
    assert caught.value.non_retryable
    assert NotificationLog.objects.count() == 0


def test_a_number_without_country_in_a_zone_without_country_asks_for_it(
    stage: Stage, sms: list[SmsMessage], change: Change
) -> None:
    change(invitee_timezone="UTC")
    with pytest.raises(ApplicationError, match=r"no country code, and the time zone 'UTC' names no country"):
        stage.act(**SMS)


def test_a_custom_number_is_the_organizers_to_dial(stage: Stage, sms: list[SmsMessage]) -> None:
    stage.act(**{**SMS, "recipient": "custom", "custom_phone": "030 901820"})
    assert sms[0].to == "+4930901820"


def test_the_organizers_number(stage: Stage, sms: list[SmsMessage]) -> None:
    stage.act(**{**SMS, "recipient": "organizer"})
    assert [message.to for message in sms] == [ADA]


def test_a_provider_that_is_away_is_tried_again_for_the_one_who_got_nothing(
    stage: Stage, sms: list[SmsMessage]
) -> None:
    refusals[JOSE] = SmsFailed("busy", retry_after=timedelta(seconds=30))
    execution = stage.execution(**{**SMS, "recipient": "both"})
    with pytest.raises(ApplicationError, match="busy") as caught:
        stage.run(execution)
    assert not caught.value.non_retryable
    assert caught.value.next_retry_delay == timedelta(seconds=30)
    refusals.clear()
    assert stage.run(execution, attempt=2)["status"] == "success"
    assert [message.to for message in sms] == [ADA, JOSE]


def test_a_refused_number_ends_it_and_the_other_got_the_message(stage: Stage, sms: list[SmsMessage]) -> None:
    refusals[ADA] = SmsRefused("no such number")
    with pytest.raises(ApplicationError, match="no such number") as caught:
        stage.act(**{**SMS, "recipient": "both"})
    assert caught.value.non_retryable
    assert [message.to for message in sms] == [JOSE]


@pytest.mark.parametrize(("text", "word"), [("   ", "empty"), ("x" * 1531, "11 SMS segments")])
def test_an_empty_or_endless_message_is_not_sent(text: str, word: str, stage: Stage, sms: list[SmsMessage]) -> None:
    with pytest.raises(ApplicationError, match=word) as caught:
        stage.act(**{**SMS, "message": text})
    assert caught.value.non_retryable
    assert sms == []


def test_the_default_backend_logs_what_it_would_send(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        result = stage.act(**SMS)
    assert f"to {JOSE}: See you, José Álvarez" in caplog.text
    assert result["recipients"][0]["detail"].startswith("console-")
