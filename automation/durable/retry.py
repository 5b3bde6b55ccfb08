"""Retry as a pure function: from a failure and an attempt number to a decision."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from automation.durable.common import RetryPolicy
from automation.durable.deferral import Deferred
from automation.durable.exceptions import (
    ApplicationError,
    CancelledError,
    RetryState,
    ServerError,
    TimeoutError,
    TimeoutType,
)
from automation.durable.payloads import PayloadError

DEFAULT = RetryPolicy()


@dataclass(frozen=True)
class RetryAfter:
    """Try again once `delay` has passed."""

    delay: dt.timedelta


@dataclass(frozen=True)
class GiveUp:
    """No further attempt; `state` says why."""

    state: RetryState


def decide(
    policy: RetryPolicy | None,
    attempt: int,
    error: BaseException,
    now: dt.datetime,
    deadline: dt.datetime | None = None,
) -> RetryAfter | GiveUp:
    """What follows on attempt number `attempt` (from 1) having failed with `error` at `now`.

    `deadline` is the end of schedule_to_close: a retry that could only start after it is not tried.
    """
    policy = policy or DEFAULT
    if isinstance(error, Deferred):
        late = deadline is not None and now + error.delay >= deadline
        return GiveUp(RetryState.TIMEOUT) if late else RetryAfter(error.delay)
    if isinstance(error, CancelledError):
        return GiveUp(RetryState.CANCEL_REQUESTED)
    if isinstance(error, TimeoutError) and error.type in (TimeoutType.SCHEDULE_TO_CLOSE, TimeoutType.SCHEDULE_TO_START):
        return GiveUp(RetryState.TIMEOUT)
    if isinstance(error, ApplicationError | ServerError) and error.non_retryable:
        return GiveUp(RetryState.NON_RETRYABLE_FAILURE)
    if isinstance(error, PayloadError) or error_type(error) in (policy.non_retryable_error_types or ()):
        return GiveUp(RetryState.NON_RETRYABLE_FAILURE)
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        return GiveUp(RetryState.MAXIMUM_ATTEMPTS_REACHED)
    delay = interval(policy, attempt)
    if isinstance(error, ApplicationError) and error.next_retry_delay is not None:
        delay = error.next_retry_delay
    if deadline is not None and now + delay >= deadline:
        return GiveUp(RetryState.TIMEOUT)
    return RetryAfter(delay)


def interval(policy: RetryPolicy, attempt: int) -> dt.timedelta:
    """The wait after failed attempt number `attempt`, from 1."""
    first = policy.initial_interval.total_seconds()
    longest = policy.maximum_interval.total_seconds() if policy.maximum_interval is not None else 100 * first
    try:
        seconds = first * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        seconds = longest
    return dt.timedelta(seconds=min(seconds, longest))


def error_type(error: BaseException) -> str:
    """The name that `non_retryable_error_types` matches on."""
    if isinstance(error, ApplicationError) and error.type:
        return error.type
    return type(error).__name__
