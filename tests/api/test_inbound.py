"""Events of Cal.com, Calendly and others: signed as they document it, in any order, as often as they like."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from rest_framework.response import Response
from rest_framework.test import APIClient
from standardwebhooks.webhooks import Webhook as Signer

from automation import clock, secrets
from automation.models import (
    Booking,
    BookingEvent,
    BookingStatus,
    EventType,
    InboundBooking,
    InboundEvent,
    InboundSource,
    InboundStatus,
    User,
)
from automation.services import inbound, inbound_sources
from tests.api.conftest import client_of

NOW = dt.datetime(2027, 3, 1, 12, 0, tzinfo=dt.UTC)
START = dt.datetime(2027, 3, 10, 9, 0, tzinfo=dt.UTC)
MINUTES = dt.timedelta(minutes=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    clock.hold(NOW.timestamp())
    yield
    clock.let_go()


@pytest.fixture
def event_type(owner: User) -> EventType:
    return EventType.objects.create(organizer=owner, name="Discovery", slug="discovery", duration=30, max_attendees=3)


def source_of(owner: User, kind: str, **fields: Any) -> tuple[InboundSource, str]:
    return inbound_sources.create(owner, name=f"My {kind}", kind=kind, **fields)


class Sender:
    """Signs and posts as one source does."""

    def __init__(self, source: InboundSource, secret: str) -> None:
        self.source, self.secret = source, secret
        self.url = f"/api/v1/inbound/{source.pk}/"
        self.client = APIClient()

    def headers(self, body: bytes, at: dt.datetime, id: str = "msg_1") -> dict[str, str]:
        stamp = str(int(at.timestamp()))
        match self.source.kind:
            case "cal_com":
                return {"X-Cal-Signature-256": hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}
            case "calendly":
                digest = hmac.new(self.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
                return {"Calendly-Webhook-Signature": f"t={stamp},v1={digest}"}
        signature = Signer(self.secret).sign(id, at, body.decode())
        return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": signature}

    def post(self, data: Any, *, at: dt.datetime | None = None, id: str = "msg_1", **headers: str) -> Response:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        sent = {**self.headers(body, at or clock.now(), id), **headers}
        return self.client.post(self.url, body, content_type="application/json", headers=sent)


@pytest.fixture
def cal(owner: User, event_type: EventType) -> Sender:
    return Sender(*source_of(owner, "cal_com", event_types={"57": str(event_type.pk)}))


@pytest.fixture
def calendly(owner: User, event_type: EventType) -> Sender:
    return Sender(*source_of(owner, "calendly", default_event_type=event_type))


@pytest.fixture
def standard(owner: User, event_type: EventType) -> Sender:
    return Sender(*source_of(owner, "standard"))


def cal_event(trigger: str, uid: str = "uid-a", start: dt.datetime = START, minute: int = 0, **more: Any) -> Any:
    """As https://cal.com/docs/developing/guides/automation/webhooks shows it."""
    return {
        "triggerEvent": trigger,
        "createdAt": (NOW + minute * MINUTES - dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "payload": {
            "type": "30min",
            "title": "30 Min Meeting between Ada and José",
            "startTime": start.isoformat().replace("+00:00", "Z"),
            "endTime": (start + dt.timedelta(minutes=45)).isoformat().replace("+00:00", "Z"),
            "organizer": {"id": 5, "name": "Ada", "email": "ada@example.com", "timeZone": "Europe/London"},
            "responses": {
                "name": {"label": "your_name", "value": "José Álvarez"},
                "email": {"label": "email_address", "value": "jose@example.com"},
                "attendeePhoneNumber": {"label": "phone_number", "value": "+34600123456"},
                "notes": {"label": "additional_notes", "value": "Bring a pen"},
                "Team size": {"label": "Team size", "value": 12},
            },
            "attendees": [
                {"email": "jose@example.com", "name": "José Álvarez", "timeZone": "Europe/Madrid"},
                {"email": "eva@example.com", "name": "Eva", "timeZone": "Europe/Madrid"},
            ],
            "location": "integrations:daily",
            "uid": uid,
            "eventTypeId": 57,
            "bookingId": 100,
            "videoCallData": {
                "type": "daily_video",
                "id": "room-1",
                "password": "pw",
                "url": "https://daily.example/1",
            },
            "status": "ACCEPTED",
            **more,
        },
    }


def invitee(letter: str) -> str:
    return f"https://api.calendly.com/scheduled_events/E{letter}/invitees/{letter}"


def calendly_event(event: str, letter: str = "A", start: dt.datetime = START, minute: int = 0, **more: Any) -> Any:
    """As https://developer.calendly.com shows an invitee's payload."""
    return {
        "event": event,
        "created_at": (NOW + minute * MINUTES - dt.timedelta(hours=1)).isoformat(),
        "created_by": "https://api.calendly.com/users/U",
        "payload": {
            "uri": invitee(letter),
            "email": "jose@example.com",
            "name": "José Álvarez",
            "timezone": "Europe/Madrid",
            "text_reminder_number": "+34 600 123 456",
            "questions_and_answers": [{"question": "Team size?", "answer": "12", "position": 0}],
            "rescheduled": False,
            "old_invitee": None,
            "new_invitee": None,
            "scheduled_event": {
                "uri": f"https://api.calendly.com/scheduled_events/E{letter}",
                "name": "Discovery",
                "start_time": start.isoformat(),
                "end_time": (start + dt.timedelta(minutes=30)).isoformat(),
                "event_type": "https://api.calendly.com/event_types/T1",
                "location": {
                    "type": "zoom",
                    "join_url": "https://zoom.example/j/1",
                    "data": {"id": 1, "password": "p"},
                },
            },
            **more,
        },
    }


def triggers() -> list[tuple[str, str]]:
    return list(BookingEvent.objects.order_by("occurred_at", "id").values_list("trigger", "source"))


# -- Cal.com -----------------------------------------------------------------------------------------------------------


def test_a_cal_com_booking_is_made_moved_and_cancelled(cal: Sender, event_type: EventType) -> None:
    made = cal.post(cal_event("BOOKING_CREATED"))
    assert made.status_code == 200, made.json()
    booking = Booking.objects.get()
    assert made.json()["booking"] == str(booking.pk)
    assert (booking.event_type, booking.start_time, booking.duration_minutes) == (event_type, START, 45)
    assert (booking.invitee_name, booking.invitee_email) == ("José Álvarez", "jose@example.com")
    assert (booking.invitee_phone, booking.invitee_timezone) == ("+34600123456", "Europe/Madrid")
    assert (booking.meeting_link, booking.meeting_id, booking.meeting_password) == (
        "https://daily.example/1",
        "room-1",
        "pw",
    )
    assert booking.attendee_count == 2
    assert booking.custom_answers["team_size"] == 12
    assert booking.custom_answers["notes"] == "Bring a pen"

    later = START + dt.timedelta(days=1)
    moved = cal.post(cal_event("BOOKING_RESCHEDULED", "uid-b", later, minute=1, rescheduleUid="uid-a"))
    assert moved.json()["booking"] == str(booking.pk)
    booking.refresh_from_db()
    assert (booking.start_time, booking.status, booking.sequence) == (later, BookingStatus.CONFIRMED, 1)

    ended = cal.post(
        cal_event(
            "BOOKING_CANCELLED", "uid-b", later, minute=2, cancellationReason="Ill", cancelledBy="jose@example.com"
        )
    )
    assert ended.status_code == 200
    booking.refresh_from_db()
    assert (booking.status, booking.cancellation_reason) == (BookingStatus.CANCELLED, "Ill")
    assert booking.cancelled_by == "jose@example.com"
    assert triggers() == [
        ("booking_created", "cal.com"),
        ("booking_rescheduled", "cal.com"),
        ("booking_cancelled", "cal.com"),
    ]


def test_a_cal_com_meeting_ends_or_its_invitee_does_not_come(cal: Sender) -> None:
    cal.post(cal_event("BOOKING_CREATED"))
    absent = {
        "triggerEvent": "BOOKING_NO_SHOW_UPDATED",
        "createdAt": NOW.isoformat(),
        "payload": {"bookingUid": "uid-a", "attendees": [{"email": "jose@example.com", "noShow": True}]},
    }
    assert cal.post(absent).status_code == 200
    assert Booking.objects.get().status == BookingStatus.NO_SHOW
    flat = {**cal_event("MEETING_ENDED", minute=70)["payload"], "triggerEvent": "MEETING_ENDED"}
    assert cal.post(flat).json()["note"] == "The booking is no_show here."
    absent["payload"]["attendees"][0]["noShow"] = False  # type: ignore[index]
    absent["createdAt"] = (NOW + MINUTES).isoformat()
    assert cal.post(absent).status_code == 200
    assert Booking.objects.get().status == BookingStatus.COMPLETED


def test_a_repeated_delivery_changes_nothing(cal: Sender) -> None:
    data = cal_event("BOOKING_CREATED")
    first = cal.post(data)
    again = cal.post(data)
    assert again.json() == first.json()
    assert Booking.objects.count() == BookingEvent.objects.count() == 1
    event = InboundEvent.objects.get()
    assert (event.deliveries, event.attempts) == (2, 1)


def test_what_is_no_booking_is_kept_and_ignored(cal: Sender) -> None:
    for name in ("PING", "FORM_SUBMITTED", "BOOKING_REQUESTED"):
        answer = cal.post({"triggerEvent": name, "createdAt": NOW.isoformat(), "payload": {}})
        assert answer.status_code == 202
        assert answer.json()["status"] == InboundStatus.IGNORED
    assert InboundEvent.objects.count() == 3
    assert not Booking.objects.exists()


CAL_HISTORY = (
    ("BOOKING_CREATED", "uid-a", START, {}),
    ("BOOKING_RESCHEDULED", "uid-b", START + dt.timedelta(days=1), {"rescheduleUid": "uid-a"}),
    ("BOOKING_RESCHEDULED", "uid-c", START + dt.timedelta(days=2), {"rescheduleUid": "uid-b"}),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_every_order_one_meeting_is_left_at_its_last_time(cal: Sender, order: tuple[int, ...]) -> None:
    for index in order:
        name, uid, start, more = CAL_HISTORY[index]
        assert cal.post(cal_event(name, uid, start, minute=index, **more)).status_code in (200, 202)
    [booking] = Booking.objects.filter(status=BookingStatus.CONFIRMED)
    assert booking.start_time == START + dt.timedelta(days=2)
    assert "booking_cancelled" not in dict(triggers())
    assert cal.post(cal_event("BOOKING_CANCELLED", "uid-c", minute=9)).status_code == 200
    assert not Booking.objects.filter(status=BookingStatus.CONFIRMED).exists()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_every_order_a_cancelled_meeting_stays_cancelled(cal: Sender, order: tuple[int, ...]) -> None:
    history = (CAL_HISTORY[0], CAL_HISTORY[1], ("BOOKING_CANCELLED", "uid-b", START, {}))
    for index in order:
        name, uid, start, more = history[index]
        cal.post(cal_event(name, uid, start, minute=index, **more))
    assert not Booking.objects.filter(status=BookingStatus.CONFIRMED).exists()


def test_more_guests_than_are_admitted_here_keep_no_meeting_from_it(cal: Sender, event_type: EventType) -> None:
    EventType.objects.update(max_attendees=1)
    assert cal.post(cal_event("BOOKING_CREATED")).status_code == 200
    assert Booking.objects.get().attendee_count == 1


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_many_deliveries_at_once_make_one_booking(transactional_db: None, cal: Sender) -> None:
    history = [cal_event(name, uid, start, minute=i, **more) for i, (name, uid, start, more) in enumerate(CAL_HISTORY)]

    def send(data: Any) -> int:
        try:
            return int(cal.post(data).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(send, history * 4))
    assert set(codes) <= {200, 202}
    [booking] = Booking.objects.filter(status=BookingStatus.CONFIRMED)
    assert booking.start_time == CAL_HISTORY[-1][2]
    assert InboundEvent.objects.count() == 3
    assert InboundSource.objects.get().received == 12


# -- Calendly ----------------------------------------------------------------------------------------------------------


def test_a_calendly_booking_is_made_and_cancelled(calendly: Sender, event_type: EventType) -> None:
    assert calendly.post(calendly_event("invitee.created")).status_code == 200
    booking = Booking.objects.get()
    assert (booking.event_type, booking.start_time, booking.duration_minutes) == (event_type, START, 30)
    assert booking.custom_answers == {"team_size": "12"}
    assert (booking.meeting_link, booking.meeting_id) == ("https://zoom.example/j/1", "1")
    gone = calendly_event("invitee.canceled", minute=1, cancellation={"canceled_by": "Ada", "reason": "Busy"})
    assert calendly.post(gone).status_code == 200
    booking.refresh_from_db()
    assert (booking.status, booking.cancelled_by, booking.cancellation_reason) == ("cancelled", "Ada", "Busy")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_calendly_meeting_is_moved_by_its_two_events_in_any_order(calendly: Sender, order: tuple[int, ...]) -> None:
    later = START + dt.timedelta(days=1)
    history = (
        calendly_event("invitee.created"),
        calendly_event("invitee.canceled", minute=1, rescheduled=True, new_invitee=invitee("B")),
        calendly_event("invitee.created", "B", later, minute=2, old_invitee=invitee("A")),
    )
    for index in order:
        calendly.post(history[index])
    [booking] = Booking.objects.all()
    assert (booking.start_time, booking.status) == (later, BookingStatus.CONFIRMED)


def test_a_calendly_signature_that_is_too_old_is_refused(calendly: Sender) -> None:
    data = calendly_event("invitee.created")
    for shift in (dt.timedelta(minutes=6), dt.timedelta(minutes=-6)):
        answer = calendly.post(data, at=NOW + shift)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "timestamp_refused"
    assert not InboundEvent.objects.exists()


def test_a_cal_com_body_that_was_made_days_ago_is_refused(cal: Sender) -> None:
    data = {**cal_event("BOOKING_CREATED"), "createdAt": (NOW - dt.timedelta(days=2)).isoformat()}
    assert cal.post(data).json()["error"]["code"] == "timestamp_refused"


# -- Standard Webhooks -------------------------------------------------------------------------------------------------


def standard_event(type: str, minute: int = 0, **data: Any) -> Any:
    return {
        "type": f"booking.{type}",
        "timestamp": (NOW + minute * MINUTES).isoformat(),
        "data": {
            "id": "ext-1",
            "event_type": "discovery",
            "invitee_name": "José",
            "invitee_email": "jose@example.com",
            "start_time": START.isoformat(),
            **data,
        },
    }


def test_anything_signed_as_standard_webhooks_makes_and_ends_bookings(standard: Sender) -> None:
    assert standard.post(standard_event("created")).status_code == 200
    booking = Booking.objects.get()
    assert booking.end_time == START + dt.timedelta(minutes=30)
    later = (START + dt.timedelta(hours=1)).isoformat()
    assert standard.post(standard_event("rescheduled", 1, start_time=later), id="msg_2").status_code == 200
    assert standard.post(standard_event("completed", 2), id="msg_3").status_code == 200
    booking.refresh_from_db()
    assert (booking.status, booking.sequence) == (BookingStatus.COMPLETED, 1)
    # The same id is the same event, whatever else it says.
    assert standard.post(standard_event("created", 3, id="ext-2"), id="msg_1").json()["booking"] == str(booking.pk)
    assert Booking.objects.count() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": ""},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "x"},
        {"webhook-signature": "v1,\xe9"},
    ],
)
def test_a_request_that_is_not_rightly_signed_leaves_only_a_counter(standard: Sender, headers: dict[str, str]) -> None:
    answer = standard.post(standard_event("created"), **headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] in ("bad_signature", "timestamp_refused")
    assert not InboundEvent.objects.exists()
    source = InboundSource.objects.get()
    assert (source.refused, source.received, source.last_refused_at) == (1, 0, NOW)


