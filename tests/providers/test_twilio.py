"""The Twilio backend over real HTTP, against an emulator that behaves and misbehaves."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from automation import clock
from automation.durable.exceptions import ApplicationError
from automation.models import NotificationLog, Suppression
from automation.providers.callbacks.twilio import sign
from automation.providers.sms import SmsFailed, SmsMessage, SmsRefused, get_backend, send_sms
from tests.actions.conftest import Stage, stage  # noqa: F401 (a fixture)
from tests.support.twilio import ACCOUNT, TOKEN, Trouble, TwilioApi, post_callback

JOSE = "+34600123456"
MESSAGE = SmsMessage(
    to=JOSE, text="Hóla & 100% ✓", idempotency_key="k:1", status_callback="https://weir.example/cb?n=1"
)


@pytest.fixture(scope="module")
def _twilio() -> Iterator[TwilioApi]:
    api = TwilioApi()
    api.up()
    yield api
    api.down()


@pytest.fixture
def twilio(_twilio: TwilioApi, settings: Any) -> TwilioApi:
    _twilio.reset()
    settings.SMS_BACKEND = "automation.providers.sms.twilio.TwilioBackend"
    settings.TWILIO_ACCOUNT_SID = ACCOUNT
    settings.TWILIO_AUTH_TOKEN = TOKEN
    settings.TWILIO_FROM = "+15005550006"
    settings.TWILIO_API_URL = _twilio.url
    return _twilio


def test_it_hands_the_message_over(twilio: TwilioApi) -> None:
    receipt = send_sms(MESSAGE)
    [taken] = twilio.messages
    assert receipt.provider_id == taken.sid
    assert taken.fields == {
        "To": JOSE,
        "Body": "Hóla & 100% ✓",
        "From": "+15005550006",
        "StatusCallback": "https://weir.example/cb?n=1",
    }


def test_a_messaging_service_takes_the_numbers_place(twilio: TwilioApi, settings: Any) -> None:
    settings.TWILIO_FROM = "MG" + "1" * 32
    send_sms(MESSAGE)
    assert twilio.messages[0].fields["MessagingServiceSid"] == "MG" + "1" * 32
    assert "From" not in twilio.messages[0].fields


@pytest.mark.parametrize(("given", "wait"), [("7", timedelta(seconds=7)), ("", None), ("soon", None)])
def test_too_many_requests_are_waited_for(given: str, wait: timedelta | None, twilio: TwilioApi) -> None:
    twilio.rate_limit(1, given)
    with pytest.raises(SmsFailed, match="20429") as caught:
        send_sms(MESSAGE)
    assert caught.value.retry_after == wait
    send_sms(MESSAGE)
    assert len(twilio.messages) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(500, 20500, "Internal Server Error"),
        Trouble(503, 20503),
        Trouble(400, 21611, "This 'From' number has exceeded the maximum number of queued messages"),
        Trouble(drop=True),
    ],
)
def test_what_may_pass_is_tried_again(trouble: Trouble, twilio: TwilioApi) -> None:
    twilio.then(trouble, trouble)  # a connection that breaks is replaced once
    with pytest.raises(SmsFailed):
        send_sms(MESSAGE)


def test_a_server_that_stalls_is_given_up(twilio: TwilioApi, settings: Any) -> None:
    settings.WEBHOOK_TIMEOUT = 0.3
    twilio.then(Trouble(stall=True))
    with pytest.raises(SmsFailed, match="did not answer"):
        send_sms(MESSAGE)


def test_a_wrong_login_is_the_operators_to_mend(twilio: TwilioApi, settings: Any) -> None:
    settings.TWILIO_AUTH_TOKEN = "wrong"
    with pytest.raises(SmsFailed, match="Authenticate") as caught:
        send_sms(MESSAGE)
    assert "wrong" not in str(caught.value)


def test_numbers_that_never_get_anything_are_refused_for_good(twilio: TwilioApi) -> None:
    twilio.opted_out.add(JOSE)
    twilio.landlines.add("+34910000000")
    for to, code, suppress in (
        (JOSE, "21610", "opted_out"),
        ("+34910000000", "21614", "bounced"),
        ("+1", "21211", "bounced"),
    ):
        with pytest.raises(SmsRefused, match=code) as caught:
            send_sms(SmsMessage(to=to, text="x", idempotency_key="k"))
        assert caught.value.suppress == suppress
    with pytest.raises(SmsRefused, match="21617") as caught:
        send_sms(SmsMessage(to="+34600000001", text="x" * 1601, idempotency_key="k"))
    assert caught.value.suppress == ""
    assert twilio.messages == []


def test_missing_settings_are_named(twilio: TwilioApi, settings: Any) -> None:
    settings.TWILIO_AUTH_TOKEN = settings.TWILIO_FROM = ""
    with pytest.raises(ImproperlyConfigured, match="TWILIO_AUTH_TOKEN, TWILIO_FROM"):
        get_backend().send(MESSAGE)


def test_an_answer_that_makes_no_sense_is_no_success(twilio: TwilioApi, settings: Any) -> None:
    twilio.then(Trouble(200, 0))  # a 200 without the id of a message
    with pytest.raises(SmsFailed, match="without the id"):
        send_sms(MESSAGE)


def test_who_opted_out_gets_no_second_try(twilio: TwilioApi, stage: Stage) -> None:  # noqa: F811
    twilio.opted_out.add(JOSE)
    sms: dict[str, Any] = {"action_type": "send_sms", "message": "Hello"}
    with pytest.raises(ApplicationError, match="21610"):
        stage.act(**sms)
    assert Suppression.objects.get().reason == "opted_out"
    result = stage.act(**sms)
    assert result["status"] == "skipped"
    assert "told the provider to stop" in result["notes"][-1]
    assert len(twilio.requests) == 1


def test_the_callback_names_our_message(twilio: TwilioApi, stage: Stage) -> None:  # noqa: F811
    stage.act(action_type="send_sms", message="Hello")
    row = NotificationLog.objects.get()
    assert twilio.messages[0].fields["StatusCallback"].endswith(f"/api/v1/callbacks/twilio/?notification={row.id}")
    assert row.provider_id == twilio.messages[0].sid


@pytest.mark.django_db(transaction=True)
def test_from_the_message_to_its_delivery(twilio: TwilioApi, stage: Stage, live_server: Any, settings: Any) -> None:  # noqa: F811
    """Over HTTP both ways: the first answer is lost, the callback tells that the message was taken, and nobody gets it
    twice."""
    settings.PUBLIC_URL = live_server.url
    twilio.then(Trouble(503, takes=True))
    execution = stage.execution(action_type="send_sms", message="Hello")
    with pytest.raises(ApplicationError, match="503"):
        stage.run(execution)
    [taken] = twilio.messages
    for status in ("queued", "sent"):
        url, fields = twilio.callback(taken, status)
        assert post_callback(url, fields, sign(url, list(fields.items()), TOKEN)) == 204
    result = stage.run(execution, attempt=2)
    assert [outcome["status"] for outcome in result["recipients"]] == ["already_sent"]
    assert twilio.messages == [taken]
    url, fields = twilio.callback(taken, "delivered")
    assert post_callback(url, fields, sign(url, list(fields.items()), TOKEN)) == 204
    row = NotificationLog.objects.get()
    assert (row.status, row.provider_id, row.attempts) == ("delivered", taken.sid, 1)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post_callback(url, fields | {"MessageStatus": "failed"}, sign(url, list(fields.items()), TOKEN))


# -- an answer that is lost --------------------------------------------------------------------------------------------


def again(message: SmsMessage = MESSAGE, **changes: Any) -> SmsMessage:
    """A further attempt at it; the first one was made a second ago."""
    return replace(message, **{"since": clock.now() - timedelta(seconds=1), **changes})


def test_a_message_whose_answer_was_lost_is_found_and_not_sent_twice(twilio: TwilioApi) -> None:
    send_sms(replace(MESSAGE, to="+34600123499"))  # its connection is kept, and not asked: it may have been closed
    twilio.then(Trouble(drop=True, takes=True))
    with pytest.raises(SmsFailed):
        send_sms(MESSAGE)
    assert len(twilio.messages) == 2, "one request is one message"
    assert send_sms(again()).provider_id == twilio.messages[1].sid
    assert len(twilio.messages) == 2


def test_an_action_s_message_whose_answer_was_lost_goes_out_once(twilio: TwilioApi, stage: Stage) -> None:  # noqa: F811
    execution = stage.execution(action_type="send_sms", message="Hello", recipient="custom", custom_phone=JOSE)
    twilio.then(Trouble(stall=False, drop=True, takes=True))
    with pytest.raises(ApplicationError):
        stage.run(execution)
    assert stage.run(execution, attempt=2)["status"] == "success"
    assert (len(twilio.messages), twilio.lists) == (1, 1)
    row = NotificationLog.objects.get()
    assert (row.status, row.provider_id) == ("sent", twilio.messages[0].sid)


def test_a_first_attempt_asks_for_no_list(twilio: TwilioApi) -> None:
    send_sms(MESSAGE)
    assert twilio.lists == 0


@pytest.mark.parametrize(
    "other",
    [
        {"text": "another text"},
        {"to": "+34600123457"},
        {"since": timedelta(hours=1)},  # made before the first attempt
    ],
)
def test_another_message_is_not_taken_for_it(twilio: TwilioApi, other: dict[str, Any]) -> None:
    send_sms(MESSAGE)
    if "since" in other:
        other = {"since": clock.now() + other["since"]}
    assert send_sms(again(**other)).provider_id == twilio.messages[1].sid


def test_neither_is_one_that_came_to_nothing_nor_one_of_another_sender(twilio: TwilioApi, settings: Any) -> None:
    send_sms(MESSAGE)
    twilio.messages[0] = replace(twilio.messages[0], status="undelivered")
    send_sms(again())
    assert len(twilio.messages) == 2
    settings.TWILIO_FROM = "MG" + "1" * 32
    send_sms(again())
    assert len(twilio.messages) == 3
    send_sms(again())
    assert len(twilio.messages) == 3, "it is our own by the service's id as well"


def test_a_key_that_may_not_list_sends(twilio: TwilioApi) -> None:
    send_sms(MESSAGE)
    twilio.list_status = 401
    assert send_sms(again()).provider_id == twilio.messages[1].sid


@pytest.mark.parametrize("status", [429, 500, 503])
def test_while_it_cannot_be_said_nothing_is_sent(twilio: TwilioApi, status: int) -> None:
    twilio.list_status = status
    with pytest.raises(SmsFailed, match="does not say"):
        send_sms(again())
    assert twilio.messages == []
