"""Event types: making, changing and deleting them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.signals import pre_delete

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
    """Change `fields`, and nothing else that somebody else may have changed since `event_type` was read. Bookings that
    exist keep their times."""
    with transaction.atomic():
        row = EventType.objects.select_for_update().get(pk=event_type.pk)
        before = audit.facts(row)
        for name, value in fields.items():
            setattr(row, name, value)
        row.save(update_fields=list(fields))
        audit.record_row(row, actor=by, before=before)
    return row


def delete(event_type_id: UUID, *, by: User | None = None) -> None:
    """Delete an event type that nothing depends on; raises Conflict naming what does.

    A workflow that names this event type alone would be left with none (see `keep_narrow`).
    """
    with transaction.atomic():
        event_type = EventType.objects.select_for_update().get(pk=event_type_id)
        bookings = Booking.objects.filter(event_type=event_type).count()
        if bookings:
            raise Conflict(
                f"{event_type.name} has {bookings} booking(s) and cannot be deleted; switch it off with is_active."
            )
        audit.record_row(event_type, actor=by, deleted=True)
        event_type.delete()


def keep_narrow(instance: EventType, origin: EventType | QuerySet[EventType], **kwargs: Any) -> None:
    """Receives pre_delete, by whatever way an event type is deleted. Raises Conflict where a workflow is for this event
    type alone, or for those that go with it: left with none, which means all of them, it would begin to write to the
    invitees of every other event type. What goes with its organizer goes."""
    if isinstance(origin, EventType):
        doomed = [origin.pk]
    elif isinstance(origin, QuerySet) and origin.model is EventType:
        doomed = list(origin.values_list("pk", flat=True))
    else:
        return
    # Locked, so that two deletes cannot each see the other's event type still there.
    named = Workflow.objects.filter(event_types=instance).order_by("pk").select_for_update(of=("self",))
    ids = [workflow.pk for workflow in named]
    others = Workflow.event_types.through.objects.filter(workflow_id__in=ids).exclude(eventtype_id__in=doomed)
    alone = Workflow.objects.filter(pk__in=ids).exclude(pk__in=others.values("workflow_id"))
    if names := list(alone.order_by("name").values_list("name", flat=True)[:5]):
        raise Conflict(
            f"{instance.name} is the only event type of the workflow(s) {', '.join(map(repr, names))}, which would "
            "then run for all event types; delete or change them first."
        )


def connect() -> None:
    """Have deletes of event types looked at; called once, when the app is ready."""
    pre_delete.connect(keep_narrow, EventType, dispatch_uid="keep_workflows_narrow")
