"""Every field of the context, registered once: name, type, meaning, sample, and what stands in for a missing one.

Conditions, templates, webhooks, the API's field list and the condition builder all read this registry. The invitee's
answers are a family, `custom_{key}`: their names depend on the event type, so any such name is accepted unless the
caller says which keys exist.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CUSTOM_PREFIX = "custom_"


class FieldType(StrEnum):
    TEXT = "text"
    """Free or chosen text."""
    NUMBER = "number"
    """A whole number or a fraction, never a boolean."""
    BOOLEAN = "boolean"
    """True or false."""
    DATETIME = "datetime"
    """An instant: an aware datetime, or the same in ISO 8601."""
    DATE = "date"
    """A calendar day in ISO 8601, `2026-03-29`."""
    LIST = "list"
    """Several values."""
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    TIMEZONE = "timezone"
    """An IANA name, `Europe/Berlin`."""
    ID = "id"
    """An opaque identifier as text."""
    ANY = "any"
    """An invitee's answer: whatever the form asked for."""


class FieldGroup(StrEnum):
    BOOKING = "booking"
    EVENT_TYPE = "event_type"
    ORGANIZER = "organizer"
    TIME = "time"
    DERIVED = "derived"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Field:
    """One context field. `choices` lists the only values it can have, when there are such."""

    name: str
    type: FieldType
    group: FieldGroup
    description: str
    sample: Any
    fallback: str = ""
    choices: tuple[str, ...] = ()


FIELDS: dict[str, Field] = {}


def register(field: Field) -> Field:
    """Add a field to the registry; a second field of that name is a programming error."""
    if field.name in FIELDS:
        raise ValueError(f"context field {field.name!r} is registered twice")
    FIELDS[field.name] = field
    return field


def find(name: str, custom_keys: Collection[str] | None = None) -> Field | None:
    """The field called `name`, or None.

    `custom_keys` are the keys of the event type's questions; None accepts every `custom_{key}`.
    """
    field = FIELDS.get(name)
    if field is not None or not name.startswith(CUSTOM_PREFIX) or name == CUSTOM_PREFIX:
        return field
    if custom_keys is not None and name.removeprefix(CUSTOM_PREFIX) not in custom_keys:
        return None
    return Field(name, FieldType.ANY, FieldGroup.CUSTOM, "The invitee's answer to a question of the form.", "")


def known_names(custom_keys: Collection[str] | None = None) -> set[str]:
    """All field names, for suggestions and for checking templates."""
    return set(FIELDS) | {f"{CUSTOM_PREFIX}{key}" for key in custom_keys or ()}


