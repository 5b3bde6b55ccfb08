"""From a change of a booking's row to the event that it is: every way in passes here.

`Booking.save()` and `BookingQuerySet` compare what the database held, read under lock, with what it holds afterwards,
and record the difference as `BookingEvent` rows in the same transaction. Only `loaddata` and raw SQL pass it by.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.dispatch import Signal

from automation import clock
from automation.causes import current_cause
from automation.models.booking_event import PLAN_CHANGED, BookingEvent, Trigger

if TYPE_CHECKING:
    from automation.models.booking import Booking

WATCHED = ("status", "start_time", "end_time", "event_type_id", "organizer_id")
"""The fields whose changes are events."""

_WRITTEN = frozenset({*WATCHED, "event_type", "organizer"})
"""The names under which they are written."""

booking_events_recorded = Signal()
"""Sent inside the transaction that recorded events, with `ids` (list of UUID) and `using` (the database's alias)."""

_CHUNK = 500
_STATUS_TRIGGERS: Mapping[str, str] = {
    "cancelled": Trigger.BOOKING_CANCELLED,
    "completed": Trigger.BOOKING_COMPLETED,
    "no_show": Trigger.BOOKING_NO_SHOW,
}


@dataclass(frozen=True)
class BookingState:
    """What a booking's row says about the meeting."""

    status: str
    start_time: dt.datetime
    end_time: dt.datetime
    event_type_id: UUID | None = None
    organizer_id: int | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Change:
    """What became of a booking: its new sequence, and the event to record (None: nothing to react to)."""

    sequence: int
    trigger: str | None = None
    note: str = ""


def change_of(before: BookingState | None, after: BookingState, *, replaces: bool = False) -> Change:
    """The one event of a change. `replaces`: the booking was made in place of another (`rescheduled_from`).

    A booking that is confirmed again takes place anew, so its sequence grows as if its time had changed. Other times
    of a booking that is over are a correction and tell nobody, but move what is planned after the meeting. Another
    event type or organizer tells nobody either, but other workflows are for the meeting now.
    """
    if before is None:
        return Change(after.sequence, Trigger.BOOKING_RESCHEDULED if replaces else Trigger.BOOKING_CREATED)
    moved = (before.start_time, before.end_time) != (after.start_time, after.end_time)
    turned = before.status != after.status
    reinstated = turned and after.status == "confirmed"
    sequence = before.sequence + (1 if moved or reinstated else 0)
    if turned and after.status in _STATUS_TRIGGERS:
        return Change(sequence, _STATUS_TRIGGERS[after.status])
    if turned and after.status == "rescheduled":
        return Change(sequence, PLAN_CHANGED, "Replaced by another booking.")
    if moved and after.status == "confirmed":
        return Change(sequence, Trigger.BOOKING_RESCHEDULED)
    if reinstated:
        return Change(sequence, PLAN_CHANGED, "Confirmed again.")
    if moved:
        return Change(sequence, PLAN_CHANGED, f"The times of a booking that is {after.status} were corrected.")
    if (before.event_type_id, before.organizer_id) != (after.event_type_id, after.organizer_id):
        return Change(sequence, PLAN_CHANGED, "It is for another event type or organizer now.")
    return Change(sequence)


def record_events(changes: Mapping[UUID, Change], using: str) -> None:
    """Write the events of these bookings, by id, into the transaction in progress, and tell who listens."""
    cause, now = current_cause(), clock.now()
    due = now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)
    events = [
        BookingEvent(
            booking_id=booking_id,
            trigger=change.trigger,
            booking_sequence=change.sequence,
            source=cause.source,
            caused_by_id=cause.execution_id,
            depth=cause.depth,
            occurred_at=now,
            due=due,
            note=change.note,
        )
        for booking_id, change in changes.items()
        if change.trigger is not None
    ]
    if not events:
        return
    BookingEvent.objects.using(using).bulk_create(events, batch_size=_CHUNK)
    booking_events_recorded.send(sender=BookingEvent, ids=[event.id for event in events], using=using)


def locked_states(bookings: models.QuerySet[Any]) -> dict[UUID, BookingState]:
    """The rows as they are now, by id, locked until the transaction ends, in the order of their ids."""
    rows = bookings.order_by("pk").select_for_update().values_list("pk", *WATCHED, "sequence")
    return {pk: BookingState(*values) for pk, *values in rows}


def record_changes(
    before: Mapping[UUID, BookingState], pks: Collection[UUID], manager: models.Manager[Any], using: str
) -> None:
    """Compare `before` with what the rows say now; grow sequences and record events, in few statements."""
    changes: dict[UUID, Change] = {}
    grown: list[UUID] = []
    for chunk in _chunks(pks):
        rows = manager.using(using).filter(pk__in=chunk)
        for pk, replaced, *values in rows.values_list("pk", "rescheduled_from_id", *WATCHED, "sequence"):
            after = BookingState(*values)
            changes[pk] = change = change_of(before.get(pk), after, replaces=replaced is not None)
            if change.sequence != after.sequence:
                grown.append(pk)
    for chunk in _chunks(grown):
        manager.using(using).filter(pk__in=chunk).update(sequence=models.F("sequence") + 1)
    record_events(changes, using)


class BookingQuerySet(models.QuerySet["Booking"]):
    """Bulk writes that record their events; `bulk_update`, `get_or_create` and their like come through here too."""

    def update(self, **kwargs: Any) -> int:
        if kwargs.keys().isdisjoint(_WRITTEN):
            return super().update(**kwargs)
        self._for_write = True
        manager = self.model._base_manager
        with transaction.atomic(using=self.db):
            # A subquery: the lock would not go through this queryset's joins, DISTINCT or annotations.
            before = locked_states(manager.using(self.db).filter(pk__in=self.order_by().values("pk")))
            count = sum(super(BookingQuerySet, self.filter(pk__in=chunk)).update(**kwargs) for chunk in _chunks(before))
            record_changes(before, before.keys(), manager, self.db)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Booking], *args: Any, **kwargs: Any) -> list[Booking]:
        bookings = list(objs)
        self._for_write = True
        manager = self.model._base_manager
        pks = [booking.pk for booking in bookings]
        with transaction.atomic(using=self.db):
            before: dict[UUID, BookingState] = {}
            if kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts"):
                before = locked_states(manager.using(self.db).filter(pk__in=pks))
            created = super().bulk_create(bookings, *args, **kwargs)
            record_changes(before, pks, manager, self.db)
        return created


def _chunks(pks: Collection[UUID]) -> Iterable[Sequence[UUID]]:
    iterator = iter(pks)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
