"""Beat with a lease: of several in one namespace, one ticks and the others stand by.

The lease's `seen_at` is beat's last sign of life; workers sweep by themselves while it is old
(`automation.durable.liveness.beat_is_late`).

Namespaces share the rows of django-celery-beat. A schedule of a Python workflow is ticked in its own namespace, the
sweep in each, and everything else once for the database, by the beat that holds a second lease: that of `default`
where there is one, else that of whoever took it first.
"""

from __future__ import annotations

import heapq
import logging
import time
from typing import Any

from celery.beat import event_t
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q, QuerySet
from django_celery_beat.schedulers import DatabaseScheduler

logger = logging.getLogger(__name__)

RENEWALS = 5
"""How often a lease is renewed before it would run out."""
RETRY_SECONDS = 1.0
"""The pause after a database that did not answer, a broker that did not, and between looks at somebody's lease."""
OF_EACH_NAMESPACE = ("sweep",)
"""The tasks of rows that are ticked in each namespace."""


class LeasedScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, which ticks only while it holds the lease "beat" of its namespace."""

    # Publish through the app's pool. A producer of beat's own would wait for a broker that is away, without a tick.
    producer = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from automation.durable import liveness

        self.holder = liveness.worker_id()
        self.renew_after = settings.DURABLE_BEAT_LEASE / RENEWALS
        self.leading = False
        self.maintaining = False
        self._said: tuple[bool, bool] | None = None
        self._renewed = float("-inf")
        self._trouble = False
        self._ticking = self._torn = False
        self._unsent: Any = None
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Nothing: the schedules are rows, made by `manage.py sync_schedules`, and read at the first tick."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, if the lease is ours; returns the seconds until the next look."""
        self._ticking = True
        try:
            return self._tick(*args, **kwargs)
        finally:
            self._ticking = False

    def _tick(self, *args: Any, **kwargs: Any) -> float:
        try:
            if not self._lead():
                return RETRY_SECONDS
            delay = float(super().tick(*args, **kwargs))
        except (DatabaseError, InterfaceError) as error:
            if not self._trouble:
                logger.warning("beat: the database does not answer, trying again: %s", error)
            self._trouble = True
            connections.close_all()
            return RETRY_SECONDS
        if self._trouble:
            logger.warning("beat: the database answers again")
            self._trouble = False
        if self._unsent is not None:
            self._put_back()
            return RETRY_SECONDS
        return min(delay, self.renew_after)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send one entry; what cannot be sent stays due."""
        logger.debug("beat: sending %s (%s)", entry.name, entry.task)
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:
            logger.warning("beat: %s cannot be sent, trying again: %s", entry.name, error)
            self._unsent = entry

    def sync(self) -> None:
        """Write the times of the last runs; a beat that lost the lease has nothing to say about them."""
        if self.leading:
            super().sync()
        else:
            self._dirty.clear()

    def close(self) -> None:
        """End: write what is left and give the lease back, so that a stand-by takes over at once."""
        if self._ticking:
            # Celery's signal handler calls, in the middle of a statement whose session is locked: to wait for it here
            # would be to wait for ever. Its exit unwinds the tick, and beat closes again.
            self._torn = True
            return
        if self._torn:
            connections.close_all()  # a statement may be left halfway
            self._torn = False
        super().close()
        if self.leading:
            from automation.durable import leases

            self.leading = self.maintaining = False
            leases.give_back(leases.BEAT, self.holder)
            leases.give_back(leases.MAINTENANCE, self.holder)

    def enabled_models_qs(self) -> QuerySet[Any]:
        """The rows that this beat ticks."""
        from automation.models import WorkflowSchedule

        schedules = WorkflowSchedule.objects.exclude(periodic_task=None)
        ours = Q(pk__in=schedules.filter(namespace=settings.WORKFLOW_NAMESPACE).values("periodic_task"))
        if self.maintaining:
            ours |= ~Q(pk__in=schedules.values("periodic_task"))
        rows: QuerySet[Any] = super().enabled_models_qs()
        return rows.filter(ours | Q(task__in=OF_EACH_NAMESPACE))

    def _lead(self) -> bool:
        # The monotonic clock goes on while a process is stopped: one that wakes up asks before it ticks.
        if self.leading and time.monotonic() - self._renewed < self.renew_after:
            return True
        from automation.durable import leases

        asked = time.monotonic()
        leases.synchronize_clock()
        leading = leases.take(leases.BEAT, self.holder, settings.DURABLE_BEAT_LEASE)
        maintaining = leading and self._maintain()
        if leading:
            self._renewed = asked
        if leading and (leading, maintaining) != (self.leading, self.maintaining):
            self._forget()
        self.leading, self.maintaining = leading, maintaining
        if (leading, maintaining) != self._said:
            self._said = (leading, maintaining)
            logger.info("beat: %s", _standing(leading, maintaining))
        return leading

    def _maintain(self) -> bool:
        """Whether what is ticked once for the whole database is ours to tick."""
        from automation.durable import leases

        if settings.WORKFLOW_NAMESPACE != "default" and leases.is_held_by_default(leases.BEAT):
            leases.give_back(leases.MAINTENANCE, self.holder)
            return False
        return leases.take(leases.MAINTENANCE, self.holder, settings.DURABLE_BEAT_LEASE)

    def _forget(self) -> None:
        """Read the schedules afresh: somebody else has run them since."""
        self._dirty.clear()
        self._initial_read = True
        self._heap = None
        self.old_schedulers = None

    def _put_back(self) -> None:
        """Make the entry that was not sent due again, with the time of its last real run."""
        entry, self._unsent = self._unsent, None
        entry.model.last_run_at = entry.last_run_at
        entry.model.total_run_count = entry.total_run_count
        self._dirty.add(entry.name)
        events: list[Any] = [*(self._heap or ())]
        events = [event for event in events if event.entry.name != entry.name]
        events.append(event_t(self._when(entry, RETRY_SECONDS), 5, entry))
        heapq.heapify(events)
        self.__dict__["_heap"] = events


def _standing(leading: bool, maintaining: bool) -> str:
    if not leading:
        return "standing by, another beat leads"
    return "leading" if maintaining else "leading in its namespace; the beat of another ticks for the whole database"
