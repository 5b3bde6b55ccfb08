"""An invented booking to try a workflow with: never saved, with values such as people have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from copy import copy
from typing import Any

from automation.errors import InvalidInput
from automation.models import Booking, BookingStatus, EventType, LocationType, Trigger, User
from automation.rules.fields import CUSTOM_PREFIX, FIELDS, FieldType, find, known_names
from automation.rules.problems import nearest
from automation.rules.values import moment, number, zone

DURATION = 30

_STATUS = {
    Trigger.BOOKING_CANCELLED: BookingStatus.CANCELLED,
    Trigger.BOOKING_COMPLETED: BookingStatus.COMPLETED,
    Trigger.BOOKING_NO_SHOW: BookingStatus.NO_SHOW,
}
_OF_BOOKING = {
    "booking_status": "status",
    **{
        name: name
        for name in (
            *("invitee_name", "invitee_email", "invitee_phone", "invitee_timezone", "attendee_count", "start_time"),
            *("end_time", "cancellation_reason", "meeting_link", "meeting_id", "meeting_password"),
        )
    },
}
_OF_EVENT_TYPE = {name: name.removeprefix("event_type_") for name in FIELDS if name.startswith("event_type_")}


def mock_booking(
    organizer: User,
    event_type: EventType | None,
    trigger: str,
    now: dt.datetime,
    values: Mapping[str, Any] | None = None,
) -> tuple[Booking, dict[str, Any]]:
    """A booking made now, for a weekday two or more days ahead at 9:30 of the organizer's, and the context fields that
    `values` sets and that a booking does not hold by itself (the derived ones).

    values: by context field, in JSON's types; the others follow from them. Raises InvalidInput by `sample.<field>`.
    """
    given = _checked(values or {})
    event_type = copy(event_type) or EventType(
        organizer=organizer, name="Discovery Call", slug="discovery-call", duration=DURATION,
        description="A first conversation.", location_type=LocationType.VIDEO,
    )  # fmt: skip
    for name, attribute in _OF_EVENT_TYPE.items():
        if name in given and attribute != "id":
            setattr(event_type, attribute, given.pop(name))
    start = given.get("start_time") or _some_morning(now, zone(organizer.timezone))
    booking = Booking(
        organizer=organizer,
        event_type=event_type,
        invitee_name="José Álvarez",
        invitee_email="jose@enterprise.com",
        invitee_phone="+34 600 123 456",
        invitee_timezone="Europe/Madrid",
        start_time=start,
        end_time=start + dt.timedelta(minutes=int(event_type.duration)),
        status=_STATUS.get(Trigger(trigger), BookingStatus.CONFIRMED),
        cancellation_reason="Something came up" if trigger == Trigger.BOOKING_CANCELLED else "",
        meeting_link="https://meet.example.com/abc-defg",
        meeting_id="812 345 678",
        meeting_password="s3cret",  # noqa: S106
        created_at=now,
    )
    for name, attribute in _OF_BOOKING.items():
        if name in given:
            setattr(booking, attribute, given.pop(name))
    if booking.end_time <= booking.start_time:
        raise InvalidInput("The sample cannot be.", {"sample.end_time": ["The end must lie after the start."]})
    booking.custom_answers = {
        name.removeprefix(CUSTOM_PREFIX): given.pop(name) for name in list(given) if name.startswith(CUSTOM_PREFIX)
    }
    return booking, given


def _some_morning(now: dt.datetime, local: dt.tzinfo) -> dt.datetime:
    day = now.astimezone(local).date() + dt.timedelta(days=2)
    while day.weekday() >= 5:
        day += dt.timedelta(days=1)
    return dt.datetime.combine(day, dt.time(9, 30), local).astimezone(dt.UTC)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    problems: dict[str, list[str]] = {}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        field = find(name)
        if field is None:
            meant = nearest(name, known_names())
            hint = f"; did you mean {meant}?" if meant else ""
            problems[f"sample.{name}"] = [f"There is no field {name!r}{hint}"]
            continue
        checked[name] = _read(value, field.type)
        if checked[name] is None:
            problems[f"sample.{name}"] = [f"{value!r} is no {field.type.value}, such as {field.sample!r}."]
        elif field.choices and checked[name] not in field.choices:
            problems[f"sample.{name}"] = [f"{value!r} is none of {', '.join(field.choices)}."]
    if problems:
        raise InvalidInput("The sample has fields that cannot be so.", problems)
    return checked


def _read(value: Any, kind: FieldType) -> Any:
    """The value as a field of that type holds it, None where it cannot."""
    match kind:
        case FieldType.ANY:
            return "" if value is None else value
        case FieldType.NUMBER:
            found = number(value)
            return int(found) if found is not None and 0 <= found <= 1_000_000 else None
        case FieldType.BOOLEAN:
            return value if isinstance(value, bool) else None
        case FieldType.DATETIME:
            when = moment(value) if isinstance(value, str) else None
            if not isinstance(when, dt.datetime) or not 2000 <= when.year < 2200:
                return None
            return when if when.tzinfo else when.replace(tzinfo=dt.UTC)
        case _:
            return value if isinstance(value, str) else None
