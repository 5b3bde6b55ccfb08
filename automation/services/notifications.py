"""Old messages: deleted in batches, and counted before they go."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate

from automation import clock
from automation.models import NotificationLog, NotificationTotal, User
from automation.models.ids import uuid7_at
from automation.services import locks

BATCH = 500
"""Messages deleted in one transaction."""
DAYS, MAX_DAYS = 30, 730
MARGIN = dt.timedelta(days=1)
"""Ids are made by their hosts' clocks, `created_at` by the database's: their times do not lie further apart."""

Key = tuple[int | None, dt.date, str, str]
"""Organizer, day, channel, status."""


@dataclass(frozen=True)
class Total:
    """The messages of one day (UTC), channel and status."""

    day: dt.date
    channel: str
    status: str
    count: int


@dataclass(frozen=True)
class Totals:
    since: dt.date
    until: dt.date
    totals: list[Total]


def totals(user: User, days: int = DAYS) -> Totals:
    """How many messages the organizer sent on each of the last days, today included; staff count everybody's. What has
    been deleted since counts too: two queries, however many messages there were."""
    today = clock.now().date()
    first = today - dt.timedelta(days=days - 1)
    own = Q() if user.is_staff else Q(organizer=user)
    start = dt.datetime.combine(first, dt.time.min, dt.UTC)
    found: Counter[tuple[dt.date, str, str]] = Counter()
    there = NotificationLog.objects.filter(own, created_at__gte=start, id__gte=uuid7_at(start - MARGIN)).order_by()
    for row in (
        there.annotate(day=TruncDate("created_at", tzinfo=dt.UTC))
        .values("day", "channel", "status")
        .annotate(number=Count("id"))
    ):
        found[row["day"], row["channel"], row["status"]] += row["number"]
    gone = NotificationTotal.objects.filter(own, day__gte=first).order_by()
    for row in gone.values("day", "channel", "status").annotate(number=Sum("count")):
        found[row["day"], row["channel"], row["status"]] += row["number"]
    return Totals(first, today, [Total(*key, count) for key, count in sorted(found.items())])


def purge(older_than: dt.timedelta | None = None) -> int:
    """Delete messages made longer ago (NOTIFICATION_KEEP_DAYS), with what was told of them; returns how many.

    A message stays as long as its execution: a retry of that must find out who got it already. Each batch and its
    counting commit together, so that no message counts twice, or not at all.
    """
    before = clock.now() - (older_than or dt.timedelta(days=settings.NOTIFICATION_KEEP_DAYS))
    total, last = 0, UUID(int=0)
    # Ids sort by time, so the old ones are one stretch of the primary key, which is walked once.
    end = uuid7_at(before + MARGIN)
    old = NotificationLog.objects.filter(id__lt=end, created_at__lt=before, execution=None).order_by("id")
    while ids := list(old.filter(id__gt=last).values_list("id", flat=True)[:BATCH]):
        last = ids[-1]
        total += _delete(ids)
    return total


def _delete(ids: Sequence[UUID]) -> int:
    with transaction.atomic():
        rows = list(locks.free(NotificationLog.objects.filter(id__in=ids, execution=None).order_by("id")))
        if not rows:
            return 0
        keys: Counter[Key] = Counter(
            (row.organizer_id, row.created_at.astimezone(dt.UTC).date(), row.channel, row.status) for row in rows
        )
        _add(keys)
        NotificationLog.objects.filter(id__in=[row.id for row in rows]).delete()
    return len(rows)


def _add(keys: Counter[Key]) -> None:
    """In one order, so that two cleanings never wait for each other in a circle."""
    for organizer, day, channel, status in sorted(keys, key=lambda key: (key[0] or 0, *key[1:])):
        row, _ = NotificationTotal.objects.get_or_create(
            organizer_id=organizer, day=day, channel=channel, status=status
        )
        NotificationTotal.objects.filter(pk=row.pk).update(count=F("count") + keys[organizer, day, channel, status])
