"""Activities whose outcome comes from outside: a webhook, a person, another process.

An activity that calls `activity.raise_complete_async` ends its attempt without an outcome and gives its place up. The
step stays running, without a worker; its time limits hold, and what ends it is one of the calls here, by the task token
that the attempt had, or by ids. A token names one attempt: what comes for an earlier one is refused.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import (
    canvas,
    deliveries,
    failures,
    options,
    payloads,
    runner,
    statements,
    states,
    timers,
    tokens,
)
from automation.durable.exceptions import ActivityCancelledOutside, CancelledError
from automation.durable.records import NewStep, Outcome
from automation.durable.runner import Attempt
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStep, StepKind, StepStatus


def by_token(token: bytes | str) -> ExecutionStep:
    """The running step of a token. Raises NotFound for what is no token, Conflict when that attempt is over."""
    return _running(*tokens.read(token))


def by_ids(workflow_id: str, run_id: str | None, activity_id: str) -> ExecutionStep:
    """The running step of an activity id: the one that the workflow's code gave it, or its seq."""
    row = deliveries.find(workflow_id, run_id or "")
    if row is None:
        raise NotFound(f"there is no execution of workflow id {workflow_id!r}")
    running = ExecutionStep.objects.filter(execution_id=row.id, kind=StepKind.ACTIVITY, status=StepStatus.RUNNING)
    for step in running.order_by("-seq"):
        if activity_id == (options.parse(step.options).activity_id or str(step.seq)):
            return step
    raise NotFound(f"workflow id {workflow_id!r} has no running activity {activity_id!r}")


def complete(step: ExecutionStep, result: Any = None) -> None:
    """Complete the activity. Raises Conflict when its attempt is over."""
    output = payloads.encode(result, f"result of activity {step.name!r}")
    _settle(step, Outcome(step.seq, step.attempt, str(StepStatus.COMPLETED), output, "", clock.now()))


def fail(step: ExecutionStep, error: BaseException, last_heartbeat_details: Sequence[Any] = ()) -> None:
    """Fail the attempt; its retry policy says what follows."""
    if last_heartbeat_details:
        _beat(step, last_heartbeat_details)
    now = clock.now()
    verdict = runner.decide(_attempt(step), error, now)
    failure = failures.encode(error)
    if isinstance(verdict, str) or step.cancel_requested:
        reason = verdict if isinstance(verdict, str) else ""
        _settle(step, Outcome(step.seq, step.attempt, str(StepStatus.FAILED), reason, failure, now))
        return
    due = timers.sweep_time(verdict, now)
    if not statements.current().retry(step.execution_id, step.seq, step.attempt, failure, verdict, due):
        raise _over(step)
    again = NewStep(
        step.seq, step.kind, step.name, step.queue, step.priority, step.options, "", step.canvas, run_at=verdict
    )
    canvas.parallel(step.execution_id, [again], now)


def heartbeat(step: ExecutionStep, *details: Any) -> None:
    """Say that the activity is alive. Raises ActivityCancelledOutside when it has been asked to stop, Conflict when its
    attempt is over."""
    held, stop = _beat(step, details)
    if not held:
        raise _over(step)
    if stop:
        raise ActivityCancelledOutside(f"activity {step.name!r} has been asked to stop; report its cancellation")


def report_cancellation(step: ExecutionStep, *details: Any) -> None:
    """Say that the activity has stopped as it was asked to."""
    failure = failures.encode(CancelledError("Cancelled", *details))
    _settle(step, Outcome(step.seq, step.attempt, str(StepStatus.CANCELLED), "", failure, clock.now()))


def hand_out(execution: uuid.UUID, seq: int, attempt: int) -> None:
    """Leave a running step to whoever has its token: no worker is to be found dead for it, its time limits hold."""
    steps = ExecutionStep.objects.filter(execution_id=execution, seq=seq, attempt=attempt, status=StepStatus.RUNNING)
    step = steps.first()
    if step is not None:
        steps.update(worker="", due=_deadline(step))


def _deadline(step: ExecutionStep) -> dt.datetime:
    return options.parse(step.options).deadline(step.created_at, step.started_at or step.created_at, step.heartbeat_at)


def _running(execution: uuid.UUID, seq: int, attempt: int) -> ExecutionStep:
    step = ExecutionStep.objects.filter(execution_id=execution, seq=seq).first()
    if step is None:
        raise NotFound(f"there is no step #{seq} of execution {execution}")
    if step.status != StepStatus.RUNNING or step.attempt != attempt:
        raise Conflict(
            f"step #{seq} {step.name!r} of execution {execution}: attempt {attempt} is over "
            f"(now: {step.status}, attempt {step.attempt})"
        )
    return step


def _settle(step: ExecutionStep, outcome: Outcome) -> None:
    watched = step.canvas is None or step.canvas == step.seq
    due = outcome.completed_at + dt.timedelta(seconds=settings.DURABLE_LEASE) if watched else None
    with transaction.atomic() if step.canvas is not None else contextlib.nullcontext():
        if step.canvas is not None:
            states.lock(step.execution_id)  # as whoever cancels a canvas does before it touches two of its steps
        held, _ = statements.current().settle(step.execution_id, outcome, due, None, "", outcome.completed_at)
        if not held:
            raise _over(step)
        states.watch_canvas(step, outcome.completed_at)
    queue = step.execution.queue
    if step.canvas is None:
        canvas.visit([(step.execution_id, None)], queue, priority=step.execution.priority)
    else:
        canvas.join(step.execution_id, step.canvas, queue)


def _beat(step: ExecutionStep, details: Sequence[Any]) -> tuple[bool, bool]:
    now = clock.now()
    step.heartbeat_at = now
    text = payloads.encode(list(details), "heartbeat details")
    return statements.current().beat(step.execution_id, step.seq, step.attempt, text, now, _deadline(step))


def _attempt(step: ExecutionStep) -> Attempt:
    return Attempt(
        *(step.execution_id, step.seq, step.name, step.attempt, step.queue, step.options, "", step.heartbeat),
        *(step.created_at, step.started_at or step.created_at),
    )


def _over(step: ExecutionStep) -> Conflict:
    return Conflict(f"step #{step.seq} {step.name!r}: attempt {step.attempt} is over; its outcome is refused")
