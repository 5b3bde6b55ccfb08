"""Workflows that follow a booking hear of its changes at once, whichever way these come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from automation.domains.booking.models import Follower
from automation.durable import inbox, payloads
from automation.models import OPEN_STATUSES, BookingEvent
from automation.models.booking_changes import booking_events_recorded

SIGNAL = "booking_changed"


def connect() -> None:
    """Listen to events of bookings."""
    booking_events_recorded.connect(_on_events, dispatch_uid="booking.following")


def tell(bookings: Sequence[UUID], using: str = "default") -> int:
    """Signal every open workflow that follows one of these bookings; returns to how many it went."""
    open_ones = Follower.objects.using(using).filter(booking_id__in=bookings, execution__status__in=OPEN_STATUSES)
    executions = list(open_ones.order_by("execution_id").values_list("execution_id", flat=True).distinct())
    return sum(inbox.signal(execution, SIGNAL, payloads.encode([])) is not None for execution in executions)


def _on_events(*, ids: Sequence[UUID], using: str, **_: Any) -> None:
    bookings = list(BookingEvent.objects.using(using).filter(id__in=ids).values_list("booking_id", flat=True))
    # After the commit: no execution's row is locked while the booking's is.
    transaction.on_commit(lambda: tell(bookings, using), using=using)
