"""What providers tell of messages: signatures, order, repetition, and messages that are not ours."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from automation import clock, secrets
from automation.models import Channel, NotificationLog, NotificationPreference, NotificationStatus, Suppression, User
from automation.providers.callbacks import Kind
from automation.providers.callbacks.standard import sign as standard_sign
from automation.providers.callbacks.twilio import sign as twilio_sign
from automation.services import delivery_events
from tests.api.conftest import problem_of

SECRET = secrets.new_webhook_secret()
TOKEN = "auth-token"
MESSAGE_ID = "<abc@weir.example>"


@pytest.fixture
def keys(settings: Any) -> ec.EllipticCurvePrivateKey:
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    settings.SENDGRID_WEBHOOK_KEY = base64.b64encode(der).decode()
    settings.EMAIL_CALLBACK_SECRET = SECRET
    settings.TWILIO_AUTH_TOKEN = TOKEN
    settings.PUBLIC_URL = "https://weir.example"
    return private


def message_of(owner: User, channel: str = Channel.EMAIL, **fields: Any) -> NotificationLog:
    return NotificationLog.objects.create(
        **{
            "organizer": owner,
            "channel": channel,
            "recipient": "jose@example.com" if channel == Channel.EMAIL else "+34600123456",
            "status": NotificationStatus.SENT,
            "provider_id": MESSAGE_ID if channel == Channel.EMAIL else "SM1",
            "sent_at": clock.now(),
            **fields,
        }
    )


@pytest.fixture
def mail(owner: User) -> NotificationLog:
    return message_of(owner)


def email_event(kind: str, event_id: str = "", **data: Any) -> dict[str, Any]:
    event: dict[str, Any] = {"type": f"email.{kind}", "timestamp": clock.now().isoformat()}
    return event | ({"id": event_id} if event_id else {}) | {"data": {"message_id": MESSAGE_ID, **data}}


def post_email(body: Any, *, id_: str = "evt_1", secret: str = SECRET, age: int = 0) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(clock.now().timestamp()) - age)
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,bm90aGluZw== {standard_sign(id_, stamp, raw, secret)}",
    }
    return Client().post("/api/v1/callbacks/email/", raw, content_type="application/json", headers=headers)


def post_twilio(row_id: object, status: str, *, token: str = TOKEN, sid: str = "SM1", **more: str) -> Any:
    path = f"/api/v1/callbacks/twilio/?notification={row_id}"
    fields = {"MessageSid": sid, "MessageStatus": status, "To": "+34600123456", "Body": "Hóla ✓", **more}
    signature = twilio_sign("https://weir.example" + path, list(fields.items()), token)
    return Client().post(
        path,
        urlencode(fields),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": signature},
    )


def post_sendgrid(key: ec.EllipticCurvePrivateKey, events: Any, *, changed: bytes = b"") -> Any:
    body = json.dumps(events).encode()
    stamp = str(int(clock.now().timestamp()))
    signature = key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }
    return Client().post(
        "/api/v1/callbacks/sendgrid/", changed or body, content_type="application/json", headers=headers
    )


def test_the_signature_is_that_of_twilios_documentation() -> None:
    """The worked example of https://www.twilio.com/docs/usage/security, with its auth token."""
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_sign(url, list(fields.items()), "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


# --- What they tell ---------------------------------------------------------------------------------------------------


def test_the_way_of_an_email(keys: Any, mail: NotificationLog) -> None:
    for number, kind in enumerate(("delivered", "opened", "clicked")):
        assert post_email(email_event(kind), id_=f"evt_{number}").status_code == 204
        mail.refresh_from_db()
        assert mail.status == kind
    assert mail.delivered_at is not None
    assert mail.opened_at is not None
    assert [event.kind for event in mail.events.all()] == ["delivered", "opened", "clicked"]


def test_a_permanent_bounce_suppresses_the_address_once(keys: Any, mail: NotificationLog) -> None:
    for _ in range(3):
        assert post_email(email_event("bounced", permanent=True, reason="550 5.1.1 no such user")).status_code == 204
    mail.refresh_from_db()
    assert (mail.status, mail.error) == ("bounced", "550 5.1.1 no such user")
    row = Suppression.objects.get()
    assert (row.recipient, row.reason, row.channel) == ("jose@example.com", "bounced", "email")
    assert mail.events.count() == 1

    # Taken off the list, it does not come back on it by a replay.
    Suppression.objects.update(lifted_at=clock.now())
    post_email(email_event("bounced", permanent=True))
    assert not Suppression.objects.filter(lifted_at=None).exists()


def test_a_passing_bounce_suppresses_nothing(keys: Any, mail: NotificationLog) -> None:
    post_email(email_event("bounced", permanent=False))
    assert not Suppression.objects.exists()


def test_a_late_delivered_undoes_nothing(keys: Any, mail: NotificationLog) -> None:
    post_email(email_event("bounced"), id_="evt_b")
    post_email(email_event("delivered"), id_="evt_d")
    mail.refresh_from_db()
    assert mail.status == "bounced"
    post_email(email_event("opened"), id_="evt_o")
    post_email(email_event("delivered"), id_="evt_d2")
    mail.refresh_from_db()
    assert mail.status == "opened"


def test_several_events_in_one_request(keys: Any, mail: NotificationLog) -> None:
    body = {"events": [email_event("opened"), email_event("complained"), email_event("unsubscribed")]}
    assert post_email(body).status_code == 204
    mail.refresh_from_db()
    assert mail.status == "opened"
    assert Suppression.objects.get().reason == "complained"
    preference = NotificationPreference.objects.get()
    assert preference.recipient == "jose@example.com"
    assert preference.unsubscribed_by == "recipient"


STATUSES = ("sent", "delivered", "bounced", "failed", "opened", "clicked")


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.sampled_from(STATUSES), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_and_the_number_of_events_do_not_matter(owner: User, kinds: list[str], random: Any) -> None:
    ends = set()
    for shuffled in (kinds, sorted(kinds), [*reversed(kinds), *kinds], random.sample(kinds, len(kinds))):
        row = message_of(owner)
        for kind in shuffled:
            delivery_events.seen(row.id, Kind(kind))
        row.refresh_from_db()
        ends.add(row.status)
    assert len(ends) == 1


def test_sms_by_twilio(keys: Any, owner: User) -> None:
    row = message_of(owner, Channel.SMS)
    for status in ("queued", "sending", "sent", "delivered", "sent"):
        assert post_twilio(row.id, status).status_code == 204
    row.refresh_from_db()
    assert row.status == "delivered"
    post_twilio(row.id, "undelivered", ErrorCode="30005")
    row.refresh_from_db()
    assert (row.status, row.error) == ("bounced", "(Twilio error 30005)")
    assert Suppression.objects.get().recipient == "+34600123456"


def test_a_callback_that_is_quicker_than_the_answer(keys: Any, owner: User) -> None:
    """Our attempt timed out, and Twilio had taken the message all the same: it is not sent again."""
    row = message_of(owner, Channel.SMS, status="failed", provider_id="", sent_at=None)
    assert post_twilio(row.id, "sent", sid="SM77").status_code == 204
    row.refresh_from_db()
    assert (row.status, row.provider_id, row.error) == ("sent", "SM77", "")
    assert row.sent_at is not None


def test_sendgrids_events(keys: ec.EllipticCurvePrivateKey, mail: NotificationLog) -> None:
    base = {"email": "jose@example.com", "timestamp": int(clock.now().timestamp()), "smtp-id": MESSAGE_ID}
    events = [
        base | {"event": "processed", "sg_event_id": "1"},
        base | {"event": "open", "sg_event_id": "2", "useragent": "x"},
        base | {"event": "bounce", "sg_event_id": "3", "reason": "550", "type": "blocked"},
        base | {"event": "account_status_change", "sg_event_id": "4"},
        base | {"event": "delivered", "sg_event_id": "5", "response": "250 OK"},
    ]
    for _ in range(2):
        assert post_sendgrid(keys, events).status_code == 204
    mail.refresh_from_db()
    assert mail.status == "opened"
    assert mail.events.count() == 4
    assert not Suppression.objects.exists()
    post_sendgrid(keys, [base | {"event": "bounce", "sg_event_id": "6", "reason": "550 5.1.1", "type": "bounce"}])
    assert Suppression.objects.get().detail == "550 5.1.1"


# --- Whom we believe --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "send",
    [
        lambda key, row: post_email(email_event("bounced"), secret=secrets.new_webhook_secret()),
        lambda key, row: post_email(email_event("bounced"), age=600),
        lambda key, row: post_email(email_event("bounced"), age=-600),
        lambda key, row: Client().post("/api/v1/callbacks/email/", "{}", content_type="application/json"),
        lambda key, row: post_twilio(row.id, "failed", token="other"),
        lambda key, row: post_sendgrid(key, [{}], changed=b"[]"),
        lambda key, row: post_sendgrid(ec.generate_private_key(ec.SECP256R1()), [{}]),
    ],
)
def test_what_is_not_signed_changes_nothing(
    send: Callable[..., Any], keys: ec.EllipticCurvePrivateKey, mail: NotificationLog
) -> None:
    problem_of(send(keys, mail), 401, "bad_signature")
    mail.refresh_from_db()
    assert mail.status == "sent"