_GROUPS: dict[FieldGroup, list[tuple[Any, ...]]] = {
    # name, type, description, sample, fallback, choices
    FieldGroup.BOOKING: [
        ("booking_id", FieldType.ID, "Identifies the booking.", "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10", "TBD"),
        (
            "booking_status",
            FieldType.TEXT,
            "Where the booking stands.",
            "confirmed",
            "",
            ("confirmed", "cancelled", "rescheduled", "completed", "no_show"),
        ),
        ("invitee_name", FieldType.TEXT, "Who booked.", "José Álvarez", "Guest"),
        ("invitee_email", FieldType.EMAIL, "The invitee's email address.", "jose@enterprise.com", "N/A"),
        ("invitee_phone", FieldType.PHONE, "The invitee's phone number.", "+34 600 123 456", "N/A"),
        ("invitee_timezone", FieldType.TIMEZONE, "The invitee's time zone.", "Europe/Madrid", "UTC"),
        ("attendee_count", FieldType.NUMBER, "How many people come.", 3),
        (
            "start_time",
            FieldType.DATETIME,
            "When the meeting starts, in the organizer's zone.",
            "2026-03-30T09:30:00+02:00",
            "TBD",
        ),
        (
            "end_time",
            FieldType.DATETIME,
            "When the meeting ends, in the organizer's zone.",
            "2026-03-30T10:00:00+02:00",
            "TBD",
        ),
        ("duration", FieldType.NUMBER, "Minutes from start to end.", 30),
        (
            "cancellation_reason",
            FieldType.TEXT,
            "Why the booking was cancelled.",
            "Something came up",
            "No reason provided",
        ),
        ("meeting_link", FieldType.URL, "Where to join.", "https://meet.example.com/abc-defg", "TBD"),
        ("meeting_id", FieldType.ID, "The meeting's number at the video provider.", "812 345 678", "TBD"),
        ("meeting_password", FieldType.TEXT, "The meeting's password.", "s3cret", "N/A"),
    ],
    FieldGroup.EVENT_TYPE: [
        ("event_type_id", FieldType.ID, "Identifies the event type.", "0197f3c2-1111-7c44-9a51-2f0c8e6b7a10", "TBD"),
        ("event_type_name", FieldType.TEXT, "What was booked.", "Discovery Call", "Meeting"),
        ("event_type_slug", FieldType.TEXT, "The event type's name in links.", "discovery-call"),
        (
            "event_type_description",
            FieldType.TEXT,
            "The event type's description.",
            "A first conversation.",
            "No description available",
        ),
        ("event_type_duration", FieldType.NUMBER, "Minutes that this event type usually takes.", 30),
        (
            "event_type_location_type",
            FieldType.TEXT,
            "How people meet.",
            "video",
            "",
            ("video", "phone", "in_person", "custom"),
        ),
        ("event_type_max_attendees", FieldType.NUMBER, "How many people may come.", 5),
    ],
    FieldGroup.ORGANIZER: [
        ("organizer_id", FieldType.ID, "Identifies the organizer.", "0197f3c2-2222-7c44-9a51-2f0c8e6b7a10", "TBD"),
        ("organizer_email", FieldType.EMAIL, "The organizer's email address.", "ada@weir.example", "N/A"),
        ("organizer_name", FieldType.TEXT, "The organizer's full name.", "Ada Lovelace", "Host"),
        ("organizer_first_name", FieldType.TEXT, "The organizer's first name.", "Ada"),
        ("organizer_last_name", FieldType.TEXT, "The organizer's last name.", "Lovelace"),
        ("organizer_timezone", FieldType.TIMEZONE, "The organizer's time zone.", "Europe/Berlin", "UTC"),
        ("organizer_company", FieldType.TEXT, "The organizer's company.", "Analytical Engines"),
    ],
    FieldGroup.TIME: [
        ("booking_hour", FieldType.NUMBER, "Hour of the start, 0 to 23, in the organizer's zone.", 9, "TBD"),
        ("booking_day_of_week", FieldType.NUMBER, "Day of the start: 0 is Monday, 6 is Sunday.", 0),
        (
            "booking_day_name",
            FieldType.TEXT,
            "Name of the start's day, in English.",
            "Monday",
            "TBD",
            ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        ),
        ("booking_date", FieldType.DATE, "Day of the start in the organizer's zone.", "2026-03-30", "TBD"),
        ("is_weekend", FieldType.BOOLEAN, "Whether it starts on a Saturday or Sunday.", False),
        ("is_business_hours", FieldType.BOOLEAN, "Whether it starts Monday to Friday, 9:00 up to 17:00.", True),
        ("booking_created_today", FieldType.BOOLEAN, "Whether it was booked today, in the organizer's zone.", True),
    ],
    FieldGroup.DERIVED: [
        (
            "invitee_domain",
            FieldType.TEXT,
            "What follows the @ of the invitee's email, in lower case.",
            "enterprise.com",
        ),
        ("has_phone", FieldType.BOOLEAN, "Whether the invitee left a phone number.", True),
        ("has_meeting_link", FieldType.BOOLEAN, "Whether there is a link to join.", True),
        ("cancel_url", FieldType.URL, "Where the invitee cancels.", "https://weir.example/b/tok3n/cancel/", "TBD"),
        (
            "reschedule_url",
            FieldType.URL,
            "Where the invitee picks another time.",
            "https://weir.example/b/tok3n/reschedule/",
            "TBD",
        ),
        (
            "feedback_url",
            FieldType.URL,
            "Where the invitee says how it was.",
            "https://weir.example/b/tok3n/feedback/",
            "TBD",
        ),
    ],
}

for _group, _rows in _GROUPS.items():
    for _name, _type, *_rest in _rows:
        register(Field(_name, _type, _group, *_rest))

FALLBACKS: dict[str, str] = {field.name: field.fallback for field in FIELDS.values() if field.fallback}
DATETIME_FIELDS: frozenset[str] = frozenset(f.name for f in FIELDS.values() if f.type is FieldType.DATETIME)


def sample_context() -> dict[str, Any]:
    """A context of every field's sample, for previews and tests."""
    return {field.name: field.sample for field in FIELDS.values()}
