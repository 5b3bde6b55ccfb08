"""Schedules as a client sees them."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import IntegrityError, transaction

from automation import clock
from automation.durable import attributes, memos, payloads
from automation.durable.client.calls import Asynchronous, Synchronous, both
from automation.durable.schedules import firing, rows, times
from automation.durable.schedules.specs import Schedule, ScheduleBackfill, ScheduleOverlapPolicy
from automation.errors import Conflict, NotFound
from automation.models import WorkflowSchedule

SHOWN = 10
"""Coming times that a description lists."""


class ScheduleAlreadyRunningError(Conflict):
    """There is a schedule with this id."""


@dataclass
class ScheduleActionExecutionStartWorkflow:
    """The run that a start came to."""

    workflow_id: str
    first_execution_run_id: str


@dataclass
class ScheduleActionResult:
    scheduled_at: dt.datetime
    started_at: dt.datetime
    action: ScheduleActionExecutionStartWorkflow


@dataclass
class ScheduleInfo:
    """What a schedule has done, and will do. running_actions: workflow ids that may be going on."""

    num_actions: int
    num_actions_missed_catchup_window: int
    num_actions_skipped_overlap: int
    running_actions: Sequence[str]
    recent_actions: Sequence[ScheduleActionResult]
    next_action_times: Sequence[dt.datetime]
    created_at: dt.datetime
    last_updated_at: dt.datetime


@dataclass
class ScheduleDescription:
    id: str
    schedule: Schedule
    info: ScheduleInfo
    search_attributes: Mapping[str, Any] = field(default_factory=dict)
    memo_values: Mapping[str, Any] = field(default_factory=dict)

    async def memo(self) -> Mapping[str, Any]:
        return self.memo_values


ScheduleListDescription = ScheduleDescription


@dataclass
class ScheduleUpdateInput:
    """What an updater is given."""

    description: ScheduleDescription


@dataclass
class ScheduleUpdate:
    """What an updater returns: the schedule as it is to be."""

    schedule: Schedule
    search_attributes: Any = None


Updater = Callable[[ScheduleUpdateInput], Any]


class ScheduleHandleCore:
    """A schedule, by its id."""

    def __init__(self, id: str) -> None:
        self.id = id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    @both
    def describe(
        self, *, rpc_metadata: Mapping[str, Any] = {}, rpc_timeout: dt.timedelta | None = None
    ) -> ScheduleDescription:
        """The schedule, what it has done and when it comes next. Raises NotFound."""
        return describe(self._row())

    @both
    def pause(
        self, *, note: str | None = None, rpc_metadata: Mapping[str, Any] = {}, rpc_timeout: dt.timedelta | None = None
    ) -> None:
        """Start nothing more by itself; moments that pass meanwhile are left out."""
        self._set_paused(True, note or "Paused via Python SDK")

    @both
    def unpause(
        self, *, note: str | None = None, rpc_metadata: Mapping[str, Any] = {}, rpc_timeout: dt.timedelta | None = None
    ) -> None:
        """Go on with the moments from now on."""
        self._set_paused(False, note or "Unpaused via Python SDK")

    @both
    def trigger(
        self,
        *,
        overlap: ScheduleOverlapPolicy | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Start now."""
        firing.trigger(self._row().id, overlap)

    @both
    def backfill(
        self,
        *backfill: ScheduleBackfill,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Start for moments that have passed."""
        if not backfill:
            raise ValueError("give at least one ScheduleBackfill")
        firing.backfill(self._row().id, backfill)

    @both
    def update(
        self, updater: Updater, *, rpc_metadata: Mapping[str, Any] = {}, rpc_timeout: dt.timedelta | None = None
    ) -> None:
        """Change it: `updater(ScheduleUpdateInput)` returns a ScheduleUpdate, or None to leave it; it may be async."""
        with transaction.atomic():
            row = self._row(lock=True)
            given = ScheduleUpdateInput(describe(row))
            is_async = inspect.iscoroutinefunction(updater)
            wanted = async_to_sync(updater)(given) if is_async else updater(given)
            if wanted is None:
                return
            if not isinstance(wanted, ScheduleUpdate):
                raise TypeError(f"the updater returned {wanted!r}, expected a ScheduleUpdate or None")
            times.check(wanted.schedule.spec)
            rows.write(row, wanted.schedule)
            if wanted.search_attributes is not None:
                row.search_attributes = attributes.to_row(wanted.search_attributes)
            _plan(row)

    @both
    def delete(self, *, rpc_metadata: Mapping[str, Any] = {}, rpc_timeout: dt.timedelta | None = None) -> None:
        """Delete it; what it has started goes on."""
        with transaction.atomic():
            row = self._row(lock=True)
            rows.untick(row)
            row.delete()

    def _row(self, *, lock: bool = False) -> WorkflowSchedule:
        found = WorkflowSchedule.objects.filter(namespace=settings.WORKFLOW_NAMESPACE, schedule_id=self.id)
        row = (found.select_for_update() if lock else found).first()
        if row is None:
            raise NotFound(f"there is no schedule {self.id!r}")
        return row

    def _set_paused(self, paused: bool, note: str) -> None:
        with transaction.atomic():
            row = self._row(lock=True)
            row.paused, row.note = paused, note
            _plan(row)


class ScheduleHandle(Asynchronous, ScheduleHandleCore):
    """A schedule's handle for async code."""


class SyncScheduleHandle(Synchronous, ScheduleHandleCore):
    """A schedule's handle for plain code."""


Handle = TypeVar("Handle", ScheduleHandle, SyncScheduleHandle)


class SchedulesCore(Generic[Handle]):
    """What a client offers of schedules."""

    _schedule_handle: type[Handle]

    @both
    def create_schedule(
        self,
        id: str,
        schedule: Schedule,
        *,
        trigger_immediately: bool = False,
        backfill: Sequence[ScheduleBackfill] = (),
        memo: Mapping[str, Any] | None = None,
        search_attributes: Any = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Handle:
        """Create a schedule, kept as a row and ticked by django-celery-beat.

        Raises ScheduleAlreadyRunningError where the id is taken, ValueError for a spec that cannot be read.
        """
        if not isinstance(id, str) or not id:
            raise ValueError("a schedule's id must be a text that names it, such as 'nightly-report'")
        times.check(schedule.spec)
        row = WorkflowSchedule(namespace=settings.WORKFLOW_NAMESPACE, schedule_id=id, seen_until=clock.now())
        rows.write(row, schedule)
        row.memo = payloads.encode(dict(memo), "memo") if memo else ""
        row.search_attributes = attributes.to_row(search_attributes)
        with transaction.atomic():
            try:
                with transaction.atomic():
                    row.save(force_insert=True)
            except IntegrityError as error:
                raise ScheduleAlreadyRunningError(f"there is a schedule {id!r} already") from error
            _plan(row)
            if backfill:
                firing.backfill(row.id, backfill)
            if trigger_immediately:
                firing.trigger(row.id, None)
        return self._schedule_handle(id)

    def get_schedule_handle(self, id: str) -> Handle:
        """A handle to a schedule; nothing is looked up yet."""
        return self._schedule_handle(id)

    @both
    def list_schedules(
        self,
        query: str | None = None,
        *,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> ScheduleIterator:
        """All schedules, by id; for `for` and, after `await`, `async for`."""
        if query:
            raise ValueError("list_schedules takes no query: it lists all schedules of the namespace")
        return ScheduleIterator(page_size)


class ScheduleIterator:
    """Schedules, read a page at a time."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size

    def _page(self, after: str) -> list[ScheduleDescription]:
        found = WorkflowSchedule.objects.filter(namespace=settings.WORKFLOW_NAMESPACE, schedule_id__gt=after)
        return [describe(row) for row in found.order_by("schedule_id")[: self._page_size]]

    def __iter__(self) -> Iterator[ScheduleDescription]:
        page = self._page("")
        while page:
            yield from page
            page = self._page(page[-1].id)

    async def __aiter__(self) -> AsyncIterator[ScheduleDescription]:
        page = await sync_to_async(self._page)("")
        while page:
            for one in page:
                yield one
            page = await sync_to_async(self._page)(page[-1].id)


def describe(row: WorkflowSchedule) -> ScheduleDescription:
    moment = dt.datetime.fromisoformat
    return ScheduleDescription(
        id=row.schedule_id,
        schedule=rows.read(row),
        info=ScheduleInfo(
            num_actions=row.starts,
            num_actions_missed_catchup_window=row.missed_catchup,
            num_actions_skipped_overlap=row.skipped_overlap,
            running_actions=list(row.running),
            recent_actions=[
                ScheduleActionResult(
                    moment(one["scheduled_at"]),
                    moment(one["started_at"]),
                    ScheduleActionExecutionStartWorkflow(one["workflow_id"], one["run_id"]),
                )
                for one in row.recent
            ],
            next_action_times=[] if row.paused else firing.upcoming(row, SHOWN),
            created_at=row.created_at,
            last_updated_at=row.updated_at,
        ),
        search_attributes=attributes.untyped(row.search_attributes),
        memo_values=memos.decode(row.memo),
    )


def _plan(row: WorkflowSchedule) -> None:
    """Bring beat's row and the next look in line with the schedule, and save."""
    now = clock.now()
    rows.tick(row)
    row.seen_until = max(row.seen_until, now)
    firing.plan(row, now)
    row.save()
