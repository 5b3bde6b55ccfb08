"""One attempt of an activity: decode its arguments, run it within its time, and turn what happens into an outcome."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import activity, coroutines, failures, options, payloads, registry, retry, statements
from automation.durable.exceptions import ApplicationError, CancelledError, TimeoutError, TimeoutType
from automation.durable.outcomes import decode_arguments
from automation.durable.records import ExecutionRecord, NewStep, Outcome, StepRecord
from automation.durable.registry import ActivityDefinition, UnknownName
from automation.models import ExecutionStep, StepStatus

COMPLETED = str(StepStatus.COMPLETED)
FAILED = str(StepStatus.FAILED)
CANCELLED = str(StepStatus.CANCELLED)

WORKER_SHUTDOWN = "WorkerShutdown"
"""The error type of an attempt that ended because its worker did; its retry policy says what follows."""

HEARTBEAT_EVERY = 0.5
"""Heartbeats that follow faster than this many seconds are kept back, unless the heartbeat timeout asks for more."""


class Attempt(NamedTuple):
    """A claimed step."""

    execution_id: uuid.UUID
    seq: int
    name: str
    attempt: int
    queue: str
    options: str
    input: str
    heartbeat: str
    created_at: dt.datetime
    started_at: dt.datetime
    local: bool = False

    @classmethod
    def of_row(cls, step: StepRecord) -> Attempt:
        return cls(
            *(step.execution_id, step.seq, step.name, step.attempt, step.queue, step.options, step.input),
            *(step.heartbeat, step.created_at, step.started_at or step.created_at),
        )

    @classmethod
    def of_new(cls, execution: ExecutionRecord, step: NewStep, now: dt.datetime) -> Attempt:
        return cls(execution.id, step.seq, step.name, 1, step.queue, step.options, step.input, "", now, now)


class Ran(NamedTuple):
    """What an attempt came to: an outcome to be written, or a time to try again. `settled` says that a transactional
    activity has written its outcome itself; `lost` that the attempt was no longer ours; `handed_out` that its
    outcome comes from outside."""

    outcome: Outcome | None = None
    retry_at: dt.datetime | None = None
    failure: str = ""
    settled: bool = False
    lost: bool = False
    handed_out: bool = False


class _Lost(Exception):
    """The attempt has been taken away: a transactional activity's writes are rolled back."""


def lease_of(step_options: str, now: dt.datetime) -> dt.datetime:
    """When a sweep looks at an attempt that begins now: is its worker alive, has its time passed?"""
    limits = options.parse(step_options)
    seconds = min(limits.attempt_seconds(), settings.DURABLE_LEASE)
    if limits.heartbeat is not None:
        seconds = min(seconds, limits.heartbeat)
    return now + dt.timedelta(seconds=seconds)


def run(step: Attempt, worker: str) -> Ran:
    """Run one attempt. Never raises for what the activity does."""
    try:
        definition = registry.activity(step.name)
    except UnknownName as error:
        return _failed(step, error, ())
    context = _context(step)
    context.raises = definition.raises_when_cancelled and not definition.is_async
    token = activity._context.set(context)
    thread = threading.get_ident()
    outer, activity.running[thread] = activity.running.get(thread), context
    try:
        arguments = decode_arguments(step.input, definition.argument_hints)
        if definition.transactional and step.local:
            with transaction.atomic():  # its outcome is written later: at least once
                return Ran(_completed(step, definition, _call(step, definition, arguments)))
        if definition.transactional:
            return _run_transactional(step, definition, arguments, worker)
        value = _call(step, definition, arguments)
        return Ran(_completed(step, definition, value))
    except activity.CompleteAsync:
        return Ran(handed_out=True)
    except _Lost:
        return Ran(lost=True)
    except (Exception, asyncio.CancelledError) as error:
        if context.stopped and isinstance(error, CancelledError | asyncio.CancelledError):
            error = ApplicationError("its worker has stopped", type=WORKER_SHUTDOWN)  # nobody wanted the step cancelled
        return _failed(step, error, context.details)
    finally:
        activity._context.reset(token)
        if outer is None:
            del activity.running[thread]
        else:
            activity.running[thread] = outer
        if context.left_alone:
            raise activity.LeftAlone


