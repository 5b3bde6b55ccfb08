"""How a run of the code ends its execution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from automation.durable import failures, payloads, texts
from automation.durable.exceptions import ContinueAsNewError, FailureError, is_cancelled_exception
from automation.durable.records import Ending
from automation.models import ExecutionStatus


class Parked(Exception):
    """The code raised something that is no failure of the workflow but a defect of the code; the execution waits,
    its history untouched, for the code to be mended."""


def ending_of(
    task: asyncio.Task[Any] | None, cancel_reason: str | None, failure_types: Sequence[type[BaseException]]
) -> Ending | None:
    """How an execution ends whose main task has ended; None while it runs. Raises Parked for a defect of the code."""
    if task is None or not task.done():
        return None
    error = _error_of(task)
    if error is None:
        try:
            result = payloads.encode(task.result(), "result")
        except payloads.PayloadError as problem:
            raise Parked(str(problem)) from problem
        return _counted(Ending(str(ExecutionStatus.COMPLETED), result=result), task.result())
    if isinstance(error, ContinueAsNewError):
        return ending_of_failure(error)
    if is_cancelled_exception(error) and (cancel_reason is not None or not isinstance(error, FailureError)):
        return _cancelled(cancel_reason or "")
    if isinstance(error, (FailureError, *failure_types)):
        return ending_of_failure(error)
    raise Parked(f"the workflow's code raised {error!r}") from error


def continues_as_new(task: asyncio.Task[Any] | None) -> bool:
    """Whether a main task has ended by asking for the next run."""
    return task is not None and task.done() and isinstance(_error_of(task), ContinueAsNewError)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as error:
        return error


def ending_of_failure(error: BaseException) -> Ending:
    """The end of an execution that this error fails; or continues as new."""
    if isinstance(error, ContinueAsNewError):
        return Ending(str(ExecutionStatus.CONTINUED), continuation=error.continuation)
    ending = Ending(str(ExecutionStatus.FAILED), failure=failures.encode(error), error_message=_message_of(error))
    details = getattr(error, "details", ())
    return _counted(ending, details[0] if details else None)


def _counted(ending: Ending, value: Any) -> Ending:
    """An automation's result, or the details of its failure, carries how many actions ran and failed."""
    if isinstance(value, dict) and isinstance(value.get("executed"), int) and isinstance(value.get("failed"), int):
        ending.actions_executed, ending.actions_failed = value["executed"], value["failed"]
    return ending


def _cancelled(reason: str) -> Ending:
    return Ending(str(ExecutionStatus.CANCELLED), error_message=texts.shown(reason))


def _message_of(error: BaseException) -> str:
    cause = error.__cause__
    return texts.shown(str(error) if cause is None or str(cause) in str(error) else f"{error}: {cause}")
