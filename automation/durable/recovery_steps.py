"""The sweep of steps: timers near their time, retries, lost messages, attempts that took too long or lost their worker,
and outcomes that no advance has seen."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import F, Min, Q

from automation.durable import canvas, failures, liveness, options, payloads, runner, states, timers
from automation.durable.exceptions import ApplicationError, RetryState, TimeoutError, TimeoutType
from automation.durable.runner import Attempt
from automation.models import (
    ENDED_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
)

logger = logging.getLogger(__name__)

LOST = "WorkerLost"
"""The error type of an attempt whose worker died."""


class _Batch:
    """What one batch found, to be published once its transaction has committed."""

    def __init__(self) -> None:
        self.due_timers: list[ExecutionStep] = []
        self.steps: list[ExecutionStep] = []
        self.wakes: list[ExecutionStep] = []
        self.joins: list[ExecutionStep] = []
        self.dead: list[ExecutionStep] = []

    def publish(self, now: dt.datetime) -> None:
        by_queue: dict[str, list[ExecutionStep]] = {}
        for step in self.due_timers:
            by_queue.setdefault(step.execution.queue, []).append(step)
        for queue, members in by_queue.items():
            for wait, bucket in timers.buckets(members, lambda step: step.run_at, now):
                canvas.fire([(step.execution_id, step.seq) for step in bucket], queue, countdown=wait)
        by_execution: dict[uuid.UUID, list[ExecutionStep]] = {}
        for step in self.steps:
            by_execution.setdefault(step.execution_id, []).append(step)
        for execution, steps in by_execution.items():
            canvas.parallel(execution, steps, now)
        woken: dict[str, list[tuple[uuid.UUID, int | None]]] = {}
        for execution, queue in {step.execution_id: step.execution.queue for step in self.wakes}.items():
            woken.setdefault(queue, []).append((execution, None))
        for queue, pairs in woken.items():
            canvas.visit(pairs, queue)
        for execution, head, queue in {
            (step.execution_id, step.canvas or step.seq, step.execution.queue) for step in self.joins
        }:
            canvas.join(execution, head, queue)
        for step in self.dead:
            states.dead_letter(
                step.execution_id,
                f"given up: step #{step.seq} {step.name!r} lost its worker {step.recoveries + 1} times in a row; "
                "see the workers' logs, then re-drive",
                now,
                step,
            )


def sweep(now: dt.datetime) -> int:
    """Put the steps that are due back on their way; returns how many."""
    total = 0
    for _ in range(timers.MAX_BATCHES):
        count = _sweep_batch(now)
        total += count
        if count < settings.DURABLE_SWEEP_BATCH:
            break
    return total


def _sweep_batch(now: dt.datetime) -> int:
    ahead = now + dt.timedelta(seconds=settings.DURABLE_LOOKAHEAD)
    batch = _Batch()
    with transaction.atomic():
        steps = list(
            ExecutionStep.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("execution")
            .filter(
                Q(due__lte=now) | Q(due=F("run_at"), status=StepStatus.PENDING),
                due__lte=ahead,  # by itself: no plan is to walk the whole index of what is due some day
                execution__namespace=settings.WORKFLOW_NAMESPACE,
            )
            .order_by("due")
            .defer("input", "output", "failure", "execution__input", "execution__result", "execution__failure")[
                : settings.DURABLE_SWEEP_BATCH
            ]
        )
        awake = _put_aside(steps, now)
        running = [step for step in awake if step.status == StepStatus.RUNNING]
        pending = [step for step in awake if step.status == StepStatus.PENDING]
        _check_running(running, now, batch)
        _resend(pending, now, batch)
        _wake([step for step in awake if step not in running and step not in pending], now, batch)
    batch.publish(now)
    return len(steps)


def _put_aside(steps: Sequence[ExecutionStep], now: dt.datetime) -> list[ExecutionStep]:
    """Leave out steps of executions that have ended, or that wait for a person."""
    awake = [
        step for step in steps if step.execution.status == ExecutionStatus.RUNNING and step.execution.paused_at is None
    ]
    ended = [step for step in steps if step.execution.status in ENDED_STATUSES]
    waiting = {ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER}
    gone = [step for step in ended if step.execution.status not in waiting]
    _update(gone, due=None)
    later = [step for step in steps if step not in awake and step not in gone]
    _update(later, due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MAX))
    return awake


def _check_running(steps: Sequence[ExecutionStep], now: dt.datetime, batch: _Batch) -> None:
    # (A step without a worker is completed from outside: only its time limits hold.)
    workers = {step.worker: step.started_at or now for step in steps if step.worker}
    gone = liveness.dead(workers, now) if workers else set()
    for step in steps:
        try:
            with transaction.atomic():
                _check_one(step, step.worker in gone, now, batch)
        except Exception:
            # This row's defect is not the others'; it is looked at again later.
            logger.exception("the sweep cannot handle step #%s of %s", step.seq, step.execution_id)
            _update([step], due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MAX))


def _check_one(step: ExecutionStep, lost: bool, now: dt.datetime, batch: _Batch) -> None:
    limits = options.parse(step.options)
    started = step.started_at or step.created_at
    deadline = limits.deadline(step.created_at, started, step.heartbeat_at)
    if lost and step.recoveries >= settings.DURABLE_MAX_RECOVERIES:
        batch.dead.append(step)
    elif lost:
        error = ApplicationError(f"the worker {step.worker} died during attempt {step.attempt}", type=LOST)
        pause = dt.timedelta(seconds=2**step.recoveries - 1)
        _end_attempt(step, error, now, batch, recoveries=step.recoveries + 1, retry_at=now + pause)
    elif now >= deadline:
        _end_attempt(step, _timeout(limits, step, started, now), now, batch)
    else:
        lease = now + dt.timedelta(seconds=settings.DURABLE_LEASE)
        _update([step], due=min(lease, deadline) if step.worker else deadline)


def _timeout(limits: options.StepOptions, step: ExecutionStep, started: dt.datetime, now: dt.datetime) -> TimeoutError:
    closes = limits.closes_at(step.created_at)
    if closes is not None and now >= closes:
        return TimeoutError(
            f"all attempts together took longer than {limits.schedule_to_close:g} s",
            type=TimeoutType.SCHEDULE_TO_CLOSE,
            last_heartbeat_details=(),
        )
    if now < started + dt.timedelta(seconds=limits.attempt_seconds()):
        return TimeoutError(
            f"no heartbeat for {limits.heartbeat:g} s",
            type=TimeoutType.HEARTBEAT,
            last_heartbeat_details=payloads.decode(step.heartbeat) or (),
        )
    return TimeoutError(
        f"the attempt took longer than {limits.attempt_seconds():g} s",
        type=TimeoutType.START_TO_CLOSE,
        last_heartbeat_details=(),
    )


def _end_attempt(
    step: ExecutionStep,
    error: BaseException,
    now: dt.datetime,
    batch: _Batch,
    *,
    recoveries: int | None = None,
    retry_at: dt.datetime | None = None,
) -> None:
    """Take an attempt away from its worker: its step waits for the next one, or has failed."""
    attempt = Attempt(
        *(step.execution_id, step.seq, step.name, step.attempt, step.queue, step.options, "", ""),
        *(step.created_at, step.started_at or step.created_at),
    )
    verdict = runner.decide(attempt, error, now) if not step.cancel_requested else RetryState.CANCEL_REQUESTED.name
    mine = ExecutionStep.objects.filter(id=step.id, status=StepStatus.RUNNING, attempt=step.attempt)
    failure = failures.encode(error)
    if isinstance(verdict, dt.datetime):
        step.run_at = retry_at or verdict
        due = timers.sweep_time(step.run_at, now)
        changes = {"recoveries": recoveries} if recoveries is not None else {}
        mine.update(status=StepStatus.PENDING, worker="", failure=failure, run_at=step.run_at, due=due, **changes)
        batch.steps.append(step)
        return
    due = now + dt.timedelta(seconds=settings.DURABLE_LEASE)
    watched = step.canvas is None or step.canvas == step.seq
    mine.update(
        status=StepStatus.CANCELLED if step.cancel_requested else StepStatus.FAILED,
        output=verdict,
        failure=failure,
        completed_at=now,
        due=due if watched else None,
    )
    (batch.wakes if step.canvas is None else batch.joins).append(step)


def _resend(steps: Sequence[ExecutionStep], now: dt.datetime, batch: _Batch) -> None:
    waits = [step for step in steps if step.kind == StepKind.TIMER]
    work = [step for step in steps if step.kind == StepKind.ACTIVITY]
    others = [step for step in steps if step.kind in (StepKind.CHILD, StepKind.EXTERNAL)]
    for step in others:  # the visit that is sent sees to them
        _update([step], due=now + timers.backoff(now - step.created_at))
    batch.wakes += others
    ahead = dt.timedelta(seconds=settings.DURABLE_LOOKAHEAD)
    _update(waits, due=now + ahead + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN))
    batch.due_timers += waits
    groups: dict[dt.timedelta, list[ExecutionStep]] = {}
    for step in work:
        if (error := _waited_too_long(step, now)) is not None:
            _fail_pending(step, error, now, batch)
            continue
        since = step.run_at or step.created_at
        wait = max(dt.timedelta(0), since - now) + timers.backoff(now - since)
        groups.setdefault(dt.timedelta(seconds=round(wait.total_seconds())), []).append(step)
    for wait, members in groups.items():
        _update(members, due=now + wait)
        batch.steps += members


def _waited_too_long(step: ExecutionStep, now: dt.datetime) -> TimeoutError | None:
    limits = options.parse(step.options)
    closes = limits.closes_at(step.created_at)
    if closes is not None and now >= closes:
        return _timeout(limits, step, step.created_at, now)
    since = max(step.run_at or step.created_at, step.created_at)
    if limits.schedule_to_start is not None and now >= since + dt.timedelta(seconds=limits.schedule_to_start):
        return TimeoutError(
            f"no worker took it within {limits.schedule_to_start:g} s",
            type=TimeoutType.SCHEDULE_TO_START,
            last_heartbeat_details=(),
        )
    return None


def _fail_pending(step: ExecutionStep, error: TimeoutError, now: dt.datetime, batch: _Batch) -> None:
    watched = step.canvas is None or step.canvas == step.seq
    ExecutionStep.objects.filter(id=step.id, status=StepStatus.PENDING).update(
        status=StepStatus.FAILED,
        output="TIMEOUT",
        failure=failures.encode(error),
        completed_at=now,
        due=now + dt.timedelta(seconds=settings.DURABLE_LEASE) if watched else None,
    )
    (batch.wakes if step.canvas is None else batch.joins).append(step)


def _wake(steps: Sequence[ExecutionStep], now: dt.datetime, batch: _Batch) -> None:
    """Outcomes that no advance has seen: ask the execution, or the canvas, to go on."""
    lease = dt.timedelta(seconds=settings.DURABLE_LEASE)
    for step in steps:
        if step.canvas is None:
            batch.wakes.append(step)
            _update([step], due=now + timers.backoff(now - (step.completed_at or now)))
            continue
        members = ExecutionStep.objects.filter(execution_id=step.execution_id, canvas=step.canvas)
        nearest = members.exclude(id=step.id).aggregate(due=Min("due"))["due"]
        if nearest is not None and nearest > now:
            _update([step], due=nearest + lease)  # a member waits for its own time, and is watched by itself
        else:
            batch.joins.append(step)
            _update([step], due=now + lease)


def _update(steps: Sequence[ExecutionStep], **changes: object) -> None:
    if steps:
        ExecutionStep.objects.filter(id__in=[step.id for step in steps]).update(**changes)
