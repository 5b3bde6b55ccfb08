"""Bookings through the service: what is allowed when, what is refused and how it says so, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import Booking, BookingAuditLog, BookingEvent, BookingStatus, EventType, Trigger
from automation.services import bookings
from tests.automation.factories import NOW, make_booking, make_event_type

pytestmark = pytest.mark.django_db

INVITEE = {"invitee_name": "Ina", "invitee_email": "ina@example.com"}
LATER = NOW + timedelta(days=4)


@pytest.fixture
def event_type() -> EventType:
    return make_event_type()


def test_it_books_with_four_fields(event_type: EventType) -> None:
    booking = bookings.create(event_type, **INVITEE, start_time=NOW, source="api", actor="olga@example.com")
    assert (booking.organizer_id, booking.end_time) == (event_type.organizer_id, NOW + timedelta(minutes=30))
    assert (booking.invitee_timezone, booking.status) == ("UTC", BookingStatus.CONFIRMED)
    assert BookingEvent.objects.get().source == "api"
    entry = BookingAuditLog.objects.get()
    assert (entry.action, entry.actor, entry.new_values["invitee_name"]) == ("created", "olga@example.com", "Ina")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"invitee_email": "nobody"}, "invitee_email"),
        ({"invitee_name": ""}, "invitee_name"),
        ({"invitee_timezone": "Mars/Olympus"}, "invitee_timezone"),
        ({"end_time": NOW}, "end_time"),
        ({"start_time": datetime(2030, 1, 1, 12)}, "start_time"),
        ({"attendee_count": 0}, "attendee_count"),
        ({"attendee_count": 2}, "attendee_count"),
        ({"custom_answers": ["a"]}, "custom_answers"),
        ({"meeting_link": "no link"}, "meeting_link"),
        ({"status": "completed"}, "status"),
    ],
)
def test_it_refuses_impossible_bookings_by_field(event_type: EventType, fields: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bookings.create(event_type, **{**INVITEE, "start_time": NOW, **fields})
    assert list(caught.value.fields) == [name]
    assert not Booking.objects.exists()


def test_it_takes_no_booking_for_an_event_type_that_is_off(event_type: EventType) -> None:
    event_type.is_active = False
    with pytest.raises(InvalidInput, match="cannot be saved") as caught:
        bookings.create(event_type, **INVITEE, start_time=NOW)
    assert "switched off" in caught.value.fields["event_type"][0]


ACTS: dict[str, Callable[[Booking], Booking]] = {
    "reschedule": lambda booking: bookings.reschedule(booking.pk, LATER),
    "cancel": lambda booking: bookings.cancel(booking.pk),
    "complete": lambda booking: bookings.complete(booking.pk),
    "no_show": lambda booking: bookings.no_show(booking.pk),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("status", BookingStatus.values)
def test_it_refuses_transitions_that_make_no_sense(status: str, act: str) -> None:
    booking = make_booking()
    Booking._base_manager.filter(pk=booking.pk).update(status=status)
    allowed = {
        "confirmed": {"reschedule", "cancel", "complete", "no_show"},
        "completed": {"no_show"},
        "no_show": {"complete"},
    }
    if act in allowed.get(status, set()):
        ACTS[act](booking)
    else:
        with pytest.raises(Conflict, match="cannot be"):
            ACTS[act](booking)
        booking.refresh_from_db()
        assert (booking.status, booking.sequence) == (status, 0)
        assert BookingEvent.objects.count() == 1


def test_it_moves_a_booking_and_keeps_its_length() -> None:
    booking = make_booking()
    moved = bookings.reschedule(booking.pk, LATER, actor="ina@example.com")
    assert (moved.start_time, moved.end_time, moved.sequence) == (LATER, LATER + timedelta(minutes=30), 1)
    entry = BookingAuditLog.objects.get()
    assert (entry.action, entry.actor) == ("rescheduled", "ina@example.com")
    assert set(entry.new_values) == {"start_time", "end_time"}
    # The same time again changes nothing and tells nobody.
    assert bookings.reschedule(booking.pk, LATER).sequence == 1
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_RESCHEDULED).count() == 1
    assert bookings.reschedule(booking.pk, LATER, LATER + timedelta(hours=1)).duration_minutes == 60
    with pytest.raises(InvalidInput):
        bookings.reschedule(booking.pk, LATER, LATER)


def test_it_says_who_cancelled_and_why() -> None:
    booking = bookings.cancel(make_booking().pk, "Ill", actor="ina@example.com", source="invitee")
    assert (booking.cancellation_reason, booking.cancelled_by) == ("Ill", "ina@example.com")
    assert BookingEvent.objects.latest("occurred_at").source == "invitee"


def test_it_edits_what_is_no_time_and_no_status() -> None:
    booking = make_booking()
    changed = bookings.update(booking.pk, meeting_link="https://meet.example.com/1", invitee_phone="+4930123456")
    assert changed.meeting_link == "https://meet.example.com/1"
    assert BookingAuditLog.objects.get().old_values == {"meeting_link": "", "invitee_phone": ""}
    with pytest.raises(InvalidInput):
        bookings.update(booking.pk, status="cancelled")
    with pytest.raises(InvalidInput):
        bookings.update(booking.pk, invitee_email="nobody")
    with pytest.raises(NotFound):
        bookings.update(uuid4(), invitee_name="Nobody")
