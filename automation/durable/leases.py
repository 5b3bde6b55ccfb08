"""Leases: rows that let one process at a time do a thing, with no lock held. Times are the database's. Each namespace
has leases of its own, but for those of what is done once for the whole database."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from automation import clock
from automation.models import Lease

BEAT = "beat"
SWEEP = "sweep"
MAINTENANCE = "maintenance"
"""The whole database's: held by the beat that ticks for all namespaces."""


def take(name: str, holder: str, seconds: float, *, renew: bool = True) -> bool:
    """Take the lease, or with `renew` prolong it; False when somebody else has it.

    It is free `seconds` from now, unless it is renewed or given back. `seen_at` is the time of the last success.
    """
    name, now = _here(name), clock.unmoved()
    free = Q(expires_at__lte=now)
    if renew:
        free |= Q(holder=holder)
    expires_at = now + dt.timedelta(seconds=seconds)
    # The condition is judged again under the row's lock: of two that saw the lease free, one changes a row.
    if Lease.objects.filter(free, name=name).update(holder=holder, seen_at=now, expires_at=expires_at):
        return True
    if Lease.objects.filter(name=name).exists():
        return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, holder=holder, seen_at=now, expires_at=expires_at)
    except IntegrityError:  # somebody else was first
        return False
    return True


def give_back(name: str, holder: str, *, free_at: dt.datetime | None = None) -> None:
    """Free the lease now, or at `free_at`, if `holder` still has it."""
    Lease.objects.filter(name=_here(name), holder=holder).update(expires_at=free_at or clock.unmoved())


def last_seen(name: str) -> dt.datetime | None:
    """When the lease was last taken or renewed; None when it never was."""
    return Lease.objects.filter(name=_here(name)).values_list("seen_at", flat=True).first()


def is_held_by_default(name: str) -> bool:
    """Whether somebody in the namespace `default` has the lease now."""
    return Lease.objects.filter(name=name, expires_at__gt=clock.unmoved()).exists()


def _here(name: str) -> str:
    """The row's name in this namespace."""
    namespace = settings.WORKFLOW_NAMESPACE
    return name if namespace == "default" or name == MAINTENANCE else f"{name}@{namespace}"


def synchronize_clock() -> None:
    """Read the database's clock, so that two hosts mean the same by a time. SQLite's is this host's own."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            clock.synchronize(cursor.fetchone()[0])
