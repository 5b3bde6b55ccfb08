"""What providers and other schedulers post, signed as they sign it, with parts of the body replaced: the signature
holds, so all that lies behind it is reached, and nothing is answered beside the OpenAPI document."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from automation import clock, secrets
from automation.models import EventType, InboundEvent, NotificationEvent, NotificationLog, User
from automation.providers.callbacks.standard import sign as sign_email
from automation.providers.callbacks.twilio import sign as sign_twilio
from automation.services import inbound_sources
from tests.api.test_fuzz import VALUES, fuzzed, places, replaced
from tests.api.test_inbound import NOW, START, Sender, cal_event, calendly_event
from tests.api.test_walk import assert_described
from tests.api.world import document

pytestmark = pytest.mark.django_db
TIMES = 5
"""Examples of each, for one of the others: a signed post is quick."""
SECRET, TOKEN, PUBLIC_URL = secrets.new_webhook_secret(), "auth-token", "https://weir.example"
KEY = ec.generate_private_key(ec.SECP256R1())

Post = Callable[[bytes], Any]
"""Signs and posts a body."""


@pytest.fixture(scope="module")
def described() -> Any:
    return schemathesis.openapi.from_dict(document())


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    settings.SENDGRID_WEBHOOK_KEY = base64.b64encode(public).decode()
    settings.EMAIL_CALLBACK_SECRET, settings.TWILIO_AUTH_TOKEN, settings.PUBLIC_URL = SECRET, TOKEN, PUBLIC_URL
    settings.INBOUND_RATE = "off"


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    clock.hold(NOW.timestamp())
    yield
    clock.let_go()


@pytest.fixture
def message(owner: User) -> NotificationLog:
    return NotificationLog.objects.create(
        organizer=owner,
        channel="email",
        recipient="jose@example.com",
        status="sent",
        provider_id="<abc@weir.example>",
        sent_at=clock.now(),
    )


def altered(good: Any) -> st.SearchStrategy[bytes]:
    """The good body with a part or two replaced, as JSON; or no JSON at all."""
    ways = list(places(good))

    @st.composite
    def draw_one(draw: st.DrawFn) -> bytes:
        body = good
        for _ in range(draw(st.integers(1, 2))):
            way = draw(st.sampled_from(ways))
            # The first replacement may have taken the second's place away.
            with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
                body = replaced(body, way, draw(VALUES))
        return json.dumps(body).encode("utf-8", "replace")

    return draw_one() | st.binary(max_size=40) | st.just(json.dumps(good).encode())


def check(described: Any, name: str, good: Any, post: Post) -> None:
    """Every body is answered as the document says, and none is refused for its signature."""

    @given(altered(good))
    def run(body: bytes) -> None:
        with transaction.atomic():
            response = post(body)
            transaction.set_rollback(True)
        assert response.status_code < 500, response.content
        assert b"bad_signature" not in response.content, response.content
        assert_described(described, name, response)

    fuzzed(run, TIMES)()


# -- callbacks ---------------------------------------------------------------------------------------------------------


def post_callback(provider: str, body: bytes, headers: dict[str, str], query: str = "", **kwargs: Any) -> Any:
    kwargs.setdefault("content_type", "application/json")
    return APIClient().post(f"/api/v1/callbacks/{provider}/{query}", body, headers=headers, **kwargs)


def test_callbacks_of_email(described: Any, message: NotificationLog) -> None:
    good = {
        "events": [
            {
                "type": "email.bounced",
                "timestamp": NOW.isoformat(),
                "id": "e1",
                "data": {"message_id": message.provider_id, "notification_id": "", "reason": "no", "permanent": True},
            }
        ]
    }

    def post(body: bytes) -> Any:
        stamp = str(int(clock.now().timestamp()))
        signature = sign_email("evt", stamp, body, SECRET)
        headers = {"webhook-id": "evt", "webhook-timestamp": stamp, "webhook-signature": signature}
        return post_callback("email", body, headers)

    check(described, "POST callbacks/{provider}/", good, post)
    assert post(json.dumps(good).encode()).status_code == 204
    assert NotificationEvent.objects.get().kind == "bounced", "the good body got all the way"


def test_callbacks_of_sendgrid(described: Any, message: NotificationLog) -> None:
    good = [
        {
            "event": "bounce",
            "sg_event_id": "e1",
            "timestamp": int(NOW.timestamp()),
            "smtp-id": message.provider_id,
            "email": message.recipient,
            "reason": "550 no",
            "status": "5.1.1",
            "type": "bounce",
        }
    ]

    def post(body: bytes) -> Any:
        stamp = str(int(clock.now().timestamp()))
        signature = base64.b64encode(KEY.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": signature,
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        }
        return post_callback("sendgrid", body, headers)

    check(described, "POST callbacks/{provider}/", good, post)
    assert post(json.dumps(good).encode()).status_code == 204
    assert NotificationEvent.objects.get().kind == "bounced"


def test_callbacks_of_twilio(described: Any, message: NotificationLog) -> None:
    good = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005", "To": "+34600123456"}
    NotificationLog.objects.filter(pk=message.pk).update(channel="sms", provider_id="SM1", recipient="+34600123456")

    def post(body: bytes) -> Any:
        """The JSON's fields, as a form: texts of any kind under names of any kind."""
        try:
            found = json.loads(body)
        except ValueError:
            found = {body.decode("latin-1"): ""}
        fields = [(str(name), str(value)) for name, value in found.items()] if isinstance(found, dict) else []
        query = f"?notification={message.pk}"
        url = f"{PUBLIC_URL}/api/v1/callbacks/twilio/{query}"
        form = urlencode([tuple(part.encode("utf-8", "replace").decode() for part in field) for field in fields])
        # What the receiver reads back from the form is what is signed: without blank names, as forms drop none.
        signed = [tuple(part.encode("utf-8", "replace").decode() for part in field) for field in fields]
        headers = {"X-Twilio-Signature": sign_twilio(url, signed, TOKEN)}  # type: ignore[arg-type]
        return post_callback("twilio", form.encode(), headers, query, content_type="application/x-www-form-urlencoded")

    check(described, "POST callbacks/{provider}/", good, post)
    assert post(json.dumps(good).encode()).status_code == 204
    assert NotificationEvent.objects.get().kind == "bounced"


