"""Bookings: making, moving and ending them. What follows for automations follows from the row (`Booking.save`).

Every function takes who does it (`actor`: an email, or a channel) for the audit log and the way in (`source`: api,
admin, web, cal.com …) for the event; without a source, the cause in effect holds (`automation.causes`). They lock the
row, so that two changes at once are one after the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from automation.causes import caused_by, current_cause
from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import Booking, BookingAuditLog, BookingStatus, EventType

EDITABLE = (
    "invitee_name",
    "invitee_email",
    "invitee_phone",
    "invitee_timezone",
    "attendee_count",
    "custom_answers",
    "meeting_link",
    "meeting_id",
    "meeting_password",
)
"""What `update` changes; the time and the status have functions of their own."""

_AUDITED = (*EDITABLE, "start_time", "end_time", "status", "cancellation_reason", "cancelled_by")
_ENDED = {
    BookingStatus.CANCELLED: "it has been cancelled",
    BookingStatus.RESCHEDULED: "it has been replaced by another one",
    BookingStatus.COMPLETED: "it has been completed",
    BookingStatus.NO_SHOW: "it has been marked as a no-show",
    BookingStatus.CONFIRMED: "it is confirmed",
}


def create(
    event_type: EventType,
    *,
    invitee_name: str,
    invitee_email: str,
    start_time: dt.datetime,
    end_time: dt.datetime | None = None,
    actor: str = "",
    source: str = "",
    **fields: Any,
) -> Booking:
    """A confirmed booking with the event type's organizer; its end follows from the event type's duration.

    fields: others of `EDITABLE`, and `rescheduled_from`. Raises InvalidInput with the problems by field: the event type
    must be active and admit the number of attendees.
    """
    problems = _time_problems(start_time, end_time)
    _refuse_unknown(fields, (*EDITABLE, "rescheduled_from"))
    if not event_type.is_active:
        problems["event_type"] = [f"{event_type.name!r} is switched off and takes no bookings."]
    booking = Booking(
        event_type=event_type,
        organizer_id=event_type.organizer_id,
        invitee_name=invitee_name,
        invitee_email=invitee_email,
        start_time=start_time,
        end_time=end_time or _later(start_time, dt.timedelta(minutes=event_type.duration)),
        **fields,
    )
    _refuse(problems or _field_problems(booking))
    with transaction.atomic(), _because_of(source):
        booking.save()
        _audit(booking, "created", actor or current_cause().source, {}, _values(booking))
    return booking


def update(booking_id: UUID, *, actor: str = "", source: str = "", **changes: Any) -> Booking:
    """Change some of `EDITABLE`. Raises InvalidInput with the problems by field."""
    _refuse_unknown(changes, EDITABLE)

    def change(booking: Booking) -> None:
        for name, value in changes.items():
            setattr(booking, name, value)
        _refuse(_field_problems(booking))

    return _change(booking_id, "updated", change, actor, source)


def reschedule(
    booking_id: UUID,
    start_time: dt.datetime,
    end_time: dt.datetime | None = None,
    *,
    actor: str = "",
    source: str = "",
) -> Booking:
    """Move a confirmed booking; without an end it keeps its length. The same time again changes nothing.

    Raises Conflict for a booking that is over, InvalidInput for impossible times.
    """
    _refuse(_time_problems(start_time, end_time))

    def change(booking: Booking) -> None:
        _require(booking, "rescheduled", BookingStatus.CONFIRMED)
        length = booking.end_time - booking.start_time
        booking.start_time, booking.end_time = start_time, end_time or _later(start_time, length)

    return _change(booking_id, "rescheduled", change, actor, source)


def cancel(booking_id: UUID, reason: str = "", *, actor: str = "", source: str = "") -> Booking:
    """Cancel a confirmed booking. Raises Conflict for one that is over."""

    def change(booking: Booking) -> None:
        _require(booking, "cancelled", BookingStatus.CONFIRMED)
        booking.status, booking.cancellation_reason = BookingStatus.CANCELLED, reason
        booking.cancelled_by = (actor or current_cause().source)[:254]

    return _change(booking_id, "cancelled", change, actor, source)


def replaced(booking_id: UUID, *, actor: str = "", source: str = "") -> Booking:
    """Another booking has taken this one's place: what is planned for it stops, and nobody is told that it is off.

    One that is over stays as it is.
    """

    def change(booking: Booking) -> None:
        if booking.status == BookingStatus.CONFIRMED:
            booking.status = BookingStatus.RESCHEDULED

    return _change(booking_id, "replaced", change, actor, source)


def complete(booking_id: UUID, *, actor: str = "", source: str = "") -> Booking:
    """The meeting took place. A no-show can be corrected to this; raises Conflict for other ends."""

    def change(booking: Booking) -> None:
        _require(booking, "completed", BookingStatus.CONFIRMED, BookingStatus.NO_SHOW)
        booking.status = BookingStatus.COMPLETED

    return _change(booking_id, "completed", change, actor, source)


def no_show(booking_id: UUID, *, actor: str = "", source: str = "") -> Booking:
    """The invitee did not come. A completed booking can be corrected to this; raises Conflict for other ends."""

    def change(booking: Booking) -> None:
        _require(booking, "marked as a no-show", BookingStatus.CONFIRMED, BookingStatus.COMPLETED)
        booking.status = BookingStatus.NO_SHOW

    return _change(booking_id, "no_show", change, actor, source)


def _change(booking_id: UUID, action: str, change: Callable[[Booking], None], actor: str, source: str) -> Booking:
    """Apply `change` to the row under lock, and save and audit what it changed."""
    with transaction.atomic(), _because_of(source):
        booking = Booking.objects.select_for_update().filter(pk=booking_id).first()
        if booking is None:
            raise NotFound(f"There is no booking {booking_id}.")
        before = _values(booking)
        change(booking)
        after = _values(booking)
        changed = [name for name in _AUDITED if before[name] != after[name]]
        if changed:
            booking.save()
            old, new = ({name: values[name] for name in changed} for values in (before, after))
            _audit(booking, action, actor or current_cause().source, old, new)
    return booking


def record_edit(before: Booking | None, after: Booking, *, actor: str) -> None:
    """Audit what somebody has edited who saves bookings by themselves, as the admin does; None: they made it."""
    new = _values(after)
    if before is None:
        _audit(after, "created", actor, {}, new)
        return
    owners = ("event_type_id", "organizer_id")  # which no operation changes
    old = _values(before) | {name: str(getattr(before, name)) for name in owners}
    new |= {name: str(getattr(after, name)) for name in owners}
    changed = [name for name in old if old[name] != new[name]]
    if changed:
        _audit(after, "updated", actor, *({name: values[name] for name in changed} for values in (old, new)))


def _later(start: dt.datetime, length: dt.timedelta) -> dt.datetime:
    """The end of a meeting that takes `length`. Adding to a zoned time moves the clock on the wall, and a meeting that
    a change of clocks falls into would take an hour more or less."""
    return start.astimezone(dt.UTC) + length if start.tzinfo else start + length


def _because_of(source: str) -> AbstractContextManager[object]:
    return caused_by(source) if source else nullcontext()


def _values(booking: Booking) -> dict[str, Any]:
    return {name: getattr(booking, name) for name in _AUDITED}


def _audit(booking: Booking, action: str, actor: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    BookingAuditLog.objects.create(
        booking=booking, action=action, actor=actor[:254], old_values=_plain(old), new_values=_plain(new)
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    encoder = DjangoJSONEncoder()
    return {name: encoder.default(value) if isinstance(value, dt.datetime) else value for name, value in values.items()}


def _require(booking: Booking, verb: str, *allowed: str) -> None:
    if booking.status not in allowed:
        raise Conflict(f"The booking cannot be {verb}: {_ENDED[BookingStatus(booking.status)]}.")


def _time_problems(start: dt.datetime, end: dt.datetime | None) -> dict[str, list[str]]:
    problems = {
        name: [f"{value.isoformat()} names no instant: give it a time zone, such as 'Z'."]
        for name, value in (("start_time", start), ("end_time", end))
        if value is not None and value.tzinfo is None
    }
    if not problems and end is not None and end <= start:
        problems["end_time"] = ["The end must lie after the start."]
    return problems


def _field_problems(booking: Booking) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    try:
        booking.full_clean(
            exclude=["event_type", "organizer", "rescheduled_from"], validate_unique=False, validate_constraints=False
        )
    except ValidationError as error:
        problems = error.message_dict
    admitted = booking.event_type.max_attendees
    if "attendee_count" not in problems and booking.attendee_count > admitted:
        name = booking.event_type.name
        problems["attendee_count"] = [f"{name!r} admits {admitted}, not {booking.attendee_count}."]
    return problems


def _refuse_unknown(fields: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(fields) - set(known))
    _refuse(
        {name: ["Cannot be set here; its time and status are changed by operations of their own."] for name in unknown}
    )


def _refuse(problems: dict[str, list[str]]) -> None:
    if problems:
        raise InvalidInput("The booking cannot be saved as it is.", problems)
