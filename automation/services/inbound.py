"""Events from other schedulers: stored as they come, then carried out on bookings, once each.

A request is believed for its signature and its age alone. What it says is stored before anything follows from it, so
that neither a crash nor a missing setting loses it; a delivery that is repeated finds its row. What follows is one
transaction under the locks of the sender's ids of the meeting, and what happened before the newest event that was
applied changes nothing: the order of arrival does not matter.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F

from automation import clock
from automation.errors import InvalidInput, NotFound, WeirError
from automation.models import Booking, BookingStatus, InboundBooking, InboundEvent, InboundSource, InboundStatus
from automation.models.validators import validate_timezone
from automation.providers.schedulers import (
    SCHEDULERS,
    BadSignature,
    Meeting,
    SchedulerEvent,
    TooOld,
    What,
    base,
)
from automation.services import bookings, inbound_sources, locks

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
"""An event that an unforeseen error met so often is left for a person."""
KEPT = dt.timedelta(days=90)
PURGE_BATCH = 1_000
_LATEST_RETRY = dt.timedelta(hours=1)


@dataclass(frozen=True)
class _Done:
    status: InboundStatus
    note: str = ""
    booking: Booking | None = field(default=None)


def receive(source_id: UUID, headers: Mapping[str, str], body: bytes) -> InboundEvent:
    """Check, store and carry out one request; `headers` have names in lower case.

    Raises NotFound for a source that there is not or that is switched off; BadSignature and TooOld, of which only a
    counter is kept; Unreadable for a signed body that makes no sense.
    """
    source = InboundSource.objects.filter(id=source_id, is_active=True).first()
    if source is None:
        raise NotFound(f"There is no source {source_id}, or it is switched off.")
    scheduler, now = SCHEDULERS[source.kind], clock.now()
    rows = InboundSource.objects.filter(id=source.id)
    try:
        scheduler.verify(inbound_sources.secrets_of(source, now), headers, body, now)
    except (BadSignature, TooOld):
        rows.update(refused=F("refused") + 1, last_refused_at=now)
        raise
    found = scheduler.read(base.load(body))
    event = InboundEvent(
        source=source,
        external_id=scheduler.event_id(headers, body),
        body_hash=hashlib.sha256(body).hexdigest(),
        type=found.type[:100],
        payload=body.decode("utf-8"),
        occurred_at=found.occurred_at,
        received_at=now,
        due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN),
    )
    InboundEvent.objects.bulk_create([event], ignore_conflicts=True)
    stored = InboundEvent.objects.get(source=source, external_id=event.external_id)
    if stored.id != event.id:
        InboundEvent.objects.filter(id=stored.id).update(deliveries=F("deliveries") + 1)
    rows.update(received=F("received") + 1, last_received_at=now)
    process(stored.id)
    stored.refresh_from_db()
    return stored


def process(event_id: UUID, *, again: bool = False) -> InboundEvent:
    """Carry out a stored event, unless that is done; `again`: also if nothing followed from it. Raises NotFound.

    What cannot be carried out is FAILED, with the reason in its note. After an unforeseen error it is due again.
    """
    finished = {InboundStatus.PROCESSED} if again else {InboundStatus.PROCESSED, InboundStatus.IGNORED}
    try:
        with transaction.atomic():
            event = (
                InboundEvent.objects.select_for_update(of=("self",))
                .select_related("source")
                .filter(pk=event_id)
                .first()
            )
            if event is None:
                raise NotFound(f"There is no event {event_id}.")
            if event.status in finished:
                return event
            done = _carry_out(event)
            event.status, event.note, event.booking = done.status, done.note, done.booking
            event.processed_at, event.due, event.attempts = clock.now(), None, event.attempts + 1
            event.save(update_fields=["status", "note", "booking", "processed_at", "due", "attempts"])
    except (OperationalError, InterfaceError, NotFound):
        raise  # a database that is away: the row is due, and the sender will repeat it
    except Exception as error:
        logger.error("the event %s could not be processed: %s", event_id, error, exc_info=error)
        return _put_off(event_id, error)
    return event


def sweep_events(now: dt.datetime) -> int:
    """Process what was stored and, for a crash or an unforeseen error, not carried out; returns how many."""
    with transaction.atomic():
        waiting = InboundEvent.objects.filter(due__lte=now, status=InboundStatus.RECEIVED).order_by("due")
        ids = [event.id for event in locks.free(waiting)[: settings.DURABLE_SWEEP_BATCH]]
        InboundEvent.objects.filter(id__in=ids).update(due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MAX))
    for id_ in ids:
        process(id_)
    return len(ids)


def purge(now: dt.datetime) -> int:
    """Delete events that came more than 90 days ago; returns how many."""
    old = InboundEvent.objects.filter(received_at__lt=now - KEPT)
    count = 0
    while ids := list(old.values_list("id", flat=True)[:PURGE_BATCH]):
        count += InboundEvent.objects.filter(id__in=ids).delete()[0]
    return count


def _put_off(event_id: UUID, error: Exception) -> InboundEvent:
    event = InboundEvent.objects.get(pk=event_id)
    event.attempts += 1
    event.note = f"{type(error).__name__}: {error}"
    wait = dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN) * 2 ** min(event.attempts, MAX_ATTEMPTS)
    given_up = event.attempts >= MAX_ATTEMPTS
    event.status = InboundStatus.FAILED if given_up else InboundStatus.RECEIVED
    event.due = None if given_up else clock.now() + min(wait, _LATEST_RETRY)
    event.save(update_fields=["status", "note", "attempts", "due"])
    return event


# -- what follows ------------------------------------------------------------------------------------------------------


def _carry_out(event: InboundEvent) -> _Done:
    scheduler = SCHEDULERS[event.source.kind]
    try:
        told = scheduler.read(base.load(event.payload.encode()))
        if told.what is What.NOTHING or told.meeting is None:
            return _Done(InboundStatus.IGNORED, told.note)
        with transaction.atomic():  # a change that is refused half-way leaves nothing behind
            return _apply(event, told, told.meeting)
    except WeirError as error:
        details = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.fields.items())
        return _Done(InboundStatus.FAILED, f"{error.message} {details}".strip())


def _apply(event: InboundEvent, told: SchedulerEvent, meeting: Meeting) -> _Done:
    links = _locked_links(event.source, meeting)
    own, former = links[meeting.external_id], links.get(meeting.former_id)
    at = told.occurred_at or event.received_at
    newest = max((link.last_event_at for link in links.values() if link.last_event_at), default=None)
    known = own.booking or (former.booking if former is not None else None)
    change = _Change(event, told, meeting)
    if newest is not None and at < newest:
        return _late(change, at, newest, own, former)
    match told.what:
        case What.CREATED | What.RESCHEDULED:
            done = change.take_place(known)
        case What.CANCELLED:
            done = change.cancel(known)
        case _:
            done = change.end(known)
    if done.status != InboundStatus.FAILED and (done.booking is not None or told.what is What.CANCELLED):
        for link in links.values():
            link.booking, link.last_event_at = done.booking, at
            link.save(update_fields=["booking", "last_event_at"])
    return done


def _late(
    change: _Change, at: dt.datetime, newest: dt.datetime, own: InboundBooking, former: InboundBooking | None
) -> _Done:
    """What came too late changes no time, but may tell that two ids are of one meeting."""
    note = f"Something newer ({newest:%F %T} UTC) had been applied."
    if former is None or change.told.what is not What.RESCHEDULED:
        return _Done(InboundStatus.IGNORED, note, own.booking)
    before = former.booking
    done = _Done(InboundStatus.IGNORED, note, own.booking)
    if before is not None and own.booking is None:  # under its present id it had been cancelled
        done = change.cancel(before)
    elif before is not None and own.booking is not None and before.pk != own.booking.pk:
        bookings.replaced(before.pk, **change.origin())
        note += " The booking of the former id gives way to that of the present one."
        done = _Done(InboundStatus.PROCESSED, note, own.booking)
    former.booking, former.last_event_at = own.booking or before, max(at, former.last_event_at or at)
    former.save(update_fields=["booking", "last_event_at"])
    return done


def _locked_links(source: InboundSource, meeting: Meeting) -> dict[str, InboundBooking]:
    """The rows of the sender's ids, made where missing, locked in the order of the ids."""
    ids = sorted({id_ for id_ in (meeting.external_id, meeting.former_id) if id_})
    InboundBooking.objects.bulk_create(
        [InboundBooking(source=source, external_id=id_) for id_ in ids], ignore_conflicts=True
    )
    rows = InboundBooking.objects.filter(source=source, external_id__in=ids).order_by("external_id")
    return {link.external_id: link for link in rows.select_for_update(of=("self",)).select_related("booking")}


