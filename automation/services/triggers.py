"""From a booking's events to executions: each event starts what it triggers, and brings what is planned in line.

A batch of events is one transaction: its executions and its `processed_at` commit together, so an event that is
published twice, or processed by two workers at once, takes effect once. An event that cannot be processed keeps the
others from nothing: it is tried again later, by itself, with its error in its note.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Sequence
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F

from automation import clock
from automation.causes import MAX_DEPTH
from automation.durable import starts
from automation.durable.starts import NewExecution
from automation.errors import WeirError
from automation.models import PLAN_CHANGED, Alert, Booking, BookingEvent, Severity
from automation.rules.plan import planned_time
from automation.services import definitions, locks, overtaking, planning, versions
from automation.services.definitions import Definition, StaleVersions
from automation.services.meeting_plan import MEETING_TRIGGERS

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
"""An event that failed this often is left for a person, with an alert."""

_RETRY_MAX = dt.timedelta(hours=1)
_EDITS_MEANWHILE = 5


def process(event_ids: Collection[UUID]) -> int:
    """Process these events; returns how many were. Those that are processed already, or in other hands, are left.

    Raises only what the database itself raises when it cannot be asked; the events are then due for the sweep.
    """
    ids = list(event_ids)
    try:
        return _process(ids)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(ids) == 1:
            _record_failure(ids[0], error)
            return 0
        logger.warning("a batch of %d events failed (%s); processing them one by one", len(ids), error)
        return sum(process([event_id]) for event_id in ids)


def _process(ids: Sequence[UUID]) -> int:
    for _ in range(_EDITS_MEANWHILE):
        try:
            with transaction.atomic():
                return _process_locked(ids)
        except StaleVersions as stale:
            # Published in a transaction of its own: the one above holds shared locks on these workflows.
            versions.publish_all(stale.workflow_ids)
    raise RuntimeError(f"the workflows of these events were edited {_EDITS_MEANWHILE} times while being read")


def _process_locked(ids: Sequence[UUID]) -> int:
    rows = BookingEvent.objects.filter(pk__in=ids, processed_at__isnull=True).select_related("caused_by")
    events = list(locks.free(rows.order_by("occurred_at", "pk")))
    if not events:
        return 0
    # Under lock, in the order of ids: two events of one booking are planned one after the other, and the second
    # sees what the first has planned, and the booking as it is then.
    booking_ids = {event.booking_id for event in events}
    bookings = {b.pk: b for b in Booking.objects.filter(pk__in=booking_ids).order_by("pk").select_for_update()}
    active = definitions.of_organizers({booking.organizer_id for booking in bookings.values()})
    now = clock.now()
    new = [execution for event in events for execution in _triggered(event, bookings[event.booking_id], active)]
    new, overtaken = overtaking.split(new, bookings)
    started = starts.start_many(new) if new else []
    if overtaken:
        starts.record_all_cancelled(overtaken)
    depths = {event.booking_id: event.depth for event in events}
    planned = planning.plan_meetings(list(bookings.values()), active, now, depths=depths)
    logger.debug("%d events: %d executions started, %s", len(events), len(started), planned)
    for event in events:
        event.processed_at, event.due = now, None
    BookingEvent.objects.bulk_update(events, ["processed_at", "due", "note"])
    return len(events)


def _triggered(event: BookingEvent, booking: Booking, active: Sequence[Definition]) -> list[NewExecution]:
    """What this event starts; why it does not start something else is written into its note."""
    if event.trigger == PLAN_CHANGED:
        return []
    notes: list[str] = []
    cause = event.caused_by.workflow_id if event.caused_by is not None else None
    new: list[NewExecution] = []
    matching = [d for d in active if d.workflow.trigger == event.trigger and d.matches(booking)]
    for definition in matching:
        name = definition.workflow.name
        if definition.workflow.pk == cause:
            notes.append(f"{name!r} made this change itself, and is not triggered by it.")
        elif event.depth >= MAX_DEPTH:
            notes.append(f"{name!r} was not started: {event.depth} workflows have led to this event, and no more may.")
        elif definition.problem:
            notes.append(f"{name!r} cannot run: {definition.problem}")
        else:
            try:
                new.append(_execution(definition, event, booking))
            except WeirError as error:
                notes.append(f"{name!r} cannot run: {error.message}")
    planning_ahead = any(d.workflow.trigger in MEETING_TRIGGERS and d.matches(booking) for d in active)
    if not matching and not planning_ahead:
        notes.append("No active workflow has this trigger for this event type.")
    event.note = " ".join(notes)
    return new


def _execution(definition: Definition, event: BookingEvent, booking: Booking) -> NewExecution:
    workflow = definition.workflow
    at = planned_time(event.trigger, workflow.delay_minutes, booking.start_time, booking.end_time, event.occurred_at)
    return planning.new_execution(definition, booking, event.trigger, event.booking_sequence, at, event.depth)


def _record_failure(event_id: UUID, error: Exception) -> None:
    """Put the event off, for longer each time; after too many times it waits for a person."""
    logger.error("event %s could not be processed: %s", event_id, error, exc_info=error)
    with transaction.atomic():
        event = BookingEvent.objects.filter(pk=event_id, processed_at__isnull=True).select_for_update().first()
        if event is None:
            return
        wait = dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN) * 2 ** min(event.attempts, MAX_ATTEMPTS)
        given_up = event.attempts + 1 >= MAX_ATTEMPTS
        note = f"{type(error).__name__}: {error}"
        BookingEvent.objects.filter(pk=event_id).update(
            attempts=F("attempts") + 1, note=note, due=None if given_up else clock.now() + min(wait, _RETRY_MAX)
        )
        if given_up:
            Alert.objects.get_or_create(
                kind="booking_event",
                key=str(event_id),
                closed_at=None,
                defaults={
                    "severity": Severity.CRITICAL,
                    "message": f"A {event.trigger} event could not be processed {MAX_ATTEMPTS} times: {note}",
                },
            )
