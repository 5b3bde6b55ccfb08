"""The way of a message after it went out, as providers and readers tell it, in any order and more than once.

    pending → sent → failed → delivered → bounced → opened → clicked

A message only ever moves to the right, so the order in which events come in does not matter: a late `delivered` undoes
neither `bounced` nor `opened`, and an open proves that what was said to have bounced has arrived. `failed` stands right
of `sent` here: it is the provider giving up what it had taken. A failed attempt of ours, which took nothing along, and
a message that we kept back, stand at the very left: an event about them proves that they went out after all.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Coalesce

from automation.models import NotificationLog, NotificationStatus

ORDER = (
    NotificationStatus.PENDING,
    NotificationStatus.SENT,
    NotificationStatus.FAILED,
    NotificationStatus.DELIVERED,
    NotificationStatus.BOUNCED,
    NotificationStatus.OPENED,
    NotificationStatus.CLICKED,
)
_TIMES = {
    NotificationStatus.DELIVERED: "delivered_at",
    NotificationStatus.OPENED: "opened_at",
    NotificationStatus.CLICKED: "clicked_at",
}
_GOT_THERE = (NotificationStatus.DELIVERED, NotificationStatus.OPENED, NotificationStatus.CLICKED)


def advance(notification_id: UUID, status: NotificationStatus, at: datetime, error: str = "") -> bool:
    """Moves the message on to `status`, which it reached at `at`; False where it is as far already, or gone."""
    rows = NotificationLog.objects.filter(id=notification_id)
    behind = Q(status__in=ORDER[: ORDER.index(status)]) | Q(
        status__in=(NotificationStatus.FAILED, NotificationStatus.SUPPRESSED), sent_at__isnull=True
    )
    moved = rows.filter(behind).update(
        status=status, error="" if status in _GOT_THERE else error, sent_at=Coalesce("sent_at", at), deferred_until=None
    )
    if column := _TIMES.get(status):
        rows.filter(Q(**{f"{column}__isnull": True}) | Q(**{f"{column}__gt": at})).update(**{column: at})
    return bool(moved)
