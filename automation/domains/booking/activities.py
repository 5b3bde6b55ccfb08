"""What the workflows of booking do."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from automation import clock
from automation.actions import notices
from automation.actions.invites import calendar_file
from automation.domains.booking import changes, letters
from automation.domains.booking.models import Attendance, Feedback, Follower, MessageStatus, Role, SessionMessage
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.durable.exceptions import ApplicationError
from automation.models import Booking, BookingStatus

Info = dict[str, Any]
CONFIRMED = BookingStatus.CONFIRMED
WITH_CALENDAR = ("confirmation", "rescheduled")
"""Messages that bring the session into the reader's calendar."""


# -- looking -----------------------------------------------------------------------------------------------------------


@activity.defn(name="load_booking")
@monitored_activity(name="load_booking")
def load_booking(booking_id: uuid.UUID) -> Info:
    """A booking, for a workflow, which is told from now on when it changes: `status`, `start` and `end` (ISO 8601),
    `sequence`, who `joined`, whether there is `feedback`. Raises ApplicationError of type BookingNotFound, final."""
    booking = changes.find(booking_id)
    if execution := notices.execution_id():
        Follower.objects.get_or_create(booking=booking, execution_id=execution)
    return {
        "booking_id": str(booking.pk),
        "status": booking.status,
        "start": booking.start_time.isoformat(),
        "end": booking.end_time.isoformat(),
        "sequence": booking.sequence,
        "meeting_link": booking.meeting_link,
        "phone": booking.invitee_phone,
        "timezone": booking.invitee_timezone,
        "organizer_id": booking.organizer_id,
        "event_type": booking.event_type.name,
        "joined": sorted(Attendance.objects.filter(booking=booking).values_list("role", flat=True)),
        "feedback": Feedback.objects.filter(booking=booking).exists(),
    }


@activity.defn(name="find_sessions")
@monitored_activity(name="find_sessions")
def find_sessions(start: dt.datetime, end: dt.datetime, after: str = "", limit: int = 500) -> list[str]:
    """The ids of confirmed sessions that begin in [start, end), in the order of their ids, from the one `after`."""
    rows = Booking.objects.filter(status=CONFIRMED, start_time__gte=start, start_time__lt=end)
    if after:
        rows = rows.filter(pk__gt=uuid.UUID(after))
    return [str(pk) for pk in rows.order_by("pk").values_list("pk", flat=True)[:limit]]


@activity.defn(name="make_calendar")
@monitored_activity(name="make_calendar")
def make_calendar(booking_id: uuid.UUID) -> Info:
    """The session as an iCalendar file: `calendar`, its text, and `filename`. A calendar that has it already moves
    it."""
    booking = changes.find(booking_id)
    return {"calendar": calendar_file(booking).content.decode(), "filename": f"session-{booking.pk}.ics"}


# -- messages ----------------------------------------------------------------------------------------------------------


@activity.defn(name="send_session_message")
@monitored_activity(name="send_session_message")
def send_session_message(booking_id: uuid.UUID, kind: str, role: str = Role.INVITEE) -> Info:
    """Tell the invitee or the organizer about a session, in their own time zone. Each kind goes out once for each time
    that the session has had, whichever workflow wants it.

    status "sent"; "skipped" with `why`: it was sent before, or it is a reminder of a session that is not to be.
    Raises ApplicationError: BookingNotFound, NoSuchMessage and RecipientRefused are final, DeliveryFailed is not.
    """
    booking = changes.find(booking_id)
    about: Info = {"booking_id": str(booking_id), "kind": kind, "role": role}
    try:
        template = letters.template_of(kind)
    except KeyError:
        raise ApplicationError(
            f"There is no message {kind!r}: expected one of {', '.join(letters.KINDS)}, or reminder_…",
            type="NoSuchMessage",
            non_retryable=True,
        ) from None
    if template == "reminder" and (booking.status != CONFIRMED or booking.start_time <= clock.now()):
        why = "it has begun" if booking.status == CONFIRMED else f"the booking is {booking.status}"
        return {**about, "status": "skipped", "why": why}
    message, _ = SessionMessage.objects.get_or_create(
        booking=booking,
        sequence=booking.sequence,
        kind=kind,
        role=role,
        defaults={"key": activity.info().idempotency_key},
    )
    if message.status == MessageStatus.SENT:
        return {**about, "status": "skipped", "why": "it was sent before"}
    letter = letters.compose(booking, kind, role, clock.now())
    try:
        answer = notices.email(
            letter.to,
            letter.subject,
            letter.body,
            reply_to=letter.reply_to,
            calendar=calendar_file(booking) if template in WITH_CALENDAR else None,
            key=message.key,
            organizer_id=booking.organizer_id,
        )
    except ApplicationError as error:
        SessionMessage.objects.filter(pk=message.pk).update(status=MessageStatus.FAILED, error=error.message)
        raise
    if answer["status"] == "suppressed":
        SessionMessage.objects.filter(pk=message.pk).update(status=MessageStatus.FAILED, error=answer["reason"])
        return {**about, "status": "skipped", "why": answer["reason"]}
    SessionMessage.objects.filter(pk=message.pk).update(status=MessageStatus.SENT, sent_at=clock.now(), error="")
    return {**about, "status": "sent"}


