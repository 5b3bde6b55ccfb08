"""Two presses at the same moment, on a database with row locks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from automation import clock
from automation.domains.booking.models import Feedback
from automation.models import Booking, BookingAuditLog, BookingEvent, BookingStatus, Trigger
from automation.web.pages import FORM_KEY, form_key
from tests.automation.factories import make_booking, make_event_type
from tests.automation.test_concurrency import together

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]


@pytest.fixture(autouse=True)
def unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens."""
    monkeypatch.setattr("automation.durable.canvas._publish", lambda signature: True)
    cache.clear()


def send(booking: Booking, page: str, **fields: Any) -> int:
    key = {FORM_KEY: form_key(booking.access_token)}
    return Client().post(f"/b/{booking.access_token}/{page}/", {**key, **fields}).status_code


def test_two_who_cancel_cancel_once() -> None:
    booking = make_booking()
    assert together(*[lambda: send(booking, "cancel")] * 3) == [200, 200, 200]
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_CANCELLED).count() == 1
    assert BookingAuditLog.objects.count() == 1


def test_cancelling_and_moving_end_in_one_of_the_two_orders() -> None:
    booking = make_booking()
    start = f"{clock.now() + timedelta(days=5):%Y-%m-%dT%H:%M}"
    cancelled, moved = together(lambda: send(booking, "cancel"), lambda: send(booking, "reschedule", start=start))
    assert (cancelled, moved in (200, 409)) == (200, True)
    booking.refresh_from_db()
    assert (booking.status, booking.sequence) == (BookingStatus.CANCELLED, 1 if moved == 200 else 0)


def test_two_who_want_one_time_do_not_both_get_it() -> None:
    event_type = make_event_type()
    start = clock.now() + timedelta(days=5)
    pair = [make_booking(event_type, start_time=start + timedelta(days=day)) for day in (1, 2)]
    wanted = f"{start:%Y-%m-%dT%H:%M}"
    answers = together(*[lambda one=one: send(one, "reschedule", start=wanted) for one in pair])
    assert sorted(answers) == [200, 400]


def test_a_missed_meeting_gets_one_other_time() -> None:
    booking = make_booking(status=BookingStatus.NO_SHOW)
    times = [f"{clock.now() + timedelta(days=day):%Y-%m-%dT%H:%M}" for day in (5, 6)]
    answers = together(*[lambda time=time: send(booking, "reschedule", start=time) for time in times])
    assert sorted(answers) == [200, 409]
    assert Booking.objects.filter(rescheduled_from=booking).count() == 1


def test_two_ratings_are_one() -> None:
    booking = make_booking(start_time=clock.now() - timedelta(minutes=10))
    assert together(*[lambda r=r: send(booking, "feedback", rating=r) for r in "12"]) == [200, 200]
    assert Feedback.objects.count() == 1
