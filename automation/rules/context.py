"""The one dictionary that conditions, templates and webhooks see.

`build_context` is pure: the caller reads the booking and the clock, this module derives. Wall-clock fields are in the
organizer's zone, computed from instants, so that daylight saving cannot shift them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from automation.rules.fields import CUSTOM_PREFIX
from automation.rules.values import zone

BUSINESS_HOURS = range(9, 17)
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CANCEL_PATH = "/b/{token}/cancel/"
RESCHEDULE_PATH = "/b/{token}/reschedule/"
FEEDBACK_PATH = "/b/{token}/feedback/"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingFacts:
    """What is known of a booking, its event type and its organizer. Times are aware; ids are text."""

    booking_id: str
    status: str
    start_time: datetime
    end_time: datetime
    created_at: datetime
    invitee_name: str
    invitee_email: str
    invitee_phone: str = ""
    invitee_timezone: str = "UTC"
    attendee_count: int = 1
    custom_answers: Mapping[str, Any] = field(default_factory=dict)
    meeting_link: str = ""
    meeting_id: str = ""
    meeting_password: str = ""
    cancellation_reason: str | None = None

    event_type_id: str
    event_type_name: str
    event_type_slug: str = ""
    event_type_description: str = ""
    event_type_duration: int
    event_type_location_type: str = ""
    event_type_max_attendees: int = 1

    organizer_id: str
    organizer_email: str
    organizer_first_name: str = ""
    organizer_last_name: str = ""
    organizer_timezone: str = "UTC"
    organizer_company: str = ""

    public_base_url: str = ""
    """Scheme and host of the site, `https://weir.example`."""
    access_token: str = ""
    """The secret in the invitee's links."""


def build_context(facts: BookingFacts, now: datetime) -> dict[str, Any]:
    """Every registered field plus one `custom_{key}` per answer.

    `start_time` and `end_time` are aware datetimes in the organizer's zone; `now` is an aware datetime. A zone name
    nobody knows counts as UTC. Raises ValueError for a naive datetime, which would name no instant.
    """
    for name, moment in (
        ("start_time", facts.start_time),
        ("end_time", facts.end_time),
        ("created_at", facts.created_at),
        ("now", now),
    ):
        if moment.tzinfo is None:
            raise ValueError(f"{name} has no time zone: {moment.isoformat()}; pass an aware datetime")
    local = zone(facts.organizer_timezone)
    start = facts.start_time.astimezone(local)
    weekday = start.weekday()
    context: dict[str, Any] = {
        "booking_id": facts.booking_id,
        "booking_status": facts.status,
        "invitee_name": facts.invitee_name,
        "invitee_email": facts.invitee_email,
        "invitee_phone": facts.invitee_phone,
        "invitee_timezone": facts.invitee_timezone,
        "attendee_count": facts.attendee_count,
        "start_time": start,
        "end_time": facts.end_time.astimezone(local),
        "duration": _minutes_between(facts.start_time, facts.end_time),
        "cancellation_reason": facts.cancellation_reason,
        "meeting_link": facts.meeting_link,
        "meeting_id": facts.meeting_id,
        "meeting_password": facts.meeting_password,
        "event_type_id": facts.event_type_id,
        "event_type_name": facts.event_type_name,
        "event_type_slug": facts.event_type_slug,
        "event_type_description": facts.event_type_description,
        "event_type_duration": facts.event_type_duration,
        "event_type_location_type": facts.event_type_location_type,
        "event_type_max_attendees": facts.event_type_max_attendees,
        "organizer_id": facts.organizer_id,
        "organizer_email": facts.organizer_email,
        "organizer_name": f"{facts.organizer_first_name} {facts.organizer_last_name}".strip(),
        "organizer_first_name": facts.organizer_first_name,
        "organizer_last_name": facts.organizer_last_name,
        "organizer_timezone": facts.organizer_timezone,
        "organizer_company": facts.organizer_company,
        "booking_hour": start.hour,
        "booking_day_of_week": weekday,
        "booking_day_name": DAY_NAMES[weekday],
        "booking_date": start.date().isoformat(),
        "is_weekend": weekday >= 5,
        "is_business_hours": weekday < 5 and start.hour in BUSINESS_HOURS,
        "booking_created_today": facts.created_at.astimezone(local).date() == now.astimezone(local).date(),
        "invitee_domain": facts.invitee_email.rpartition("@")[2].strip().lower() if "@" in facts.invitee_email else "",
        "has_phone": bool((facts.invitee_phone or "").strip()),
        "has_meeting_link": bool((facts.meeting_link or "").strip()),
        "cancel_url": _link(facts, CANCEL_PATH),
        "reschedule_url": _link(facts, RESCHEDULE_PATH),
        "feedback_url": _link(facts, FEEDBACK_PATH),
    }
    context.update(custom_fields(facts.custom_answers))
    return context


def custom_fields(answers: Mapping[str, Any]) -> dict[str, Any]:
    """`custom_{key}` for every answer.

    A key that is no identifier (`Company size`) is also there under one that templates and expressions can name
    (`custom_company_size`), unless an answer of that name exists. So is a key that is written in other code points
    than such a name is read in (an ö typed as o and two dots).
    """
    fields = {f"{CUSTOM_PREFIX}{key}": value for key, value in answers.items()}
    for key, value in answers.items():
        slug = CUSTOM_PREFIX + _nameable(str(key))
        if slug != CUSTOM_PREFIX:
            fields.setdefault(slug, value)
    return fields


def _nameable(key: str) -> str:
    """The key as what may follow `custom_` in a name; the empty string where nothing of it can."""
    normal = unicodedata.normalize("NFKC", key)  # as Python reads a name
    if f"{CUSTOM_PREFIX}{normal}".isidentifier():
        return normal
    kept = "".join(character if f"_{character}".isidentifier() else " " for character in normal.lower())
    return "_".join(kept.split()).strip("_")


def _minutes_between(start: datetime, end: datetime) -> int:
    # Datetimes of one zone subtract by the clock on the wall; instants are what a meeting lasts.
    return int((end.astimezone(UTC) - start.astimezone(UTC)) / timedelta(minutes=1))


def _link(facts: BookingFacts, path: str) -> str:
    if not facts.access_token:
        return ""
    return facts.public_base_url.rstrip("/") + path.format(token=quote(facts.access_token, safe=""))