@dataclass(frozen=True)
class _Change:
    """One event, on the booking that it is about, if there is one."""

    event: InboundEvent
    told: SchedulerEvent
    meeting: Meeting

    def take_place(self, booking: Booking | None) -> _Done:
        """There is a meeting at this time."""
        if booking is None:
            return _Done(InboundStatus.PROCESSED, "Made.", self._create(None))
        start, end = self._times()
        booking.refresh_from_db()
        if booking.status != BookingStatus.CONFIRMED:
            if self.told.what is What.CREATED:
                return _Done(InboundStatus.IGNORED, f"The booking is {booking.status} here.", booking)
            made = self._create(booking)
            return _Done(InboundStatus.PROCESSED, f"Made in place of one that is {booking.status} here.", made)
        if (booking.start_time, booking.end_time) == (start, end or booking.end_time):
            return _Done(InboundStatus.IGNORED, "The booking has this time already.", booking)
        moved = bookings.reschedule(booking.pk, start, end, **self.origin())
        changes = {name: value for name, value in self._place().items() if value and value != getattr(moved, name)}
        if changes:
            moved = bookings.update(moved.pk, **changes, **self.origin())
        return _Done(InboundStatus.PROCESSED, "Moved.", moved)

    def cancel(self, booking: Booking | None) -> _Done:
        if booking is None:
            return _Done(
                InboundStatus.IGNORED, "No booking here is known by this id; should it come later, it is not made."
            )
        booking.refresh_from_db()
        if booking.status != BookingStatus.CONFIRMED:
            return _Done(InboundStatus.IGNORED, f"The booking is {booking.status} here.", booking)
        actor = self.told.by or self.origin()["actor"]
        cancelled = bookings.cancel(booking.pk, self.told.reason, actor=actor, source=self.origin()["source"])
        return _Done(InboundStatus.PROCESSED, "Cancelled.", cancelled)

    def end(self, booking: Booking | None) -> _Done:
        """It took place, or the invitee did not come, or had come after all."""
        if booking is None:
            return _Done(InboundStatus.IGNORED, "No booking here is known by this id.")
        booking.refresh_from_db()
        what = self.told.what
        expected = BookingStatus.CONFIRMED if what is What.COMPLETED else None
        if what is What.ATTENDED:
            expected = BookingStatus.NO_SHOW
        allowed = (expected,) if expected else (BookingStatus.CONFIRMED, BookingStatus.COMPLETED)
        if booking.status not in allowed:
            return _Done(InboundStatus.IGNORED, f"The booking is {booking.status} here.", booking)
        act = bookings.no_show if what is What.NO_SHOW else bookings.complete
        return _Done(InboundStatus.PROCESSED, f"Marked as {what}.", act(booking.pk, **self.origin()))

    def _create(self, replaced: Booking | None) -> Booking:
        meeting, source = self.meeting, self.event.source
        event_type = inbound_sources.event_type_of(source, meeting.event_types)
        if event_type is None:
            names = ", ".join(map(repr, meeting.event_types)) or "that the event does not name"
            raise InvalidInput(
                f"No event type here is for {names}. Map it in the source's event_types, or give the source a default, "
                "and process this event again."
            )
        start, end = self._times()
        fields: dict[str, Any] = {"rescheduled_from": replaced} if replaced is not None else {}
        return bookings.create(
            event_type,
            invitee_name=meeting.name or meeting.email.partition("@")[0],
            invitee_email=meeting.email,
            invitee_phone=meeting.phone,
            invitee_timezone=_timezone(meeting.timezone),
            start_time=start,
            end_time=end,
            # Made elsewhere, the meeting takes place however many come: more than are admitted here count as those.
            attendee_count=min(meeting.attendees, event_type.max_attendees),
            custom_answers=dict(meeting.answers),
            **self._place(),
            **self.origin(),
            **fields,
        )

    def _times(self) -> tuple[dt.datetime, dt.datetime | None]:
        if self.meeting.start is None:
            raise InvalidInput("The event names no start.", {"start_time": ["Required."]})
        return self.meeting.start, self.meeting.end

    def _place(self) -> dict[str, str]:
        meeting = self.meeting
        return {
            "meeting_link": meeting.link,
            "meeting_id": meeting.meeting_id,
            "meeting_password": meeting.password,
        }

    def origin(self) -> dict[str, str]:
        """Who does it, and the way in."""
        source = SCHEDULERS[self.event.source.kind].source
        return {"actor": f"{source}:{self.event.source.name}"[:254], "source": source}


def _timezone(name: str) -> str:
    """The zone, or UTC where the sender has one that is not known here."""
    try:
        validate_timezone(name)
    except ValidationError:
        return "UTC"
    return name
