"""Bookings: made, changed, moved and ended through the API."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from rest_framework.test import APIClient

from automation.models import Booking, BookingEvent, BookingStatus, EventType, Trigger, User
from tests.api.conftest import NOBODY, booking_of, problem_of

URL = "/api/v1/bookings/"


def minimal(event_type: EventType, **fields: Any) -> dict[str, Any]:
    return {
        "event_type": str(event_type.pk),
        "invitee_name": "José Álvarez",
        "invitee_email": "jose@enterprise.com",
        "start_time": "2027-03-29T09:30:00+02:00",
        **fields,
    }


def test_it_makes_one_from_a_minimal_body(api: APIClient, event_type: EventType, owner: User) -> None:
    response = api.post(URL, minimal(event_type))
    assert response.status_code == 201, response.content
    body = response.json()
    assert body["organizer"] == owner.pk
    assert body["event_type"] == str(event_type.pk)
    assert body["event_type_name"] == "Discovery Call"
    assert body["status"] == "confirmed"
    assert body["invitee_timezone"] == "UTC"
    assert body["start_time"] == "2027-03-29T07:30:00Z"
    assert body["end_time"] == "2027-03-29T08:00:00Z"
    event = BookingEvent.objects.get(booking_id=body["id"])
    assert (event.trigger, event.source.split(":")[0]) == (Trigger.BOOKING_CREATED, "api")


def test_it_takes_every_field(api: APIClient, event_type: EventType) -> None:
    fields = {
        "end_time": "2027-03-29T08:45:00Z",
        "invitee_phone": "+34 600 123 456",
        "invitee_timezone": "Europe/Madrid",
        "attendee_count": 3,
        "custom_answers": {"budget": 10000, "topics": ["pricing"]},
        "meeting_link": "https://meet.example.com/x",
        "meeting_id": "x",
        "meeting_password": "y",
    }
    event_type.max_attendees = 5
    event_type.save()
    body = api.post(URL, minimal(event_type, **fields)).json()
    assert {name: body[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"invitee_email": "nobody"}, "invitee_email"),
        ({"invitee_name": ""}, "invitee_name"),
        ({"start_time": "tomorrow"}, "start_time"),
        ({"start_time": "1999-12-31T23:59:59Z"}, "start_time"),
        ({"start_time": "2200-01-01T00:00:00Z"}, "start_time"),
        ({"end_time": "2027-03-29T07:30:00Z"}, "end_time"),
        ({"invitee_timezone": "Mars/Olympus"}, "invitee_timezone"),
        ({"attendee_count": 0}, "attendee_count"),
        ({"custom_answers": ["a"]}, "custom_answers"),
        ({"event_type": "x"}, "event_type"),
        ({"event_type": NOBODY}, "event_type"),
        ({"meeting_link": "javascript:alert(1)"}, "meeting_link"),
    ],
)
def test_it_names_the_field_at_fault(
    api: APIClient, event_type: EventType, fields: dict[str, Any], at_fault: str
) -> None:
    problem = problem_of(api.post(URL, minimal(event_type) | fields), 400, "invalid")
    assert list(problem["fields"]) == [at_fault]
    assert not Booking.objects.exists()


def test_it_names_all_that_is_missing(api: APIClient) -> None:
    fields = problem_of(api.post(URL, {}), 400, "invalid")["fields"]
    assert set(fields) == {"event_type", "invitee_name", "invitee_email", "start_time"}


def test_it_does_not_find_the_event_type_of_somebody_else(api: APIClient, foreign_event_type: EventType) -> None:
    problem = problem_of(api.post(URL, minimal(foreign_event_type)), 400, "invalid")
    assert "Not found" in problem["fields"]["event_type"][0]


def test_staff_book_for_the_owner_of_the_event_type(operator: APIClient, event_type: EventType, owner: User) -> None:
    assert operator.post(URL, minimal(event_type)).json()["organizer"] == owner.pk


def test_it_changes_details(api: APIClient, booking: Booking) -> None:
    changes = {"invitee_name": "Pepe", "custom_answers": {"a": 1}, "meeting_link": "https://meet.example.com/y"}
    body = api.patch(f"{URL}{booking.pk}/", changes).json()
    assert {name: body[name] for name in changes} == changes
    booking.refresh_from_db()
    assert booking.invitee_name == "Pepe"
    assert booking.sequence == 0


@pytest.mark.parametrize("name", ["start_time", "end_time", "status", "event_type", "cancellation_reason"])
def test_it_says_where_the_rest_is_changed(api: APIClient, booking: Booking, name: str) -> None:
    problem = problem_of(api.patch(f"{URL}{booking.pk}/", {name: "x", "invitee_name": "Pepe"}), 400, "invalid")
    assert list(problem["fields"]) == [name]
    booking.refresh_from_db()
    assert booking.invitee_name == "José Álvarez"


def test_it_is_neither_replaced_nor_deleted(api: APIClient, booking: Booking) -> None:
    problem_of(api.put(f"{URL}{booking.pk}/", {}), 405)
    problem_of(api.delete(f"{URL}{booking.pk}/"), 405)


def test_it_reschedules_and_keeps_the_duration(api: APIClient, booking: Booking) -> None:
    start = booking.start_time + dt.timedelta(days=1)
    body = api.post(f"{URL}{booking.pk}/reschedule/", {"start_time": start.isoformat()}).json()
    moved = Booking.objects.get(pk=body["id"])
    assert moved.start_time == start
    assert moved.duration_minutes == 30
    assert BookingEvent.objects.filter(booking=moved, trigger=Trigger.BOOKING_RESCHEDULED).count() == 1
    assert "start_time" in problem_of(api.post(f"{URL}{booking.pk}/reschedule/", {}), 400)["fields"]


def test_it_cancels_with_a_reason(api: APIClient, booking: Booking, owner: User) -> None:
    body = api.post(f"{URL}{booking.pk}/cancel/", {"reason": "Ill"}).json()
    assert (body["status"], body["cancellation_reason"], body["cancelled_by"]) == ("cancelled", "Ill", owner.email)
    assert BookingEvent.objects.filter(booking=booking, trigger=Trigger.BOOKING_CANCELLED).count() == 1
    problem_of(api.post(f"{URL}{booking.pk}/complete/"), 409, "conflict")
    problem_of(api.post(f"{URL}{booking.pk}/reschedule/", {"start_time": "2027-01-01T00:00:00Z"}), 409, "conflict")


@pytest.mark.parametrize(
    ("control", "status", "trigger"),
    [
        ("complete", BookingStatus.COMPLETED, Trigger.BOOKING_COMPLETED),
        ("no-show", BookingStatus.NO_SHOW, Trigger.BOOKING_NO_SHOW),
    ],
)
def test_it_ends(api: APIClient, event_type: EventType, control: str, status: str, trigger: str) -> None:
    booking = booking_of(event_type)
    assert api.post(f"{URL}{booking.pk}/{control}/").json()["status"] == status
    assert BookingEvent.objects.filter(booking=booking, trigger=trigger).count() == 1


def test_it_hides_other_peoples(stranger: APIClient, anonymous: APIClient, booking: Booking) -> None:
    url = f"{URL}{booking.pk}/"
    assert stranger.get(URL).json()["count"] == 0
    body = {"start_time": "2027-01-01T00:00:00Z", "invitee_name": "Eve"}
    for client, status in ((stranger, 404), (anonymous, 401)):
        problem_of(client.get(url), status)
        problem_of(client.patch(url, body), status)
        for control in ("reschedule", "cancel", "complete", "no-show"):
            problem_of(client.post(f"{url}{control}/", body), status)
    booking.refresh_from_db()
    assert (booking.status, booking.invitee_name) == ("confirmed", "José Álvarez")


def test_staff_steer_any(operator: APIClient, booking: Booking, staff: User) -> None:
    body = operator.post(f"{URL}{booking.pk}/cancel/", {}).json()
    assert (body["status"], body["cancelled_by"]) == ("cancelled", staff.email)


def test_it_filters_searches_and_sorts(api: APIClient, booking: Booking, event_type: EventType, owner: User) -> None:
    workshop = EventType.objects.create(organizer=owner, name="Workshop", duration=60)
    late = booking_of(
        workshop,
        invitee_name="Grace",
        invitee_email="grace@navy.mil",
        start_time=booking.start_time + dt.timedelta(days=9),
        status=BookingStatus.COMPLETED,
    )

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in api.get(URL, query).json()["results"]]

    both = [str(late.pk), str(booking.pk)]
    assert ids() == both
    assert ids(ordering="start_time") == both[::-1]
    assert ids(status="completed") == [str(late.pk)]
    assert ids(status=["completed", "confirmed"]) == both
    assert ids(event_type=str(workshop.pk)) == [str(late.pk)]
    assert ids(search="navy") == ids(invitee_email="GRACE@navy.mil") == [str(late.pk)]
    assert ids(start_after=late.start_time.isoformat()) == [str(late.pk)]
    assert ids(start_before=late.start_time.isoformat()) == [str(booking.pk)]
    assert "status" in problem_of(api.get(f"{URL}?status=nothing"), 400)["fields"]
