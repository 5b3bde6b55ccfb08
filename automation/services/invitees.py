"""What an invitee does with a booking by the links of its messages: whoever has the link's token may.

Everything goes through `services.bookings`, as the actor `invitee`, so that automations follow as from anywhere else.
Doing it again changes nothing, and neither does doing what cannot be done any more: the booking comes back as it is.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

from django.db import transaction

from automation import clock
from automation.domains.booking import feedback
from automation.domains.booking.changes import CARRIED_OVER
from automation.domains.booking.models import Feedback
from automation.errors import InvalidInput, NotFound
from automation.models import Booking, BookingStatus, User
from automation.rules.template_text import format_datetime
from automation.rules.values import has_unstorable, storable, zone
from automation.services import bookings, wall_clock

ACTOR = "invitee"
SOURCE = "web"
MAX_TEXT = 5000
"""Characters of a reason or a comment."""
FARTHEST = dt.timedelta(days=366)
"""How far ahead a new time may lie; from the present one, where that is later than now."""

_MAX_TOKEN = 64


class State(StrEnum):
    """What a booking is to its invitee."""

    OPEN = "open"  # to come: it can be cancelled and moved
    BEGUN = "begun"
    OVER = "over"
    CANCELLED = "cancelled"
    MISSED = "missed"  # a no-show, who may choose another time
    REPLACED = "replaced"


def state_of(booking: Booking) -> State:
    """The booking's state now."""
    match BookingStatus(booking.status):
        case BookingStatus.CANCELLED:
            return State.CANCELLED
        case BookingStatus.RESCHEDULED:
            return State.REPLACED
        case BookingStatus.NO_SHOW:
            return State.MISSED
        case BookingStatus.COMPLETED:
            return State.OVER
    now = clock.now()
    if now < booking.start_time:
        return State.OPEN
    return State.BEGUN if now < booking.end_time else State.OVER


def find(token: str, *, lock: bool = False) -> Booking:
    """The booking of a link, with its event type and organizer. Raises NotFound."""
    found = None
    if 0 < len(token) <= _MAX_TOKEN and not has_unstorable(token):
        rows = Booking.objects.select_related("event_type", "organizer").filter(access_token=token)
        found = (rows.select_for_update(of=("self",)) if lock else rows).first()
    if found is None:
        raise NotFound("There is no booking behind this link.")
    return found


def successor(booking: Booking) -> Booking | None:
    """The booking that has taken this one's place, where it is the same invitee's: its link is theirs to see."""
    newer = Booking.objects.filter(rescheduled_from=booking, invitee_email__iexact=booking.invitee_email)
    return newer.order_by("-created_at", "-pk").first()


def cancel(token: str, reason: str = "") -> Booking:
    """Cancel what is still to come. Raises NotFound; InvalidInput for a reason that is too long."""
    reason = _text(reason, "reason")
    with transaction.atomic():
        booking = find(token, lock=True)
        if state_of(booking) != State.OPEN:
            return booking
        return bookings.cancel(booking.pk, reason, actor=ACTOR, source=SOURCE)


def move(token: str, start: str, fold: int | None = None) -> Booking:
    """Move what is still to come to another time; what was missed gets a booking in its place, which is returned.

    start, fold: what `wall_clock.read` takes, in the invitee's zone. Raises NotFound; InvalidInput about `start` or
    `fold`, for a time that there is not, that has passed, is too far ahead or is taken, in words for the invitee.
    """
    with transaction.atomic():
        booking = find(token, lock=True)
        state = state_of(booking)
        if state not in (State.OPEN, State.MISSED) or (state == State.MISSED and successor(booking)):
            return booking
        local = zone(booking.invitee_timezone)
        moment = wall_clock.read(start, local, fold)
        if state == State.OPEN and moment == booking.start_time.replace(second=0, microsecond=0):
            return booking
        _refuse_unreasonable(moment, booking, local)
        # The organizer's row, after the booking's, is the lock: of two that want one time, the second finds it taken.
        User.objects.select_for_update(no_key=True).get(pk=booking.organizer_id)
        length = booking.end_time - booking.start_time
        _refuse_taken(moment, moment + length, booking)
        if state == State.OPEN:
            return bookings.reschedule(booking.pk, moment, actor=ACTOR, source=SOURCE)
        return bookings.create(
            booking.event_type,
            start_time=moment,
            end_time=moment + length,
            rescheduled_from=booking,
            actor=ACTOR,
            source=SOURCE,
            **{name: getattr(booking, name) for name in CARRIED_OVER},
        )


def rate(token: str, rating: str, comment: str = "") -> Feedback | None:
    """Note what the invitee thinks of a booking, or thinks better of; None, and nothing, where it has not begun or did
    not take place. What is final stays. Raises NotFound; InvalidInput about `rating` or `comment`."""
    comment = _text(comment, "comment")
    if rating not in ("1", "2", "3", "4", "5"):
        raise InvalidInput("Choose one of the five.", {"rating": ["Choose one of the five, from 1 to 5."]})
    with transaction.atomic():
        booking = find(token, lock=True)
        if state_of(booking) not in (State.BEGUN, State.OVER):
            return None
        return feedback.give(booking, int(rating), comment, actor=ACTOR)


def farthest(booking: Booking) -> dt.datetime:
    """The latest start that the booking may be moved to."""
    return max(clock.now(), booking.start_time) + FARTHEST


def _refuse_unreasonable(moment: dt.datetime, booking: Booking, local: dt.tzinfo) -> None:
    now = clock.now()
    if moment <= now:
        problem = f"That time has passed: it is {_say(now, local)} now. Choose a later one."
    elif moment > (latest := farthest(booking)):
        problem = f"That is too far ahead: choose a time until {_say(latest, local)}."
    else:
        return
    raise InvalidInput(problem, {"start": [problem]})


def _refuse_taken(start: dt.datetime, end: dt.datetime, booking: Booking) -> None:
    others = Booking.objects.filter(
        organizer_id=booking.organizer_id,
        status=BookingStatus.CONFIRMED,
        start_time__lt=end,
        end_time__gt=start,
    )
    if others.exclude(pk=booking.pk).exists():
        host = booking.organizer.get_full_name() or "The host"
        problem = f"{host} has another meeting then. Choose another time."
        raise InvalidInput(problem, {"start": [problem]})


def _say(moment: dt.datetime, local: dt.tzinfo) -> str:
    return str(format_datetime(moment.astimezone(local)))


def _text(text: str, field: str) -> str:
    """What somebody has typed, as a row can hold it. Raises InvalidInput for too much of it."""
    text = storable(text.replace("\r\n", "\n")).strip()  # browsers send two characters for a line's end, and count one
    if len(text) > MAX_TEXT:
        problem = f"This is {len(text):,} characters long: at most {MAX_TEXT:,} fit."
        raise InvalidInput(problem, {field: [problem]})
    return text
