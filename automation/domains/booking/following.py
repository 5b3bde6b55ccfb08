"""Workflows that follow a booking hear of its changes at once, whichever way these come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from automation.domains.booking.models import Follower
from automation.durable import inbox, payloads
from automation.models import OPEN_STATUSES
from automation.models.booking_changes import booking_events_recorded

SIGNAL = "booking_changed"
FEEDBACK_SIGNAL = "feedback_given"


def connect() -> None:
    """Listen to events of bookings."""
    booking_events_recorded.connect(_on_events, dispatch_uid="booking.following")


def tell(events: Sequence[UUID], using: str = "default") -> int:
    """Signal every open workflow that follows a booking to which one of these events happened; returns to how many it
    went."""
    return _signal(Follower.objects.using(using).filter(booking__events__in=events), SIGNAL)


def signal_feedback(booking_id: UUID) -> int:
    """Signal every open workflow that follows the booking that feedback was given; returns to how many it went."""
    return _signal(Follower.objects.filter(booking_id=booking_id), FEEDBACK_SIGNAL)


def _signal(followers: QuerySet[Follower], name: str) -> int:
    open_ones = followers.filter(execution__status__in=OPEN_STATUSES)
    executions = list(open_ones.order_by("execution_id").values_list("execution_id", flat=True).distinct())
    return sum(inbox.signal(execution, name, payloads.encode([])) is not None for execution in executions)


def _on_events(*, ids: Sequence[UUID], using: str, **_: Any) -> None:
    # After the commit: no execution's row is locked while the booking's is.
    transaction.on_commit(lambda: tell(ids, using), using=using)