@pytest.mark.parametrize("kind", ["cal_com", "calendly", "standard"])
def test_a_changed_body_or_another_sources_secret_is_refused(owner: User, kind: str) -> None:
    sender = Sender(*source_of(owner, kind))
    other = Sender(*source_of(owner, kind))
    body = b'{"triggerEvent": "PING", "event": "x", "type": "x"}'
    assert sender.post(body).status_code == 202
    stolen = other.headers(body, NOW)
    assert sender.client.post(sender.url, body, content_type="application/json", headers=stolen).status_code == 401
    own = sender.headers(body, NOW)
    assert sender.client.post(sender.url, body + b" ", content_type="application/json", headers=own).status_code == 401
    assert sender.client.post(sender.url, body, content_type="application/json").status_code == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"nonsense", b"[" * 100_000, b'{"type": 1}'])
def test_a_signed_body_that_makes_no_sense_is_refused_or_ignored(standard: Sender, body: bytes) -> None:
    if body == b"\xff":
        assert standard.client.post(standard.url, body, content_type="application/json").status_code == 401
        return
    assert standard.post(body).status_code in (400, 202)
    assert not Booking.objects.exists()


def test_too_long_a_body_is_not_read(standard: Sender, settings: Any) -> None:
    settings.API_MAX_BODY_BYTES = 1024
    answer = standard.client.post(standard.url, b"x" * 5000, content_type="application/json")
    assert answer.status_code == 413