def _run_transactional(step: Attempt, definition: ActivityDefinition, arguments: list[Any], worker: str) -> Ran:
    with transaction.atomic():
        # The row's lock keeps every other claimant and the sweeps away until the outcome is committed with the writes.
        ours = ExecutionStep.objects.select_for_update().filter(
            execution_id=step.execution_id, seq=step.seq, attempt=step.attempt, status=StepStatus.RUNNING
        )
        row = ours.first()
        if row is None:
            raise _Lost
        outcome = _completed(step, definition, _call(step, definition, arguments))
        lease = outcome.completed_at + dt.timedelta(seconds=settings.DURABLE_LEASE)
        # A canvas is watched over by its first member alone.
        due = lease if row.canvas is None or row.canvas == row.seq else None
        held, _ = statements.current().settle(step.execution_id, outcome, due, None, worker, lease)
        if not held:
            raise _Lost
    return Ran(outcome, settled=True)


def _call(step: Attempt, definition: ActivityDefinition, arguments: Sequence[Any]) -> Any:
    seconds = options.parse(step.options).attempt_seconds()
    if definition.is_async:
        return coroutines.run(_within(definition.function(*arguments), seconds))
    with _alarm(seconds):
        return definition.function(*arguments)


async def _within(coroutine: Any, seconds: float) -> Any:
    task = asyncio.ensure_future(coroutine)
    context = activity.context()
    context.task = task
    if context.cancelled:  # between its beginning and now
        task.cancel()
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        raise _too_long(seconds)
    return task.result()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Interrupt the activity when its time is over. Only a main thread can be interrupted; elsewhere, and for code
    that does not return to Python, the sweep ends the attempt by its row and Celery's time limit ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: Any) -> None:
        raise _too_long(seconds)

    previous = signal.signal(signal.SIGALRM, ring)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, outer)
        signal.signal(signal.SIGALRM, previous)


def _too_long(seconds: float) -> TimeoutError:
    return TimeoutError(
        f"the attempt took longer than {seconds:g} s", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=()
    )


def _completed(step: Attempt, definition: ActivityDefinition, value: Any) -> Outcome:
    output = payloads.encode(value, f"result of activity {definition.name!r}")
    return Outcome(step.seq, step.attempt, COMPLETED, output, "", clock.now())


def _failed(step: Attempt, error: BaseException, details: Sequence[Any]) -> Ran:
    now = clock.now()
    failure = failures.encode(error)
    if isinstance(error, CancelledError | asyncio.CancelledError):
        return Ran(Outcome(step.seq, step.attempt, CANCELLED, "", failure, now), failure=failure)
    decision = decide(step, error, now)
    if isinstance(decision, dt.datetime):
        if details and not step.local:
            _write_heartbeat(step, details)
        return Ran(retry_at=decision, failure=failure)
    return Ran(Outcome(step.seq, step.attempt, FAILED, decision, failure, now), failure=failure)


def decide(step: Attempt, error: BaseException, now: dt.datetime) -> dt.datetime | str:
    """When the next attempt begins, or the name of the reason why there is none."""
    limits = options.parse(step.options)
    verdict = retry.decide(limits.retry, step.attempt, error, now, limits.closes_at(step.created_at))
    return now + verdict.delay if isinstance(verdict, retry.RetryAfter) else verdict.state.name


def _context(step: Attempt) -> activity.Context:
    heart = _Heart(step)
    return activity.Context(activity.Info(step), heart.beat, reason=heart.reason)


class _Heart:
    """Writes heartbeats, not too often; learns from the row whether the attempt should stop."""

    def __init__(self, step: Attempt) -> None:
        self.step = step
        self.written = -math.inf
        limit = options.parse(step.options).heartbeat
        self.every = min(HEARTBEAT_EVERY, limit / 3) if limit else HEARTBEAT_EVERY
        self.held = True

    def beat(self, details: Sequence[Any]) -> bool:
        now = time.monotonic()  # not the clock, which a test may hold
        if self.step.local or now - self.written < self.every:
            return False
        self.written = now
        self.held, stop = coroutines.outside(_write_heartbeat, self.step, details)
        return stop or not self.held

    def reason(self) -> activity.ActivityCancellationDetails:
        return activity.ActivityCancellationDetails(not_found=not self.held, cancel_requested=self.held)


def _write_heartbeat(step: Attempt, details: Sequence[Any]) -> tuple[bool, bool]:
    now = clock.now()
    text = payloads.encode(list(details), "heartbeat details")
    return statements.current().beat(step.execution_id, step.seq, step.attempt, text, now, lease_of(step.options, now))
