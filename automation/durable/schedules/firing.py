"""Starting what a schedule's moments ask for, once each, as its policy says.

The row says up to when its moments are dealt with; who looks at it takes its lock, deals with those that have come
since, and moves that mark in the same transaction as the starts. So a tick of beat, a sweep and a person's trigger may
come together, twice, late or never.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import uuid
from collections.abc import Iterable, Iterator

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from automation import clock
from automation.durable import control, id_policies, run_options
from automation.durable.exceptions import WorkflowAlreadyStartedError
from automation.durable.records import Ending, ExecutionRecord
from automation.durable.schedules import rows, times
from automation.durable.schedules.specs import ScheduleBackfill, ScheduleOverlapPolicy
from automation.errors import Conflict
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution, WorkflowSchedule

logger = logging.getLogger(__name__)

BATCH = 100
"""Schedules that one sweep looks at."""
MAX_MOMENTS = 1_000
"""Moments that one look deals with; the next goes on."""
MAX_BUFFERED = 1_000
LOOK = dt.timedelta(seconds=60)
"""Between two looks whether the run before has ended, while a start waits for it."""
MAX_RECENT = 10

_GOING_ON = (*OPEN_STATUSES, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
_BAD_ENDS = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)


def sweep(now: dt.datetime) -> int:
    """Look at the schedules whose time has come; returns how many there were."""
    due = WorkflowSchedule.objects.filter(due__lte=now, namespace=settings.WORKFLOW_NAMESPACE).order_by("due")
    ids = list(due.values_list("id", flat=True)[:BATCH])
    for id_ in ids:
        try:
            run(id_, now)
        except Exception:
            # This schedule's defect is not the others'; it is looked at again later.
            logger.exception("the schedule %s cannot run", id_)
            later = now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MAX)
            WorkflowSchedule.objects.filter(id=id_).update(due=later)
    return len(ids)


def run(schedule: uuid.UUID, now: dt.datetime | None = None) -> int:
    """Deal with the moments that have come; returns how many executions were started."""
    now = now or clock.now()
    with transaction.atomic():
        row = _locked(schedule)
        if row is None:
            return 0
        before = row.starts
        _follow_operator(row, now)
        _look_at_ends(row)
        if row.paused:
            row.seen_until, row.buffered = max(row.seen_until, now), []
        else:
            for moment in _arrived(row, now):
                _request(row, moment, rows.policy_of(row).overlap, now)
            _start_buffered(row, now)
        plan(row, now)
        row.save()
    return row.starts - before


def on_end(execution: ExecutionRecord, ending: Ending) -> None:
    """A run has ended: its schedule may start the next one."""
    if '"schedule"' not in execution.options or ending.status == ExecutionStatus.CONTINUED:
        return
    try:
        run(uuid.UUID(run_options.parse(execution.options).schedule))
    except Exception:
        logger.exception("the schedule of %s could not go on; the sweep looks at it again", execution.id)


def trigger(schedule: uuid.UUID, overlap: ScheduleOverlapPolicy | None) -> None:
    """Start now, as if this were one of its moments; also while it is paused."""
    now = clock.now()
    with _of(schedule) as row:
        _request(row, now, overlap or rows.policy_of(row).overlap, now)


def backfill(schedule: uuid.UUID, fills: Iterable[ScheduleBackfill]) -> None:
    """Start for moments that have passed; also while it is paused."""
    now = clock.now()
    with _of(schedule) as row:
        for fill in fills:
            overlap = fill.overlap or rows.policy_of(row).overlap
            # The first moment may be `start_at` itself.
            first = fill.start_at - dt.timedelta(microseconds=1)
            for number, moment in enumerate(times.between(rows.spec_of(row), first, fill.end_at)):
                if number >= MAX_MOMENTS:
                    raise Conflict(f"the backfill has more than {MAX_MOMENTS} moments; give it in parts")
                _request(row, moment, overlap, now)


def plan(row: WorkflowSchedule, now: dt.datetime) -> None:
    """Set when the row is looked at next; it is not saved."""
    spec = rows.spec_of(row)
    moments = [] if row.paused or row.remaining == 0 else [_next_start(row, row.seen_until)]
    if row.buffered:
        moments.append(now + LOOK)  # the end of the run before tells of itself; this is for when it could not
    found = [moment for moment in moments if moment is not None]
    row.due = min(found) if found else None
    if row.due is not None and spec.end_at is not None and not row.buffered and row.due > spec.end_at + _jitter(row):
        row.due = None
    row.updated_at = now


def _jitter(row: WorkflowSchedule) -> dt.timedelta:
    return rows.spec_of(row).jitter or dt.timedelta(0)


def upcoming(row: WorkflowSchedule, count: int) -> list[dt.datetime]:
    """The next moments, jitter included."""
    spec, moment = rows.spec_of(row), max(row.seen_until, clock.now())
    found: list[dt.datetime] = []
    while len(found) < count and (following := times.next_after(spec, moment)) is not None:
        found.append(following + times.jitter(spec, row.schedule_id, following))
        moment = following
    return found


# -- inside ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _of(schedule: uuid.UUID) -> Iterator[WorkflowSchedule]:
    """A schedule's row under its lock, saved at the end."""
    with transaction.atomic():
        row = _locked(schedule)
        if row is None:
            raise Conflict("the schedule has been deleted")
        _look_at_ends(row)
        yield row
        _start_buffered(row, clock.now())
        plan(row, clock.now())
        row.save()