def test_text_that_no_database_takes_is_cleaned(standard: Sender) -> None:
    data = standard_event("created", invitee_name="Jo\x00sé\ud800", custom_answers={"a\x00": "b\x00\ud800"})
    assert standard.post(data).status_code == 200
    assert Booking.objects.get().invitee_name == "José?"


def test_an_unknown_source_and_one_that_is_off_are_404(standard: Sender) -> None:
    InboundSource.objects.update(is_active=False)
    assert standard.post(standard_event("created")).status_code == 404
    InboundSource.objects.all().delete()
    assert standard.post(standard_event("created")).status_code == 404


# -- mending -----------------------------------------------------------------------------------------------------------


def test_an_event_type_that_is_not_mapped_fails_and_is_processed_again(
    owner: User, api: APIClient, event_type: EventType
) -> None:
    sender = Sender(*source_of(owner, "cal_com"))
    answer = sender.post(cal_event("BOOKING_CREATED"))
    assert answer.status_code == 202
    assert answer.json()["status"] == "failed"
    assert "'57', '30min'" in answer.json()["note"]
    patched = api.patch(f"/api/v1/inbound-sources/{sender.source.pk}/", {"event_types": {"30min": str(event_type.pk)}})
    assert patched.status_code == 200, patched.json()
    again = api.post(f"/api/v1/events/{answer.json()['id']}/process/")
    assert again.json()["status"] == "processed"
    assert Booking.objects.get().event_type == event_type
    # A second time changes nothing.
    assert api.post(f"/api/v1/events/{answer.json()['id']}/process/").json()["attempts"] == 2
    assert Booking.objects.count() == 1


