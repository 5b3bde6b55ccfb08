"""Retry: a pure function from a failure and an attempt number to a decision; and options as they stand in a row."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.durable import options, retry
from automation.durable.common import Priority, RetryPolicy
from automation.durable.deferral import Deferred
from automation.durable.exceptions import ApplicationError, CancelledError, RetryState, TimeoutError, TimeoutType
from automation.durable.options import StepOptions
from automation.durable.payloads import PayloadError
from automation.durable.retry import GiveUp, RetryAfter

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def timeout(kind: TimeoutType) -> TimeoutError:
    return TimeoutError("late", type=kind, last_heartbeat_details=())


@pytest.mark.parametrize(
    ("policy", "attempt", "error", "expected"),
    [
        (None, 1, ValueError(), RetryAfter(SECOND)),
        (None, 4, ValueError(), RetryAfter(8 * SECOND)),
        (None, 50, ValueError(), RetryAfter(100 * SECOND)),
        (None, 5000, ValueError(), RetryAfter(100 * SECOND)),
        (RetryPolicy(maximum_interval=3 * SECOND), 3, ValueError(), RetryAfter(3 * SECOND)),
        (RetryPolicy(backoff_coefficient=1), 9, ValueError(), RetryAfter(SECOND)),
        (RetryPolicy(maximum_attempts=3), 2, ValueError(), RetryAfter(2 * SECOND)),
        (RetryPolicy(maximum_attempts=3), 3, ValueError(), GiveUp(RetryState.MAXIMUM_ATTEMPTS_REACHED)),
        (RetryPolicy(maximum_attempts=1), 1, ValueError(), GiveUp(RetryState.MAXIMUM_ATTEMPTS_REACHED)),
        (None, 1, ApplicationError("x", non_retryable=True), GiveUp(RetryState.NON_RETRYABLE_FAILURE)),
        (None, 1, ApplicationError("x", next_retry_delay=9 * SECOND), RetryAfter(9 * SECOND)),
        (None, 1, PayloadError("x"), GiveUp(RetryState.NON_RETRYABLE_FAILURE)),
        (
            RetryPolicy(non_retryable_error_types=["ValueError"]),
            1,
            ValueError(),
            GiveUp(RetryState.NON_RETRYABLE_FAILURE),
        ),
        (
            RetryPolicy(non_retryable_error_types=["Odd"]),
            1,
            ApplicationError("x", type="Odd"),
            GiveUp(RetryState.NON_RETRYABLE_FAILURE),
        ),
        (None, 1, CancelledError(), GiveUp(RetryState.CANCEL_REQUESTED)),
        (None, 1, timeout(TimeoutType.START_TO_CLOSE), RetryAfter(SECOND)),
        (None, 1, timeout(TimeoutType.HEARTBEAT), RetryAfter(SECOND)),
        (None, 1, timeout(TimeoutType.SCHEDULE_TO_CLOSE), GiveUp(RetryState.TIMEOUT)),
        (None, 1, timeout(TimeoutType.SCHEDULE_TO_START), GiveUp(RetryState.TIMEOUT)),
    ],
)
def test_what_follows_on_a_failure(
    policy: RetryPolicy | None, attempt: int, error: BaseException, expected: RetryAfter | GiveUp
) -> None:
    assert retry.decide(policy, attempt, error, NOW) == expected


def test_no_retry_begins_after_schedule_to_close() -> None:
    assert retry.decide(None, 1, ValueError(), NOW, NOW + 2 * SECOND) == RetryAfter(SECOND)
    assert retry.decide(None, 1, ValueError(), NOW, NOW + SECOND) == GiveUp(RetryState.TIMEOUT)


@given(st.integers(1, 10_000), st.floats(1, 10), st.integers(1, 1000), st.integers(1, 10**6))
def test_waits_never_shrink_and_never_pass_the_maximum(attempt: int, factor: float, first: int, longest: int) -> None:
    policy = RetryPolicy(
        initial_interval=dt.timedelta(milliseconds=first),
        backoff_coefficient=factor,
        maximum_interval=dt.timedelta(milliseconds=max(first, longest)),
    )
    assert retry.interval(policy, attempt) <= retry.interval(policy, attempt + 1)
    assert policy.maximum_interval is not None
    assert retry.interval(policy, attempt) <= policy.maximum_interval


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"initial_interval": dt.timedelta(0)}, "initial_interval"),
        ({"backoff_coefficient": 0.5}, "backoff_coefficient"),
        ({"maximum_interval": dt.timedelta(milliseconds=1)}, "maximum_interval"),
        ({"maximum_attempts": -1}, "maximum_attempts"),
    ],
)
def test_a_policy_validates_itself(values: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RetryPolicy(**values)  # type: ignore[arg-type]


def test_a_priority_validates_itself() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Priority(priority_key=0)


seconds = st.none() | st.floats(0.001, 10**6)


@given(
    st.builds(
        StepOptions,
        start_to_close=seconds,
        schedule_to_close=seconds,
        schedule_to_start=seconds,
        heartbeat=seconds,
        start_delay=st.floats(0, 10**6),
        stop=st.booleans(),
        alone=st.booleans(),
        retry=st.none()
        | st.builds(
            RetryPolicy,
            maximum_attempts=st.integers(0, 9),
            backoff_coefficient=st.floats(1, 9),
            non_retryable_error_types=st.none() | st.lists(st.text(min_size=1), min_size=1, max_size=2).map(tuple),
        ),
        summary=st.text(),
    )
)
def test_options_come_back_from_their_row(value: StepOptions) -> None:
    assert options.parse(value.dump()) == value


def test_defaults_take_no_room() -> None:
    assert StepOptions().dump() == ""


def test_the_first_limit_ends_an_attempt() -> None:
    limits = StepOptions(start_to_close=60, schedule_to_close=100, heartbeat=10)
    started = NOW + 50 * SECOND
    assert limits.deadline(NOW, started, None) == started + 10 * SECOND
    assert limits.deadline(NOW, started, started + 45 * SECOND) == NOW + 100 * SECOND
    assert StepOptions(start_to_close=60).deadline(NOW, started, started) == started + 60 * SECOND


def test_a_step_that_is_put_off_is_not_ended_by_the_number_of_its_attempts() -> None:
    policy = RetryPolicy(maximum_attempts=2)
    later = Deferred("not at night", delay=dt.timedelta(hours=8))
    assert retry.decide(policy, 50, later, NOW) == RetryAfter(dt.timedelta(hours=8))
    assert retry.decide(policy, 1, later, NOW, NOW + dt.timedelta(hours=7)) == GiveUp(RetryState.TIMEOUT)