def _locked(schedule: uuid.UUID) -> WorkflowSchedule | None:
    return (
        WorkflowSchedule.objects.select_for_update(of=("self",))
        .select_related("periodic_task")
        .filter(id=schedule, namespace=settings.WORKFLOW_NAMESPACE)  # whoever asks
        .first()
    )


def _follow_operator(row: WorkflowSchedule, now: dt.datetime) -> None:
    """Beat's row is on while the schedule is not paused; where they differ, somebody switched it in the admin."""
    task = row.periodic_task
    if task is None or task.enabled != row.paused:
        return
    row.paused = not task.enabled
    row.note = "switched off in the admin" if row.paused else "switched on in the admin"
    row.seen_until = max(row.seen_until, now)


def _next_start(row: WorkflowSchedule, after: dt.datetime) -> dt.datetime | None:
    spec = rows.spec_of(row)
    moment = times.next_after(spec, after)
    return None if moment is None else moment + times.jitter(spec, row.schedule_id, moment)


def _arrived(row: WorkflowSchedule, now: dt.datetime) -> list[dt.datetime]:
    """The moments whose start has come since, moved past; without those missed by more than the catch-up window."""
    spec, window = rows.spec_of(row), rows.policy_of(row).catchup_window
    found: list[dt.datetime] = []
    for _ in range(MAX_MOMENTS):
        moment = times.next_after(spec, row.seen_until)
        if moment is None or moment + times.jitter(spec, row.schedule_id, moment) > now:
            break
        row.seen_until = moment
        if now - moment > window:
            row.missed_catchup += 1
        else:
            found.append(moment)
    return found


def _going_on(row: WorkflowSchedule) -> list[WorkflowExecution]:
    return list(
        WorkflowExecution.objects.filter(
            namespace=row.namespace, business_id__in=row.running, status__in=_GOING_ON
        ).only("id", "business_id")
    )


def _look_at_ends(row: WorkflowSchedule) -> None:
    """Forget the runs that have ended; after one that ended badly, pause where the policy says so."""
    if not row.running:
        return
    going_on = {execution.business_id for execution in _going_on(row)}
    ended = [id_ for id_ in row.running if id_ not in going_on]
    row.running = [id_ for id_ in row.running if id_ in going_on]
    if ended and rows.policy_of(row).pause_on_failure and not row.paused:
        bad = Q(namespace=row.namespace, business_id__in=ended, status__in=_BAD_ENDS)
        failed = WorkflowExecution.objects.filter(bad).order_by("-id").first()
        if failed is not None:
            row.paused, row.buffered = True, []
            row.note = f"the run {failed.business_id} {failed.status}: {failed.error_message}"[:2000]
            rows.tick(row)


def _request(row: WorkflowSchedule, moment: dt.datetime, overlap: ScheduleOverlapPolicy, now: dt.datetime) -> None:
    """One moment: start, or what the policy says where a run is going on."""
    if row.remaining == 0:
        return
    busy = _going_on(row) if row.running and overlap != ScheduleOverlapPolicy.ALLOW_ALL else []
    if not busy and not (row.buffered and overlap == ScheduleOverlapPolicy.BUFFER_ALL):
        _start(row, moment, now)
        return
    match overlap:
        case ScheduleOverlapPolicy.SKIP:
            row.skipped_overlap += 1
        case ScheduleOverlapPolicy.BUFFER_ONE if not row.buffered:
            row.buffered = [moment.isoformat()]
        case ScheduleOverlapPolicy.BUFFER_ALL if len(row.buffered) < MAX_BUFFERED:
            row.buffered = [*row.buffered, moment.isoformat()]
        case ScheduleOverlapPolicy.CANCEL_OTHER:
            _end(busy, control.cancel)
            row.buffered = [moment.isoformat()]
        case ScheduleOverlapPolicy.TERMINATE_OTHER:
            _end(busy, control.terminate)
            _start(row, moment, now)
        case _:
            row.skipped_overlap += 1


def _end(executions: Iterable[WorkflowExecution], end: object) -> None:
    assert callable(end)
    for execution in executions:
        try:
            end(execution.id, "its schedule starts the next run")
        except Conflict:
            continue  # it has ended by itself


def _start_buffered(row: WorkflowSchedule, now: dt.datetime) -> None:
    while row.buffered and not (row.running and _going_on(row)):
        moment, *row.buffered = row.buffered
        _start(row, dt.datetime.fromisoformat(moment), now)


def _start(row: WorkflowSchedule, moment: dt.datetime, now: dt.datetime) -> None:
    action = rows.action_of(row)
    id_ = f"{action.id}-{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    new = action.execution(id_, row.id)
    try:
        started = id_policies.start(new)
    except WorkflowAlreadyStartedError:
        row.skipped_overlap += 1  # somebody started the very same moment, and it is going on
        return
    row.starts += 1
    if row.remaining is not None:
        row.remaining -= 1
    row.running = [*row.running, id_]
    taken = {
        "scheduled_at": moment.isoformat(),
        "started_at": now.isoformat(),
        "workflow_id": id_,
        "run_id": str(started.id),
    }
    row.recent = [*row.recent, taken][-MAX_RECENT:]
