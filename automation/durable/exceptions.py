"""Errors of workflows and activities; named as in the Temporal Python SDK, with ours at the end."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automation.durable.continuing import Continuation


class TemporalError(Exception):
    """Base of the errors below; the SDK's name is kept so that ported `except` clauses hold."""

    @property
    def cause(self) -> BaseException | None:
        """What led to this error."""
        return self.__cause__


DurableError = TemporalError


class FailureError(TemporalError):
    """An error that is part of an execution's history."""

    def __init__(self, message: str, *, failure: Any = None, exc_args: tuple[Any, ...] | None = None) -> None:
        super().__init__(*(exc_args if exc_args is not None else (message,)))
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        return self._message

    @property
    def failure(self) -> Any:
        return self._failure

    def __str__(self) -> str:
        return self._message


class ApplicationErrorCategory(enum.IntEnum):
    UNSPECIFIED = 0
    BENIGN = 1


class ApplicationError(FailureError):
    """User code's own failure; raise it from an activity to decide about the retry.

    type: a name that retry policies and callers match on.
    non_retryable: no further attempt, whatever the policy says.
    next_retry_delay: the wait before the next attempt, in place of the policy's.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        super().__init__(message, exc_args=(message if not type else f"{type}: {message}",))
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay
        self._category = category

    @property
    def details(self) -> Sequence[Any]:
        return self._details

    @property
    def type(self) -> str | None:
        return self._type

    @property
    def non_retryable(self) -> bool:
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | None:
        return self._next_retry_delay

    @property
    def category(self) -> ApplicationErrorCategory:
        return self._category

    def __str__(self) -> str:
        return self._message if not self._type else f"{self._type}: {self._message}"


class CancelledError(FailureError):
    """Something was cancelled, and said so as a failure (an activity, a child)."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        return self._details


class TerminatedError(FailureError):
    """An execution was terminated from outside."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        return self._details


class TimeoutType(enum.IntEnum):
    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class TimeoutError(FailureError):
    """A time limit passed; `type` says which."""

    def __init__(self, message: str, *, type: TimeoutType | None, last_heartbeat_details: Sequence[Any]) -> None:
        super().__init__(message)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        return self._last_heartbeat_details


class ServerError(FailureError):
    """A failure of Weir itself."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self._non_retryable = non_retryable

    @property
    def non_retryable(self) -> bool:
        return self._non_retryable


class RetryState(enum.IntEnum):
    """Why there was no further attempt."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class ActivityError(FailureError):
    """An activity failed for good; `cause` is its last failure."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._scheduled_event_id = scheduled_event_id
        self._started_event_id = started_event_id
        self._identity = identity
        self._activity_type = activity_type
        self._activity_id = activity_id
        self._retry_state = retry_state

    @property
    def scheduled_event_id(self) -> int:
        """The step's seq."""
        return self._scheduled_event_id

    @property
    def started_event_id(self) -> int:
        return self._started_event_id

    @property
    def identity(self) -> str:
        """The worker that ran the last attempt."""
        return self._identity

    @property
    def activity_type(self) -> str:
        return self._activity_type

    @property
    def activity_id(self) -> str:
        return self._activity_id

    @property
    def retry_state(self) -> RetryState | None:
        return self._retry_state


class CancelledActivityError(ActivityError, asyncio.CancelledError):
    """An activity that code has cancelled: caught as an ActivityError, and as an asyncio.CancelledError."""


class ChildWorkflowError(FailureError):
    """A child workflow did not complete; `cause` is why."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._namespace = namespace
        self._workflow_id = workflow_id
        self._run_id = run_id
        self._workflow_type = workflow_type
        self._initiated_event_id = initiated_event_id
        self._started_event_id = started_event_id
        self._retry_state = retry_state

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def workflow_id(self) -> str:
        return self._workflow_id

    @property
    def run_id(self) -> str:
        """The child's first run."""
        return self._run_id

    @property
    def workflow_type(self) -> str:
        return self._workflow_type

    @property
    def initiated_event_id(self) -> int:
        """The seq of the parent's step."""
        return self._initiated_event_id

    @property
    def started_event_id(self) -> int:
        return self._started_event_id

    @property
    def retry_state(self) -> RetryState | None:
        return self._retry_state


class CancelledChildWorkflowError(ChildWorkflowError, asyncio.CancelledError):
    """A child that code has cancelled: caught as a ChildWorkflowError, and as an asyncio.CancelledError."""


class WorkflowAlreadyStartedError(FailureError):
    """An execution with this id is open, or has ended and the reuse policy refuses another."""

    def __init__(
        self, workflow_id: str, workflow_type: str, *, run_id: str | None = None, first_run_id: str | None = None
    ) -> None:
        super().__init__(f"Workflow {workflow_id!r} ({workflow_type}) has already been started")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        self.first_run_id = first_run_id


class WorkflowFailureError(TemporalError):
    """An execution did not complete; `cause` says how it ended."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Workflow execution failed")
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"Workflow execution failed: {self.__cause__}"


class ContinueAsNewError(BaseException):
    """Raised by `workflow.continue_as_new`, to end the run.

    Derived from BaseException, so that an `except Exception` in workflow code cannot swallow it.
    """

    def __init__(self, continuation: Continuation) -> None:
        super().__init__("continue as new")
        self.continuation = continuation


class ActivityCancelledOutside(TemporalError):
    """An activity that is completed from outside has been asked to stop."""


class SkippedError(FailureError):
    """A step of a chain was not run, because one before it failed."""


class NondeterminismError(BaseException):
    """The workflow's code asks for something else than its history says.

    Derived from BaseException, so that an `except Exception` in workflow code cannot swallow it.
    """

    def __init__(self, seq: int, expected: str, actual: str) -> None:
        super().__init__(f"step #{seq}: the history says {expected}, but the code asks for {actual}")
        self.seq = seq
        self.expected = expected
        self.actual = actual


class ReadOnlyContextError(TemporalError):
    """A query handler or an update's validator asked for something; it only looks."""


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether `exception` says that something was cancelled."""
    return isinstance(exception, asyncio.CancelledError | CancelledError) or (
        isinstance(exception, ActivityError | ChildWorkflowError) and isinstance(exception.cause, CancelledError)
    )
