"""Changes of bookings by the workflows of this domain: under lock, with their event and their line in the audit log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any

from automation import clock
from automation.actions.notices import execution_id
from automation.causes import caused_by
from automation.durable import activity
from automation.durable.exceptions import ApplicationError
from automation.models import Booking, BookingAuditLog, BookingStatus


def missing(booking_id: uuid.UUID) -> ApplicationError:
    """No attempt will find it."""
    return ApplicationError(f"There is no booking {booking_id}.", type="BookingNotFound", non_retryable=True)


def find(booking_id: uuid.UUID, *, lock: bool = False) -> Booking:
    """The booking with its event type and organizer. Raises ApplicationError of type BookingNotFound, final."""
    rows = Booking.objects.select_related("event_type", "organizer")
    found = (rows.select_for_update(of=("self",)) if lock else rows).filter(pk=booking_id).first()
    if found is None:
        raise missing(booking_id)
    return found


def turn(booking_id: uuid.UUID, status: BookingStatus, *, only: Collection[str], again: bool = True) -> Booking:
    """Give a booking another status; with `again`, one that has it already is fine. Within the caller's transaction.

    Raises ApplicationError of type BookingNotOpen, final, where its status is none of `only`.
    """
    booking = find(booking_id, lock=True)
    if again and booking.status == status:
        return booking
    if booking.status not in only:
        raise ApplicationError(
            f"Booking {booking_id} is {booking.status}, and cannot become {status}: expected {' or '.join(only)}.",
            {"status": booking.status},
            type="BookingNotOpen",
            non_retryable=True,
        )
    before, booking.status = booking.status, status
    with because():
        booking.save(update_fields=["status"])
    audit(booking, str(status), {"status": before}, {"status": str(status)})
    return booking


def because() -> Any:
    """What is saved within is this workflow's doing."""
    return caused_by("workflow", execution_id=execution_id(), depth=1)


def audit(booking: Booking, action: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """A line in the booking's history."""
    BookingAuditLog.objects.create(
        booking=booking,
        action=action,
        actor=f"workflow:{activity.info().activity_type}",
        execution_id=execution_id(),
        step_seq=activity.info().seq if execution_id() else None,
        old_values=old,
        new_values=new,
    )


def replace(booking: Booking, start: dt.datetime, end: dt.datetime | None) -> Booking:
    """A booking like this one at another time, in its place. Within the caller's transaction.

    Raises ApplicationError, final: BadTime for times that cannot be, EventTypeInactive, SlotTaken where the organizer
    has another session then.
    """
    length = booking.end_time - booking.start_time
    end = end or start + length
    if end <= start or start <= clock.now():
        raise ApplicationError(
            f"A session cannot be moved to {start.isoformat()} – {end.isoformat()}: expected a start in the future, "
            "and an end after it.",
            type="BadTime",
            non_retryable=True,
        )
    if not booking.event_type.is_active:
        raise ApplicationError(
            f"{booking.event_type.name!r} is switched off and takes no bookings.",
            type="EventTypeInactive",
            non_retryable=True,
        )
    taken = (
        Booking.objects.filter(
            organizer_id=booking.organizer_id,
            status=BookingStatus.CONFIRMED,
            start_time__lt=end,
            end_time__gt=start,
        )
        .exclude(pk=booking.pk)
        .first()
    )
    if taken is not None:
        raise ApplicationError(
            f"{booking.organizer} has another session from {taken.start_time.isoformat()} to "
            f"{taken.end_time.isoformat()}.",
            type="SlotTaken",
            non_retryable=True,
        )
    new = Booking(
        event_type=booking.event_type,
        organizer=booking.organizer,
        start_time=start,
        end_time=end,
        rescheduled_from=booking,
        **{name: getattr(booking, name) for name in CARRIED_OVER},
    )
    with because():
        new.save()
    audit(new, "created", {}, {"start_time": start.isoformat(), "end_time": end.isoformat()})
    return new


CARRIED_OVER = (
    "invitee_name",
    "invitee_email",
    "invitee_phone",
    "invitee_timezone",
    "attendee_count",
    "custom_answers",
)
"""What the new booking has from the old one; the room's link is made anew."""
