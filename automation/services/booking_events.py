"""Publishing booking events: a hint after the commit that recorded them, and by a sweep while it is not heeded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from automation.durable import canvas
from automation.models import BookingEvent
from automation.models.booking_changes import booking_events_recorded
from automation.services import locks

BATCH = 50
"""Events in one message."""


def publish_when_committed(ids: Sequence[UUID], using: str, **kwargs: Any) -> None:
    """Receives `booking_events_recorded`."""
    transaction.on_commit(lambda: publish(ids), using=using)


def publish(ids: Iterable[UUID]) -> None:
    """Send hints that these events wait."""
    texts = [str(id_) for id_ in ids]
    for start in range(0, len(texts), BATCH):
        canvas.send(canvas.EVENTS, [texts[start : start + BATCH]])


def connect() -> None:
    """Have every recorded event published; called once, when the app is ready."""
    booking_events_recorded.connect(publish_when_committed, dispatch_uid="publish_booking_events")


def sweep_events(now: dt.datetime) -> int:
    """Publish again what is due and was not processed; returns how many. The wait doubles with an event's age."""
    with transaction.atomic():
        events = list(locks.free(_due(now).order_by("due")[: settings.DURABLE_SWEEP_BATCH]))
        for event in events:
            event.due = now + _next_wait(now - event.occurred_at)
        BookingEvent.objects.bulk_update(events, ["due"])
    publish([event.pk for event in events])
    return len(events)


def _due(now: dt.datetime) -> QuerySet[BookingEvent]:
    return BookingEvent.objects.filter(due__lte=now, processed_at__isnull=True)


def _next_wait(age: dt.timedelta) -> dt.timedelta:
    low = dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)
    high = dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MAX)
    return min(max(age, low), max(low, high))