def test_a_signature_for_one_message_does_not_fit_another(keys: Any, owner: User) -> None:
    one, other = (message_of(owner, Channel.SMS) for _ in range(2))
    fields = {"MessageSid": "SM1", "MessageStatus": "failed"}
    url = f"https://weir.example/api/v1/callbacks/twilio/?notification={one.id}"
    signature = twilio_sign(url, list(fields.items()), TOKEN)
    response = Client().post(
        f"/api/v1/callbacks/twilio/?notification={other.id}", urlencode(fields),
        content_type="application/x-www-form-urlencoded", headers={"X-Twilio-Signature": signature},
    )  # fmt: skip
    assert response.status_code == 401


def test_messages_that_are_not_ours_are_answered_alike(keys: ec.EllipticCurvePrivateKey, mail: NotificationLog) -> None:
    answers = [
        post_email(email_event("delivered")),
        post_email(email_event("delivered") | {"data": {"message_id": "<other@example.com>"}}, id_="evt_2"),
        post_email(email_event("delivered") | {"data": {"notification_id": str(uuid.uuid4())}}, id_="evt_3"),
        post_email(email_event("delivered") | {"data": None}, id_="evt_4"),
        post_twilio(mail.id, "delivered"),  # an email, which Twilio has nothing to tell about
        post_twilio("nonsense", "delivered"),
        post_sendgrid(keys, [{"event": "open", "sg_event_id": "x", "smtp-id": "<x@y>"}]),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(204, b"")}


