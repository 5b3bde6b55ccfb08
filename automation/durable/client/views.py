"""What the client tells of executions; named as in the Temporal Python SDK."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from automation.durable import attributes, histories, memos, payloads, run_options
from automation.durable import failures as failure_texts
from automation.durable.attributes import SearchAttributes, TypedSearchAttributes
from automation.durable.exceptions import (
    CancelledError,
    TemporalError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowFailureError,
)
from automation.models import ExecutionStatus, ExecutionStep
from automation.models import WorkflowExecution as ExecutionRow


class WorkflowExecutionStatus(enum.IntEnum):
    """The SDK's statuses. What waits for a person (parked, dead letter) is RUNNING; `state` tells."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7


STATUSES: Mapping[str, WorkflowExecutionStatus] = {
    ExecutionStatus.PENDING: WorkflowExecutionStatus.RUNNING,
    ExecutionStatus.RUNNING: WorkflowExecutionStatus.RUNNING,
    ExecutionStatus.PARKED: WorkflowExecutionStatus.RUNNING,
    ExecutionStatus.DEAD_LETTER: WorkflowExecutionStatus.RUNNING,
    ExecutionStatus.COMPLETED: WorkflowExecutionStatus.COMPLETED,
    ExecutionStatus.FAILED: WorkflowExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED: WorkflowExecutionStatus.CANCELED,
    ExecutionStatus.TERMINATED: WorkflowExecutionStatus.TERMINATED,
    ExecutionStatus.CONTINUED: WorkflowExecutionStatus.CONTINUED_AS_NEW,
    ExecutionStatus.TIMED_OUT: WorkflowExecutionStatus.TIMED_OUT,
}


class QueryRejectCondition(enum.IntEnum):
    """Which executions do not answer a query."""

    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


class WorkflowUpdateStage(enum.IntEnum):
    """How far to wait for an update."""

    ADMITTED = 1
    ACCEPTED = 2
    COMPLETED = 3


class WorkflowQueryFailedError(TemporalError):
    """A query has no handler, or its handler raised."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._message = message

    @property
    def message(self) -> str:
        return self._message


class WorkflowQueryRejectedError(TemporalError):
    """An execution in this status does not answer, by the query's reject condition."""

    def __init__(self, status: WorkflowExecutionStatus | None) -> None:
        super().__init__(f"Query rejected, status: {status.name if status is not None else None}")
        self._status = status

    @property
    def status(self) -> WorkflowExecutionStatus | None:
        return self._status


class WorkflowUpdateFailedError(TemporalError):
    """An update was refused, or failed; `cause` says why."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"Workflow update failed: {cause}")
        self.__cause__ = cause


class WorkflowContinuedAsNewError(TemporalError):
    """The run ended by continue-as-new, and the asker does not follow."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__("Workflow continued as new")
        self._new_execution_run_id = new_execution_run_id

    @property
    def new_execution_run_id(self) -> str:
        return self._new_execution_run_id


class WaitTimeoutError(TemporalError):
    """What was waited for did not happen within `rpc_timeout`; it may yet."""


_MISSING: Any = object()


@dataclass(frozen=True)
class WorkflowExecution:
    """One execution as a list shows it. `state`: ours, such as "parked"; `error_message`: why, where there is a why."""

    id: str
    run_id: str
    workflow_type: str
    namespace: str
    task_queue: str
    status: WorkflowExecutionStatus
    state: str
    paused: bool
    start_time: dt.datetime
    execution_time: dt.datetime | None
    close_time: dt.datetime | None
    parent_run_id: str | None
    first_run_id: str
    error_message: str
    raw_search_attributes: Mapping[str, Any] = field(repr=False)
    raw_memo: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, row: ExecutionRow) -> Self:
        return cls(**_fields(row))

    @property
    def search_attributes(self) -> SearchAttributes:
        return attributes.untyped(self.raw_search_attributes)

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        return TypedSearchAttributes.of_row(self.raw_search_attributes)

    async def memo(self) -> Mapping[str, Any]:
        """Its memo, by name; plain code reads `raw_memo`, which is the same."""
        return dict(self.raw_memo)

    async def memo_value(self, key: str, default: Any = _MISSING, *, type_hint: Any = None) -> Any:
        """One value of the memo, as `type_hint` says. Raises KeyError where there is none and no default."""
        if key not in self.raw_memo:
            if default is _MISSING:
                raise KeyError(f"memo does not have a value for key {key!r}")
            return default
        convert = payloads.converter(type_hint) if type_hint is not None else None
        value = self.raw_memo[key]
        return value if convert is None else convert(value)


LIST_COLUMNS = (
    *("id", "business_id", "definition", "namespace", "queue", "status", "paused_at", "created_at", "started_at"),
    *("completed_at", "parent_id", "first_run_id", "error_message", "search_attributes", "memo"),
)


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """One execution by itself."""

    history_length: int
    execution_timeout: dt.timedelta | None
    run_timeout: dt.timedelta | None
    attempt: int
    static_summary: str | None
    static_details: str | None
    waits_for: Sequence[str]

    @classmethod
    def of(cls, row: ExecutionRow) -> Self:
        options = run_options.parse(row.options)
        open_steps = ExecutionStep.objects.filter(execution=row, status__in=("pending", "running")).order_by("seq")
        return cls(
            **_fields(row),
            history_length=histories.steps_of(row.id).count(),
            execution_timeout=_time(options.execution_timeout),
            run_timeout=_time(options.run_timeout),
            attempt=options.attempt,
            static_summary=options.summary or None,
            static_details=options.details or None,
            waits_for=[f"#{step.seq} {step.kind} {step.name}" for step in open_steps[:20]],
        )


def _fields(row: ExecutionRow) -> dict[str, Any]:
    return {
        "id": row.workflow_id_of_caller,
        "run_id": str(row.id),
        "workflow_type": row.definition,
        "namespace": row.namespace,
        "task_queue": row.queue,
        "status": STATUSES[row.status],
        "state": str(row.status),
        "paused": row.paused_at is not None,
        "start_time": row.created_at,
        "execution_time": row.started_at,
        "close_time": row.completed_at,
        "parent_run_id": str(row.parent_id) if row.parent_id else None,
        "first_run_id": str(row.first_run_id or row.id),
        "error_message": row.error_message,
        "raw_search_attributes": row.search_attributes or {},
        "raw_memo": memos.decode(row.memo),
    }


@dataclass(frozen=True)
class WorkflowExecutionCountAggregationGroup:
    """How many executions share these values."""

    count: int
    group_values: Sequence[Any]


@dataclass(frozen=True)
class WorkflowExecutionCount:
    """How many executions a filter finds; by group where it says GROUP BY."""

    count: int
    groups: Sequence[WorkflowExecutionCountAggregationGroup] = ()


def outcome(row: ExecutionRow, hint: Any) -> Any:
    """The result of an execution that has ended, as `hint` says. Raises WorkflowFailureError with how it ended."""
    match row.status:
        case ExecutionStatus.COMPLETED:
            return payloads.decode(row.result, hint)
        case ExecutionStatus.FAILED:
            cause: BaseException = failure_texts.decode(row.failure)
        case ExecutionStatus.CANCELLED:
            cause = CancelledError(row.error_message or "Workflow cancelled")
        case ExecutionStatus.TERMINATED:
            cause = TerminatedError(row.error_message or "Workflow terminated")
        case _:
            cause = TimeoutError(
                row.error_message or "Workflow timed out", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=()
            )
    raise WorkflowFailureError(cause=cause)


def _time(seconds: float | None) -> dt.timedelta | None:
    return dt.timedelta(seconds=seconds) if seconds is not None else None
