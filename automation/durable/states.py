"""Changes of status that are not on the hot path, each a transaction under the execution's lock.

Together with the statements this is the only code that writes a status.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q

from automation.durable import failures, texts, timers
from automation.durable.exceptions import SkippedError
from automation.durable.options import parse
from automation.durable.records import NewStep
from automation.models import (
    Alert,
    ExecutionStatus,
    ExecutionStep,
    Severity,
    StepKind,
    StepStatus,
    WorkflowExecution,
)

UNFINISHED = (StepStatus.PENDING, StepStatus.RUNNING)


def plan_dues(steps: Sequence[NewStep], now: dt.datetime) -> None:
    """Set when steps about to be written may run, and when a sweep looks at them."""
    for step in steps:
        if step.status != StepStatus.PENDING or step.child is not None:
            continue  # it runs, is over, or waits for the end of another execution
        if step.kind == StepKind.EXTERNAL:
            step.due = timers.sweep_time(None, now)  # the visit that writes it sees to it
            continue
        if step.canvas is not None and step.stage > 0:
            step.due = None  # not its turn yet
            continue
        limits = parse(step.options)
        if limits.start_delay and step.run_at is None:
            step.run_at = now + dt.timedelta(seconds=limits.start_delay)
        step.due = timers.sweep_time(step.run_at, now)
        if limits.schedule_to_start is not None:
            step.due = min(step.due, (step.run_at or now) + dt.timedelta(seconds=limits.schedule_to_start))


def lock(execution: uuid.UUID) -> WorkflowExecution | None:
    """The execution, locked until the transaction ends; None when it is gone."""
    return WorkflowExecution.objects.select_for_update().filter(id=execution).first()


class Progress:
    """What a canvas is up to: it has `ended`, or `ready` members are to be sent, or it waits (neither)."""

    def __init__(self, *, ended: bool = False, ready: Sequence[ExecutionStep] = ()) -> None:
        self.ended = ended
        self.ready = ready


def progress(execution: uuid.UUID, head: int, now: dt.datetime) -> Progress:
    """Decide by rows how a canvas goes on: skip what follows a failure, or make the next stage ready."""
    members = ExecutionStep.objects.filter(execution_id=execution, canvas=head, seq__gte=head)
    state = members.aggregate(
        under_way=Count("id", Q(status__in=UNFINISHED, due__isnull=False)),
        left=Count("id", Q(status__in=UNFINISHED)),
        all=Count("id"),
    )
    if state["under_way"]:
        return Progress()  # its stage is under way: each unfinished member of it is due by itself
    if not state["left"]:
        return Progress(ended=bool(state["all"]))
    with transaction.atomic():
        row = lock(execution)
        if row is None or row.status != ExecutionStatus.RUNNING or row.paused_at is not None:
            return Progress()
        steps = list(members.order_by("seq"))
        waiting = [step for step in steps if step.status == StepStatus.PENDING]
        if not waiting or any(step.due is not None for step in waiting if step.stage == waiting[0].stage):
            return Progress(ended=not any(step.status in UNFINISHED for step in steps))
        broken = _broken_by(steps, waiting[0].stage)
        if broken is not None:
            _skip(waiting, broken, now)
            return Progress(ended=not any(step.status == StepStatus.RUNNING for step in steps))
        for step in waiting:
            if step.stage != waiting[0].stage:
                continue
            delay = parse(step.options).start_delay
            step.run_at = now + dt.timedelta(seconds=delay) if delay else None
            step.due = timers.sweep_time(step.run_at, now)
            step.save(update_fields=["run_at", "due"])
        return Progress(ready=waiting)


def _broken_by(steps: Sequence[ExecutionStep], stage: int) -> ExecutionStep | None:
    """The step before `stage` whose failure ends the canvas."""
    for step in steps:
        unsuccessful = step.status not in (*UNFINISHED, StepStatus.COMPLETED)
        if step.stage < stage and unsuccessful and parse(step.options).stop:
            return step
    return None


def _skip(steps: Sequence[ExecutionStep], broken: ExecutionStep, now: dt.datetime) -> None:
    reason = SkippedError(f"skipped: step #{broken.seq} {broken.name!r} before it ended as {broken.status}")
    ExecutionStep.objects.filter(id__in=[step.id for step in steps], status=StepStatus.PENDING).update(
        status=StepStatus.SKIPPED, failure=failures.encode(reason), completed_at=now, due=None
    )


def watch_canvas(step: ExecutionStep, due: dt.datetime) -> None:
    """Tell a canvas's first member, if it has ended, that the time of another one has come nearer, to `due`: it is
    looked at a lease after whatever is under way, which may have been days from now."""
    if step.canvas is not None and step.canvas != step.seq:
        head = ExecutionStep.objects.filter(execution_id=step.execution_id, seq=step.canvas, due__isnull=False)
        later = due + dt.timedelta(seconds=settings.DURABLE_LEASE)
        head.exclude(status__in=UNFINISHED).update(due=later)


def park(execution: uuid.UUID, epoch: int, error: BaseException) -> bool:
    """Set an execution aside whose code does not fit its history or has a defect; its steps stay as they are."""
    with transaction.atomic():
        changed = WorkflowExecution.objects.filter(id=execution, epoch=epoch, status=ExecutionStatus.RUNNING).update(
            status=ExecutionStatus.PARKED,
            error_message=texts.shown(f"{type(error).__name__}: {error}"),
            failure=failures.encode(error),
            due=None,
            worker="",
        )
        if changed:
            open_alert(execution, "parked", f"parked: {error}")
    return bool(changed)


def dead_letter(execution: uuid.UUID, reason: str, now: dt.datetime, step: ExecutionStep | None = None) -> bool:
    """Give an execution up, visibly, after its recoveries are used up; `redrive` brings it back."""
    with transaction.atomic():
        row = lock(execution)
        if row is None or row.status not in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING):
            return False
        if step is not None:
            changed = ExecutionStep.objects.filter(id=step.id, status=StepStatus.RUNNING, attempt=step.attempt).update(
                status=StepStatus.DEAD_LETTER, due=None, failure=failures.encode(RuntimeError(reason))
            )
            if not changed:
                return False
        WorkflowExecution.objects.filter(id=execution).update(
            status=ExecutionStatus.DEAD_LETTER, error_message=reason, due=None, worker="", epoch=F("epoch") + 1
        )
        open_alert(execution, "dead_letter", reason, severity=Severity.CRITICAL)
    return True


def open_alert(execution: uuid.UUID, kind: str, message: str, severity: str = Severity.WARNING) -> None:
    """One open alert per execution and kind."""
    row = WorkflowExecution.objects.filter(id=execution).values("workflow_id").first()
    Alert.objects.get_or_create(
        kind=kind,
        key=str(execution),
        closed_at=None,
        defaults={
            "severity": severity,
            "message": texts.shown(message),
            "execution_id": execution,
            "workflow_id": row["workflow_id"] if row else None,
        },
    )


def close_alerts(execution: uuid.UUID, now: dt.datetime) -> None:
    Alert.objects.filter(key=str(execution), kind__in=("parked", "dead_letter"), closed_at=None).update(closed_at=now)
