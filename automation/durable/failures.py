"""Errors as JSON in a row, and back again."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

from automation.durable import payloads
from automation.durable.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    ServerError,
    SkippedError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)

MAX_STACK = 8_000
MAX_MESSAGE = 4_000


def encode(error: BaseException) -> str:
    """The failure as JSON text: kind, type, message, details, stack, and its cause likewise."""
    return payloads.encode(_to_dict(error), "failure")


def message(text: str) -> str:
    """The message in an encoded failure, the cause's where the failure only wraps it."""
    data = payloads.decode(text)
    return str(data.get("message", "")) if isinstance(data, dict) else ""


def decode(text: str) -> BaseException:
    """The error again: one of `automation.durable.exceptions`. An exception of another class comes back as an
    ApplicationError whose `type` is that class's name."""
    return _from_dict(payloads.decode(text))


def activity_error(
    seq: int,
    name: str,
    worker: str,
    cause: BaseException,
    state: RetryState | None,
    make: type[ActivityError] = ActivityError,
) -> ActivityError:
    """What workflow code gets for a step that failed for good."""
    error = make(
        "Activity cancelled" if isinstance(cause, CancelledError) else f"Activity {name} failed: {cause}",
        scheduled_event_id=seq,
        started_event_id=seq,
        identity=worker,
        activity_type=name,
        activity_id=str(seq),
        retry_state=state,
    )
    error.__cause__ = cause
    return error


def _to_dict(error: BaseException, depth: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {"message": (str(error) or type(error).__name__)[:MAX_MESSAGE]}
    match error:
        case ApplicationError():
            data |= {"kind": "application", "type": error.type, "message": error.message[:MAX_MESSAGE]}
            data["details"] = [_plain(detail) for detail in error.details]
            if error.non_retryable:
                data["non_retryable"] = True
        case TimeoutError():
            data |= {"kind": "timeout", "type": error.type.name if error.type is not None else None}
            data["details"] = [_plain(detail) for detail in error.last_heartbeat_details]
        case CancelledError():
            data |= {"kind": "cancelled", "details": [_plain(detail) for detail in error.details]}
        case ActivityError():
            data |= {"kind": "activity", "seq": error.scheduled_event_id, "activity": error.activity_type}
            data |= {"worker": error.identity, "state": error.retry_state.name if error.retry_state else None}
        case ChildWorkflowError():
            data |= {"kind": "child", "seq": error.initiated_event_id, "workflow": error.workflow_type}
            data |= {"workflow_id": error.workflow_id, "run_id": error.run_id, "namespace": error.namespace}
            data["state"] = error.retry_state.name if error.retry_state else None
        case WorkflowAlreadyStartedError():
            data |= {"kind": "already_started", "workflow": error.workflow_type, "workflow_id": error.workflow_id}
            data |= {"run_id": error.run_id, "first_run_id": error.first_run_id}
        case asyncio.CancelledError():
            data |= {"kind": "cancelled", "message": str(error) or "Cancelled"}
        case TerminatedError():
            data |= {"kind": "terminated"}
        case SkippedError():
            data |= {"kind": "skipped"}
        case ServerError():
            data |= {"kind": "server", "non_retryable": error.non_retryable}
        case _:
            data |= {"kind": "application", "type": type(error).__name__}
    if error.__traceback__ is not None and data["kind"] in ("application", "server"):
        data["stack"] = "".join(traceback.format_tb(error.__traceback__))[-MAX_STACK:]
    if error.__cause__ is not None and depth < 10:
        data["cause"] = _to_dict(error.__cause__, depth + 1)
    return data


def _plain(detail: Any) -> Any:
    """A detail that cannot be written becomes its repr: losing a detail beats losing the failure."""
    try:
        payloads.encode(detail, "detail")
    except payloads.PayloadError:
        return repr(detail)
    return detail


def _from_dict(data: dict[str, Any]) -> BaseException:
    text = data.get("message", "")
    details = data.get("details") or []
    error: FailureError
    match data.get("kind"):
        case "timeout":
            kind = TimeoutType[data["type"]] if data.get("type") else None
            error = TimeoutError(text, type=kind, last_heartbeat_details=details)
        case "cancelled":
            error = CancelledError(text, *details)
        case "terminated":
            error = TerminatedError(text)
        case "skipped":
            error = SkippedError(text)
        case "server":
            error = ServerError(text, non_retryable=bool(data.get("non_retryable")))
        case "activity":
            state = RetryState[data["state"]] if data.get("state") else None
            error = activity_error(data["seq"], data["activity"], data.get("worker", ""), Exception(text), state)
            error._message = text
        case "child":
            error = ChildWorkflowError(
                text,
                namespace=data.get("namespace", ""),
                workflow_id=data["workflow_id"],
                run_id=data["run_id"],
                workflow_type=data["workflow"],
                initiated_event_id=data["seq"],
                started_event_id=data["seq"],
                retry_state=RetryState[data["state"]] if data.get("state") else None,
            )
        case "already_started":
            error = WorkflowAlreadyStartedError(
                data["workflow_id"], data["workflow"], run_id=data["run_id"], first_run_id=data["first_run_id"]
            )
        case _:
            error = ApplicationError(
                text, *details, type=data.get("type"), non_retryable=bool(data.get("non_retryable"))
            )
    if data.get("cause"):
        error.__cause__ = _from_dict(data["cause"])
    error._failure = data
    return error