def test_what_was_stored_and_not_processed_is_found_by_the_sweep(cal: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(inbound, "process", lambda *args: None)  # the process dies after the commit
        cal.post(cal_event("BOOKING_CREATED"))
    assert InboundEvent.objects.get().status == InboundStatus.RECEIVED
    assert inbound.sweep_events(clock.now()) == 0
    assert inbound.sweep_events(clock.now() + dt.timedelta(minutes=2)) == 1
    assert InboundEvent.objects.get().status == InboundStatus.PROCESSED
    assert Booking.objects.count() == 1


def test_an_unforeseen_error_puts_the_event_off_and_is_given_up_at_last(
    cal: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(inbound, "_apply", broken)
    assert cal.post(cal_event("BOOKING_CREATED")).status_code == 202
    event = InboundEvent.objects.get()
    assert (event.status, event.note) == (InboundStatus.RECEIVED, "ZeroDivisionError: oops")
    for _ in range(9):
        inbound.process(event.pk)
    event.refresh_from_db()
    assert (event.status, event.due) == (InboundStatus.FAILED, None)
    assert not InboundBooking.objects.exists()


def test_old_events_are_deleted(cal: Sender) -> None:
    cal.post(cal_event("BOOKING_CREATED"))
    assert inbound.purge(NOW + dt.timedelta(days=89)) == 0
    assert inbound.purge(NOW + dt.timedelta(days=91)) == 1


# -- sources -----------------------------------------------------------------------------------------------------------


def test_a_sources_secret_is_shown_once_and_rotated_with_an_overlap(api: APIClient, owner: User) -> None:
    made = api.post("/api/v1/inbound-sources/", {"name": "Zap", "kind": "standard"})
    assert made.status_code == 201, made.json()
    first = made.json()["secret"]
    assert first.startswith("whsec_")
    assert made.json()["url"].endswith(f"/api/v1/inbound/{made.json()['id']}/")
    path = f"/api/v1/inbound-sources/{made.json()['id']}/"
    shown = api.get(path).json()
    assert "secret" not in shown
    assert first not in json.dumps(shown)
    row = InboundSource.objects.get()
    assert first not in row.secret_encrypted
    second = api.post(f"{path}rotate/", {"overlap_minutes": 10}).json()["secret"]
    assert second != first
    row.refresh_from_db()
    body = b'{"type": "x"}'
    assert Sender(row, first).post(body, id="a").status_code == 202
    assert Sender(row, second).post(body, id="b").status_code == 202
    clock.hold((NOW + dt.timedelta(minutes=11)).timestamp())
    assert Sender(row, first).post(body, id="c").status_code == 401
    assert Sender(row, second).post(body, id="d").status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "kind": "nope"}, "kind"),
        ({"name": "x", "kind": "standard", "secret": "not-a-whsec-secret"}, "secret"),
        ({"name": "x", "kind": "cal_com", "secret": "short"}, "secret"),
        (
            {"name": "x", "kind": "cal_com", "event_types": {"a": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10"}},
            "event_types.a",
        ),
        ({"name": "x", "kind": "cal_com", "event_types": {"a": 1}}, "event_types.a"),
        ({"kind": "cal_com"}, "name"),
    ],
)
def test_a_source_that_cannot_be_is_refused(api: APIClient, body: dict[str, Any], field: str) -> None:
    answer = api.post("/api/v1/inbound-sources/", body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]


