"""Event types: making, changing and deleting them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count

from automation import audit
from automation.errors import Conflict
from automation.models import Booking, EventType, User, Workflow


def create(organizer: User, *, by: User | None = None, **fields: Any) -> EventType:
    """A new event type of `organizer`; its slug is made from its name where none is given."""
    event_type = EventType(organizer=organizer, **fields)
    if event_type.slug:
        with transaction.atomic():
            event_type.save()
            audit.record_row(event_type, actor=by)
        return event_type
    # The next free number is read before it is written: another request may take it in between.
    for attempt in range(5):
        try:
            with transaction.atomic():
                event_type.save()
                audit.record_row(event_type, actor=by)
            return event_type
        except IntegrityError:
            if attempt == 4:
                raise
            event_type.slug = ""
    raise AssertionError("unreachable")


def update(event_type: EventType, *, by: User | None = None, **fields: Any) -> EventType:
    """Change `fields`. Bookings that exist keep their times."""
    with transaction.atomic():
        before = audit.facts(EventType.objects.select_for_update().get(pk=event_type.pk))
        for name, value in fields.items():
            setattr(event_type, name, value)
        event_type.save(update_fields=list(fields) or None)
        audit.record_row(event_type, actor=by, before=before)
    return event_type


def delete(event_type_id: UUID, *, by: User | None = None) -> None:
    """Delete an event type that nothing depends on; raises Conflict naming what does.

    A workflow that names this event type alone would be left with none, which means all of them: it would begin to
    write to the invitees of every other event type.
    """
    with transaction.atomic():
        event_type = EventType.objects.select_for_update().get(pk=event_type_id)
        bookings = Booking.objects.filter(event_type=event_type).count()
        if bookings:
            raise Conflict(
                f"{event_type.name} has {bookings} booking(s) and cannot be deleted; switch it off with is_active."
            )
        # Locked, so that two deletes cannot each see the other's event type still there.
        named = Workflow.objects.filter(event_types=event_type).order_by("pk").select_for_update(of=("self",))
        alone = (
            Workflow.objects.filter(pk__in=[workflow.pk for workflow in named])
            .annotate(event_type_count=Count("event_types"))
            .filter(event_type_count=1)
            .order_by("name")
            .values_list("name", flat=True)
        )
        if alone:
            names = ", ".join(repr(name) for name in alone[:5])
            raise Conflict(
                f"{event_type.name} is the only event type of the workflow(s) {names}, which would then run for all "
                "event types; delete or change them first."
            )
        audit.record_row(event_type, actor=by, deleted=True)
        event_type.delete()
