"""One sweep at a time: beat's task and workers that stand in for it share a lease."""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from automation import clock
from automation.durable import leases, liveness

SWEEP_LEASE_SECONDS = 15.0
"""A sweep that takes longer, or whose process died, does not keep others from sweeping."""


def sweep_alone() -> bool:
    """Run every sweep once, unless one is running or has just run; returns whether it did."""
    from automation.durable import recovery

    holder = liveness.worker_id()
    started = clock.unmoved()
    if not leases.take(leases.SWEEP, holder, SWEEP_LEASE_SECONDS, renew=False):
        return False
    try:
        recovery.sweep()
    finally:
        # Half an interval: ticks are never quite regular, and two beats or ten workers sweep no more than one.
        pause = dt.timedelta(seconds=settings.DURABLE_SWEEP_INTERVAL / 2)
        leases.give_back(leases.SWEEP, holder, free_at=max(clock.unmoved(), started + pause))
    return True
