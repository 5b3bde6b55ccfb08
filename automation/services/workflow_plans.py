"""Bringing what is planned in line with an edited workflow: for the bookings there are, a batch at a time.

`Workflow.plan_due` says that it is to be done; it is set with every edit, in its transaction, and cleared when the last
batch has been planned. A message only makes it happen at once. Runs over one workflow replace each other: each holds
the `plan_due` that it has set as its token, and stops when it finds another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.signals import m2m_changed

from automation import clock
from automation.durable import canvas, control
from automation.models import Booking, BookingStatus, ExecutionStatus, Trigger, Workflow, WorkflowExecution
from automation.services import definitions, locks, planning, versions
from automation.services.definitions import Definition, StaleVersions
from automation.services.meeting_plan import MEETING_TRIGGERS, SWITCHED_OFF, TRIGGER_CHANGED

TASK = "plan_workflow"

BATCH = 200
"""Bookings in one transaction."""

BATCHES_PER_MESSAGE = 10


def mark(workflow_ids: Sequence[UUID]) -> None:
    """Have these workflows' plans brought in line after the caller's transaction commits."""
    Workflow.objects.filter(pk__in=workflow_ids).update(plan_due=clock.now())
    publish_when_committed(workflow_ids)


def publish_when_committed(workflow_ids: Sequence[UUID]) -> None:
    """Send the hints for workflows whose `plan_due` the caller's transaction has set."""

    def publish() -> None:
        for workflow_id in workflow_ids:
            canvas.send(TASK, [str(workflow_id)])

    transaction.on_commit(publish)


def stop_planned(workflow: Workflow, reason: str = SWITCHED_OFF) -> int:
    """Cancel what is planned and has not begun; returns how many executions. For a workflow that is switched off, in
    the transaction that does so."""
    return control.cancel_planned(_waiting(workflow.pk), reason)


def mark_event_types(
    action: str, instance: models.Model, reverse: bool, pk_set: set[UUID] | None, **kwargs: Any
) -> None:
    """Receives m2m_changed of `Workflow.event_types`: which bookings a workflow is for decides its plan."""
    if action in ("post_add", "post_remove", "post_clear"):
        ids = pk_set or () if reverse else (instance.pk,)
        Workflow.objects.filter(pk__in=ids).update(plan_due=clock.now())


def connect() -> None:
    """Have changes of event types marked; called once, when the app is ready."""
    m2m_changed.connect(mark_event_types, Workflow.event_types.through, dispatch_uid="plan_event_types")


def plan_workflow(workflow_id: UUID, after: UUID | None = None, token: dt.datetime | None = None) -> str:
    """Go on with bringing one workflow's plan in line, after the booking of that id; returns what was done in a word.

    token: the `plan_due` of the run that this call continues; None begins a run.
    """
    due = Workflow.objects.filter(pk=workflow_id).values_list("plan_due", flat=True).first()
    if due is None:
        return "in line"
    if token is None:
        token = _take(workflow_id, due)
        if token is None:
            return "replaced"
        _adopt(workflow_id)
    for _ in range(BATCHES_PER_MESSAGE):
        renewed = _take(workflow_id, token)
        if renewed is None:
            return "replaced"
        token = renewed
        after = _plan_batch(workflow_id, after)
        if after is None:
            done = Workflow.objects.filter(pk=workflow_id, plan_due=token).update(plan_due=None)
            return "planned" if done else "replaced"
    canvas.send(TASK, [str(workflow_id), str(after), token.isoformat()])
    return "handed over"


def sweep_plans(now: dt.datetime) -> int:
    """Publish again the workflows whose plan is to be brought in line, or stopped half-way; returns how many."""
    with transaction.atomic():
        rows = locks.free(Workflow.objects.filter(plan_due__lte=now).order_by("plan_due"))
        ids = [workflow.pk for workflow in rows[: settings.DURABLE_SWEEP_BATCH]]
        Workflow.objects.filter(pk__in=ids).update(plan_due=now + _patience())
    for workflow_id in ids:
        canvas.send(TASK, [str(workflow_id)])
    return len(ids)


def _patience() -> dt.timedelta:
    return dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)


def _take(workflow_id: UUID, due: dt.datetime) -> dt.datetime | None:
    """Replace `plan_due` by a token of ours; None when an edit, or another run, has changed it meanwhile."""
    token = clock.now() + _patience()
    taken = Workflow.objects.filter(pk=workflow_id, plan_due=due).update(plan_due=token)
    return token if taken else None