def test_a_source_whose_event_type_has_been_deleted_can_be_switched_off(api: APIClient, cal: Sender) -> None:
    EventType.objects.all().delete()
    path = f"/api/v1/inbound-sources/{cal.source.pk}/"
    answer = api.patch(path, {"is_active": False})
    assert (answer.status_code, answer.json().get("is_active")) == (200, False)
    refused = api.patch(path, {"event_types": answer.json()["event_types"]})
    assert refused.json()["error"]["fields"].keys() == {"event_types.57"}


def test_what_cannot_be_changed_says_what_to_do_instead(api: APIClient, cal: Sender) -> None:
    path = f"/api/v1/inbound-sources/{cal.source.pk}/"
    fields = api.patch(path, {"kind": "calendly", "secret": "another secret"}).json()["error"]["fields"]
    assert "make another source" in fields["kind"][0]
    assert "POST it to rotate/" in fields["secret"][0]


def test_strangers_see_neither_sources_nor_events(
    cal: Sender, stranger: APIClient, api: APIClient, operator: APIClient, event_type: EventType
) -> None:
    cal.post(cal_event("BOOKING_CREATED"))
    event = InboundEvent.objects.get()
    for path in (f"inbound-sources/{cal.source.pk}/", f"events/{event.pk}/"):
        assert stranger.get(f"/api/v1/{path}").status_code == 404
        assert api.get(f"/api/v1/{path}").status_code == 200
        assert operator.get(f"/api/v1/{path}").status_code == 200
    assert stranger.post(f"/api/v1/events/{event.pk}/process/").status_code == 404
    assert stranger.post(f"/api/v1/inbound-sources/{cal.source.pk}/rotate/").status_code == 404
    assert stranger.get("/api/v1/events/").json()["count"] == 0
    mapping = {"name": "x", "kind": "cal_com", "event_types": {"a": str(event_type.pk)}}
    assert stranger.post("/api/v1/inbound-sources/", mapping).status_code == 400
    assert client_of(None).get("/api/v1/events/").status_code == 401


def test_a_secret_is_decrypted_to_nobody(cal: Sender, api: APIClient) -> None:
    assert cal.secret not in api.get("/api/v1/inbound-sources/").content.decode()
    assert secrets.decrypt(cal.source.secret_encrypted) == cal.secret
