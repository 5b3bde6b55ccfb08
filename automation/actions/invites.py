"""A booking as a calendar file (RFC 5545), sent the way calendars expect invitations by mail (RFC 6047).

The same booking has the same UID for ever, and its SEQUENCE grows whenever its time changes, so that a calendar moves
the entry that it has, and a CANCEL removes it. Times are in UTC, which needs no time zone definition and cannot be
misread. A file is the same, byte for byte, at every attempt.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import icalendar
from django.conf import settings

from automation.models import Booking, BookingStatus
from automation.providers.email import CalendarFile, canonical, one_line

PRODUCT = "-//Weir//Weir 1//EN"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_OVER = (BookingStatus.CANCELLED, BookingStatus.RESCHEDULED)


def calendar_file(booking: Booking) -> CalendarFile:
    """The booking with its event type and organizer as an invitation, or, where it does not take place, as the
    cancelling of one."""
    cancelled = booking.status in _OVER
    method = "CANCEL" if cancelled else "REQUEST"
    event = icalendar.Event()
    event.add("uid", f"{booking.id}@{urlsplit(settings.PUBLIC_URL).hostname or 'localhost'}")
    event.add("sequence", booking.sequence)
    event.add("dtstamp", booking.updated_at.replace(microsecond=0))
    event.add("dtstart", booking.start_time)
    event.add("dtend", booking.end_time)
    event.add("summary", _text(f"{booking.event_type.name}: {booking.invitee_name}"))
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    if description := _description(booking):
        event.add("description", description)
    if booking.meeting_link:
        event.add("location", _text(booking.meeting_link))
    organizer = booking.organizer
    event["organizer"] = _person(organizer.email, organizer.get_full_name())
    attendee = _person(booking.invitee_email, booking.invitee_name)
    attendee.params["ROLE"] = "REQ-PARTICIPANT"
    attendee.params["PARTSTAT"] = "NEEDS-ACTION"
    attendee.params["RSVP"] = "FALSE" if cancelled else "TRUE"
    event.add("attendee", attendee, encode=False)
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    content: bytes = calendar.to_ical()
    return CalendarFile(method, content)


def _description(booking: Booking) -> str:
    lines = [
        booking.event_type.description,
        booking.meeting_link and f"Link: {booking.meeting_link}",
        booking.meeting_id and f"Meeting ID: {booking.meeting_id}",
        booking.meeting_password and f"Password: {booking.meeting_password}",
        booking.cancellation_reason and f"Cancelled: {booking.cancellation_reason}",
    ]
    return _text("\n".join(line for line in lines if line))


def _person(email: str, name: str) -> icalendar.vCalAddress:
    address = icalendar.vCalAddress(f"mailto:{one_line(email)}")
    # A quoted parameter value has no way to hold a double quote.
    if shown := _CONTROLS.sub(" ", one_line(name)).replace('"', "'"):
        address.params["CN"] = shown
    return address


def _text(text: str) -> str:
    """`text` as the format can carry it: line ends are LF, other control characters but the tab are spaces."""
    return _CONTROLS.sub(" ", canonical(text))