def _waiting(workflow_id: UUID) -> QuerySet[WorkflowExecution]:
    """What a trigger has planned and what has not begun. Tests and runs by hand have no booking sequence."""
    return WorkflowExecution.objects.filter(
        workflow_id=workflow_id,
        status=ExecutionStatus.PENDING,
        started_at__isnull=True,
        booking_sequence__isnull=False,
    )


def _definition(workflow_id: UUID) -> Definition | None:
    """The workflow, under a shared lock, or None when it is off. Its version is current after at most one publish."""
    found = definitions.load(Workflow.objects.filter(pk=workflow_id))
    return found[0] if found else None


def _adopt(workflow_id: UUID) -> None:
    """What waits stops, where its workflow is off or has another trigger; else it runs the current version, and what a
    booking's event has delayed waits as long as the workflow now says."""
    try:
        with transaction.atomic():
            definition = _definition(workflow_id)
            waiting = _waiting(workflow_id)
            if definition is None:
                control.cancel_planned(waiting, SWITCHED_OFF)
                return
            workflow = definition.workflow
            control.cancel_planned(waiting.exclude(trigger=workflow.trigger), TRIGGER_CHANGED)
            if definition.problem:
                return
            outdated = waiting.exclude(version_id=definition.version.pk)
            if workflow.trigger not in MEETING_TRIGGERS:
                control.move_planned(_delayed_anew(outdated, workflow.delay_minutes))
            control.rebase_planned(outdated, definition.version.pk, (definition.input,))
    except StaleVersions as stale:
        versions.publish_all(stale.workflow_ids)
        _adopt(workflow_id)


def _delayed_anew(executions: QuerySet[WorkflowExecution], delay_minutes: int) -> list[tuple[UUID, dt.datetime, int]]:
    """The moves of executions whose version had another delay, and whose time nobody has set by hand."""
    moves = []
    free = Q(fixed_sequence=None) | ~Q(fixed_sequence=F("booking_sequence"))
    rows = (
        executions.filter(free)
        .filter(scheduled_for__isnull=False, version__isnull=False)
        .values_list("id", "scheduled_for", "booking_sequence", "version__snapshot__delay_minutes")
    )
    for id_, at, sequence, before in rows:
        if at is not None and sequence is not None and before != delay_minutes:
            moves.append((id_, at + dt.timedelta(minutes=delay_minutes - int(before)), sequence))
    return moves


def _plan_batch(workflow_id: UUID, after: UUID | None) -> UUID | None:
    """Plan for the next bookings by id; returns the last one's id, or None when there was no further one."""
    workflow = Workflow.objects.filter(pk=workflow_id).first()
    if workflow is None or not workflow.is_active or workflow.trigger not in MEETING_TRIGGERS:
        return None
    try:
        with transaction.atomic():
            rows = _bookings(workflow, clock.now()).order_by("pk").select_for_update(of=("self",))
            bookings = list((rows.filter(pk__gt=after) if after else rows)[:BATCH])
            definition = _definition(workflow_id)  # after the bookings: the order of locks is theirs first
            found = [] if definition is None else [definition]
            planning.plan_meetings(bookings, found, clock.now(), only=[workflow_id])
    except StaleVersions as stale:
        versions.publish_all(stale.workflow_ids)
        return _plan_batch(workflow_id, after)
    return bookings[-1].pk if len(bookings) == BATCH else None


def _bookings(workflow: Workflow, now: dt.datetime) -> QuerySet[Booking]:
    """The bookings that the workflow plans for, and those it has planned for: they may be of another event type now.

    Before a meeting, those that have not begun; after it, those whose time has not come.
    """
    if workflow.trigger == Trigger.BEFORE_MEETING:
        ahead = Q(start_time__gt=now)
    else:
        ahead = Q(end_time__gt=now - dt.timedelta(minutes=workflow.delay_minutes))
    statuses = [BookingStatus.CONFIRMED]
    if workflow.trigger == Trigger.AFTER_MEETING:
        statuses.append(BookingStatus.COMPLETED)
    wanted = ahead & Q(status__in=statuses, organizer_id=workflow.organizer_id)
    event_types = versions.event_types_of([workflow.pk]).get(workflow.pk)
    if event_types:
        wanted &= Q(event_type_id__in=event_types)
    return Booking.objects.filter(wanted | Q(pk__in=_waiting(workflow.pk).values("booking_id")))