# -- what becomes of a session -----------------------------------------------------------------------------------------


@activity.defn(name="record_attendance")
@monitored_activity(name="record_attendance")
def record_attendance(booking_id: uuid.UUID, role: str = Role.INVITEE) -> Info:
    """Somebody has joined; the first time counts. Raises ApplicationError: BookingNotFound and BadRole are final."""
    if role not in Role.values:
        raise ApplicationError(
            f"{role!r} is nobody: expected one of {', '.join(Role.values)}", type="BadRole", non_retryable=True
        )
    row, _ = Attendance.objects.get_or_create(
        booking=changes.find(booking_id), role=role, defaults={"joined_at": clock.now()}
    )
    return {"booking_id": str(booking_id), "role": role, "joined_at": row.joined_at.isoformat()}


@activity.defn(name="complete_booking")
@monitored_activity(name="complete_booking")
@transactional_activity
def complete_booking(booking_id: uuid.UUID) -> Info:
    """The session took place. Raises ApplicationError of type BookingNotOpen, final, for one that was cancelled."""
    booking = changes.turn(booking_id, BookingStatus.COMPLETED, only=(CONFIRMED, BookingStatus.NO_SHOW))
    return {"booking_id": str(booking_id), "status": booking.status}


@activity.defn(name="mark_no_show")
@monitored_activity(name="mark_no_show")
@transactional_activity
def mark_no_show(booking_id: uuid.UUID) -> Info:
    """The invitee did not come. Raises ApplicationError of type BookingNotOpen, final, for one that was cancelled."""
    booking = changes.turn(booking_id, BookingStatus.NO_SHOW, only=(CONFIRMED,))
    return {"booking_id": str(booking_id), "status": booking.status}


# -- another time ------------------------------------------------------------------------------------------------------


@activity.defn(name="give_up_booking")
@monitored_activity(name="give_up_booking")
@transactional_activity
def give_up_booking(booking_id: uuid.UUID) -> Info:
    """Cancel a booking in favour of another one. Raises ApplicationError of type BookingNotOpen, final, also where
    somebody else has done so: of two moves, one wins."""
    booking = changes.turn(booking_id, BookingStatus.RESCHEDULED, only=(CONFIRMED,), again=False)
    return {"booking_id": str(booking_id), "status": booking.status}


@activity.defn(name="create_replacement")
@monitored_activity(name="create_replacement")
@transactional_activity
def create_replacement(booking_id: uuid.UUID, start: dt.datetime, end: dt.datetime | None = None) -> Info:
    """The booking that takes another one's place; where there is one already, that one: `booking_id`, `start`, `end`.

    Raises ApplicationError, final: BookingNotFound, BadTime, EventTypeInactive, SlotTaken.
    """
    # The organizer's row is the lock: of two that want one slot, the second finds it taken.
    old = changes.find(booking_id, lock=True)
    type(old.organizer).objects.select_for_update().get(pk=old.organizer_id)
    new = Booking.objects.filter(rescheduled_from=old, status=CONFIRMED).first() or changes.replace(old, start, end)
    return {"booking_id": str(new.pk), "start": new.start_time.isoformat(), "end": new.end_time.isoformat()}


@activity.defn(name="reinstate_booking")
@monitored_activity(name="reinstate_booking")
@transactional_activity
def reinstate_booking(booking_id: uuid.UUID) -> Info:
    """Undo `give_up_booking`: the session takes place as it was planned."""
    booking = changes.turn(booking_id, CONFIRMED, only=(BookingStatus.RESCHEDULED,))
    return {"booking_id": str(booking_id), "status": booking.status}


ACTIVITIES: list[Callable[..., Any]] = [
    load_booking,
    find_sessions,
    make_calendar,
    send_session_message,
    record_attendance,
    complete_booking,
    mark_no_show,
    give_up_booking,
    create_replacement,
    reinstate_booking,
]
