"""Retry policies, priorities and the other values that calls share; named as in the Temporal Python SDK."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from automation.durable.attributes import (
    SearchAttributeIndexedValueType,
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributes,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)

__all__ = [
    "Priority",
    "RawValue",
    "RetryPolicy",
    "SearchAttributeIndexedValueType",
    "SearchAttributeKey",
    "SearchAttributePair",
    "SearchAttributeUpdate",
    "SearchAttributes",
    "TypedSearchAttributes",
    "WorkflowIDConflictPolicy",
    "WorkflowIDReusePolicy",
]


@dataclass(frozen=True)
class RetryPolicy:
    """How failed attempts are tried again.

    initial_interval: wait before the second attempt.
    backoff_coefficient: what each further wait is multiplied with; at least 1.
    maximum_interval: no wait is longer; 100 × initial_interval when None.
    maximum_attempts: 0 means no limit, 1 means no retry. An attempt whose worker died counts.
    non_retryable_error_types: names of error types that end the step at once.
    """

    initial_interval: timedelta = timedelta(seconds=1)
    backoff_coefficient: float = 2.0
    maximum_interval: timedelta | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.maximum_attempts == 1:
            return  # never retried: the other numbers mean nothing
        if self.initial_interval.total_seconds() <= 0:
            raise ValueError(f"initial_interval must be above zero, not {self.initial_interval}")
        if self.backoff_coefficient < 1:
            raise ValueError(f"backoff_coefficient must be at least 1, not {self.backoff_coefficient}")
        if self.maximum_interval is not None and self.maximum_interval < self.initial_interval:
            raise ValueError(
                f"maximum_interval ({self.maximum_interval}) must be at least "
                f"initial_interval ({self.initial_interval})"
            )
        if self.maximum_attempts < 0:
            raise ValueError(f"maximum_attempts must be 0 (no limit) or more, not {self.maximum_attempts}")


def _refuse_coefficient(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def checked(self: RetryPolicy, *args: Any, **options: Any) -> None:
        if "coefficient" in options:
            raise TypeError(
                "RetryPolicy has no 'coefficient': the factor between waits is called 'backoff_coefficient', as in "
                f"RetryPolicy(backoff_coefficient={options['coefficient']!r})"
            )
        init(self, *args, **options)

    return checked


RetryPolicy.__init__ = _refuse_coefficient(RetryPolicy.__init__)  # type: ignore[method-assign]


class WorkflowIDReusePolicy(enum.IntEnum):
    """What to do with an id whose last execution has ended."""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4


class WorkflowIDConflictPolicy(enum.IntEnum):
    """What to do with an id whose execution is still running."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


@dataclass(frozen=True)
class Priority:
    """`priority_key`: 1 (most urgent) to 5; None is 3, and what is less urgent counts as 3. Maps to Celery's
    message priority."""

    priority_key: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = None

    def __post_init__(self) -> None:
        if self.priority_key is not None and self.priority_key < 1:
            raise ValueError(f"priority_key must be at least 1, not {self.priority_key}")


@dataclass(frozen=True)
class RawValue:
    """A value that nobody has read yet: its JSON text. Dynamic handlers get their arguments like this, and read them
    with `workflow.payload_converter().from_payload(raw.payload, type)`."""

    payload: str