# -- other schedulers --------------------------------------------------------------------------------------------------

STANDARD = {
    "type": "booking.created",
    "timestamp": NOW.isoformat(),
    "data": {
        "id": "b-1",
        "event_type": "discovery",
        "start_time": START.isoformat(),
        "end_time": (START + dt.timedelta(minutes=30)).isoformat(),
        "invitee": {"name": "José", "email": "jose@example.com", "phone": "+34600123456", "timezone": "Europe/Madrid"},
        "attendee_count": 2,
        "custom_answers": {"team": 12},
    },
}


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("cal_com", cal_event("BOOKING_CREATED")),
        ("cal_com", cal_event("BOOKING_RESCHEDULED", "uid-b", rescheduleUid="uid-a")),
        ("cal_com", cal_event("BOOKING_CANCELLED", cancellationReason="Ill")),
        ("calendly", calendly_event("invitee.created")),
        ("calendly", calendly_event("invitee.canceled", cancellation={"reason": "Ill", "canceled_by": "José"})),
        ("standard", STANDARD),
    ],
)
def test_events_of_other_schedulers(kind: str, good: Any, described: Any, owner: User) -> None:
    event_type = EventType.objects.create(organizer=owner, name="Discovery", slug="discovery", duration=30)
    source = inbound_sources.create(owner, name=kind, kind=kind, default_event_type=event_type)
    sender = Sender(*source)

    def post(body: bytes) -> Any:
        if kind == "standard":
            try:
                body.decode()
            except UnicodeDecodeError:
                body = b"[]"  # its signers sign text
        sender.client.raise_request_exception = False
        return sender.post(body)

    check(described, "POST inbound/{source}/", good, post)
    assert post(json.dumps(good).encode()).status_code in (200, 202)
    assert InboundEvent.objects.get().type
