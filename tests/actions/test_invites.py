"""Calendar files: what they say, how they travel, and that any text survives in them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import icalendar
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from automation.actions.invites import calendar_file
from automation.models import Booking
from automation.providers.email import CalendarFile, canonical
from tests.actions.conftest import Change, Stage
from tests.support.mail import ReceivedMail, SmtpServer

MAIL: dict[str, Any] = {"action_type": "send_email", "subject": "Hi", "message": "Hello", "config": {"calendar": True}}


def event_of(file: CalendarFile) -> Any:
    calendar = icalendar.Calendar.from_ical(file.content)
    [event] = calendar.walk("VEVENT")
    return event


def parts(received: ReceivedMail) -> dict[str, bytes]:
    found = {}
    for part in received.message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found[part.get_content_type()] = payload
    return found


@pytest.mark.usefixtures("smtp")
def test_an_invitation_travels_as_calendars_expect_it(stage: Stage, smtp_server: SmtpServer) -> None:
    stage.act(**MAIL)
    [received] = smtp_server.messages
    [invitation] = [part for part in received.message.walk() if part.get_content_type() == "text/calendar"]
    assert invitation.get_param("method") == "REQUEST"
    assert invitation.get_param("charset") == "utf-8"
    found = parts(received)
    expected = calendar_file(Booking.objects.get()).content
    assert found["application/ics"] == expected
    assert found["text/calendar"].replace(b"\r\n", b"\n").strip() == expected.replace(b"\r\n", b"\n").strip()
    assert [part.get_filename() for part in received.message.walk() if part.get_filename()] == ["invite.ics"]
    assert received.text.strip() == "Hello"


@pytest.mark.usefixtures("smtp")
def test_nothing_is_attached_unless_asked_for(stage: Stage, smtp_server: SmtpServer) -> None:
    stage.act(**{**MAIL, "config": {}})
    assert set(parts(smtp_server.messages[0])) == {"text/plain", "text/html"}


def test_what_an_invitation_says(stage: Stage, change: Change) -> None:
    change(meeting_link="https://m.example/room;x=1,2", meeting_id="7", meeting_password="p;w,d\\n")
    booking = Booking.objects.get()
    file = calendar_file(booking)
    assert file.method == "REQUEST"
    event = event_of(file)
    assert event["UID"] == f"{booking.id}@localhost"
    assert event["SEQUENCE"] == 0
    assert event["STATUS"] == "CONFIRMED"
    assert event["SUMMARY"] == "Discovery Call: José Álvarez"
    assert event["LOCATION"] == "https://m.example/room;x=1,2"
    assert event["DESCRIPTION"] == "Link: https://m.example/room;x=1,2\nMeeting ID: 7\nPassword: p;w,d\\n"
    assert event["ORGANIZER"] == "mailto:ada@weir.example"
    assert event["ORGANIZER"].params["CN"] == "Ada Lovelace"
    assert event["ATTENDEE"] == "mailto:jose@enterprise.example"
    assert event["ATTENDEE"].params["CN"] == "José Álvarez"
    assert event["DTSTART"].dt == booking.start_time
    assert event["DTEND"].dt == booking.end_time
    assert b"\r\nDTSTART:" in file.content
    assert file.content.count(b"Z\r\n") == 3  # stamp, start and end in UTC
    assert max(map(len, file.content.split(b"\r\n"))) <= 75


def test_moving_keeps_the_entry_and_cancelling_removes_it(stage: Stage) -> None:
    booking = Booking.objects.get()
    first = event_of(calendar_file(booking))
    booking.start_time += dt.timedelta(days=1)
    booking.end_time += dt.timedelta(days=1)
    booking.save()
    moved = event_of(calendar_file(Booking.objects.select_related("event_type", "organizer").get()))
    assert (moved["UID"], moved["SEQUENCE"]) == (first["UID"], 1)
    booking.status = "cancelled"
    booking.save()
    file = calendar_file(Booking.objects.get())
    assert file.method == "CANCEL"
    assert b"METHOD:CANCEL" in file.content
    cancelled = event_of(file)
    assert (cancelled["UID"], cancelled["SEQUENCE"], cancelled["STATUS"]) == (first["UID"], 1, "CANCELLED")


def test_it_is_the_same_at_every_attempt(stage: Stage) -> None:
    assert calendar_file(Booking.objects.get()) == calendar_file(Booking.objects.get())


CONTROLS = {character: " " for character in (*range(0x20), 0x7F) if character not in (0x09, 0x0A)}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@example("a;b,c\\d:e\"f'g\\n\\,\\;")
@example("BEGIN:VEVENT\r\nEND:VCALENDAR\r\n")
@example("x" * 300 + "ü" * 100)
@example("\x0b\x0c\x85\u2028\ufeff")
@example("^n^^^'")
@example(" leading\n\n trailing \n")
@example("\\N")
def test_any_text_survives(stage: Stage, text: str) -> None:
    booking = stage.booking
    booking.invitee_name = text
    booking.event_type.description = text
    booking.cancellation_reason = ""
    event = event_of(calendar_file(booking))
    expected = canonical(text).translate(CONTROLS).replace("\\N", "\n")  # icalendar takes these two for a new line
    assert event["SUMMARY"] == f"Discovery Call: {expected}"
    if text:
        assert event["DESCRIPTION"] == expected
    assert event["ATTENDEE"] == "mailto:jose@enterprise.example"
    assert event["ATTENDEE"].params["ROLE"] == "REQ-PARTICIPANT"