def test_a_provider_that_is_not_set_up_is_not_there(db: None, settings: Any) -> None:
    settings.EMAIL_CALLBACK_SECRET = settings.TWILIO_AUTH_TOKEN = settings.SENDGRID_WEBHOOK_KEY = ""
    messages = {
        problem_of(Client().post(f"/api/v1/callbacks/{name}/", b"x", content_type="text/plain"), 404)["message"]
        for name in ("email", "twilio", "sendgrid", "nobody")
    }
    assert len(messages) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[]", b'"x"', b'{"type": "email.exploded"}', b'{"events": 3}', b"\xff", b"[" * 100_000]
)
def test_a_signed_body_that_makes_no_sense_is_a_400(body: bytes, keys: Any, db: None) -> None:
    problem_of(post_email(body), 400, "invalid")


@pytest.mark.parametrize("value", [None, [], {}, "x\0y", "\ud800", 1e400, True, "9" * 400])
def test_odd_values_do_no_harm(value: Any, keys: Any, mail: NotificationLog) -> None:
    body = {
        "type": "email.delivered",
        "timestamp": value,
        "id": value,
        "data": {"message_id": MESSAGE_ID, "reason": value},
    }
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    assert post_email(raw).status_code == 204
    mail.refresh_from_db()
    assert mail.status == "delivered"
    assert mail.delivered_at is not None
    assert mail.delivered_at <= clock.now() + dt.timedelta(seconds=1)


def test_all_orders_of_four(owner: User) -> None:
    for order in itertools.permutations(("sent", "failed", "delivered", "bounced")):
        row = message_of(owner, status="pending", sent_at=None)
        for kind in order:
            delivery_events.seen(row.id, Kind(kind))
        row.refresh_from_db()
        assert row.status == "bounced"


def test_ids_of_any_length(keys: Any, owner: User, mail: NotificationLog) -> None:
    row = message_of(owner, Channel.SMS)
    assert post_twilio(row.id, "delivered", sid="S" * 3000).status_code == 204
    assert post_email(email_event("delivered", "e" * 3000), id_="i" * 3000).status_code == 204
    for url in ("https://m.example/" + "x" * 400, "https://m.example/" + "x" * 401):
        assert delivery_events.seen(mail.id, Kind.CLICKED, url)
    assert mail.events.filter(kind="clicked").count() == 2
