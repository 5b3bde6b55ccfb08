"""How what happened to a step reaches the code that waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automation.durable import failures, payloads
from automation.durable.common import RawValue
from automation.durable.exceptions import CancelledError, RetryState
from automation.durable.options import StepOptions
from automation.durable.records import StepRecord
from automation.durable.registry import RAW_ARGUMENTS
from automation.models import StepStatus

_COMPLETED = str(StepStatus.COMPLETED)
_CANCELLED = str(StepStatus.CANCELLED)


class Fed:
    """An outcome on its way to the code: of a step, or of a whole canvas (`members`, in order of seq)."""

    __slots__ = ("failure", "members", "name", "output", "seq", "status", "worker")

    def __init__(
        self,
        seq: int,
        name: str,
        status: str,
        output: str,
        failure: str,
        worker: str,
        members: Sequence[StepRecord] = (),
    ) -> None:
        self.seq = seq
        self.name = name
        self.status = status
        self.output = output
        self.failure = failure
        self.worker = worker
        self.members = members

    @classmethod
    def of(cls, step: StepRecord, members: Sequence[StepRecord] = ()) -> Fed:
        return cls(step.seq, step.name, step.status, step.output, step.failure, step.worker, members)


class CanvasMember:
    """One step of a canvas, before it has a seq."""

    __slots__ = ("input", "name", "options", "priority", "queue", "result_hint")

    def __init__(
        self, name: str, input: str, queue: str, priority: int, options: StepOptions, result_hint: Any
    ) -> None:
        self.name = name
        self.input = input
        self.queue = queue
        self.priority = priority
        self.options = options
        self.result_hint = result_hint


def decode_arguments(text: str, hints: Sequence[Any]) -> list[Any]:
    """The argument list that a start or a call wrote; one hint each, the rest as JSON's own types."""
    values = payloads.decode(text) or []
    if hints is RAW_ARGUMENTS:
        return [[RawValue(payloads.encode(value)) for value in values]]
    result = []
    for index, value in enumerate(values):
        convert = payloads.converter(hints[index]) if index < len(hints) else None
        result.append(value if convert is None else convert(value))
    return result


def step_error(fed: Fed) -> BaseException:
    """The error that code gets for a step that did not complete."""
    if fed.failure:
        cause = failures.decode(fed.failure)
        if fed.status == _CANCELLED and not isinstance(cause, CancelledError):
            last, cause = cause, CancelledError("Cancelled")  # its last attempt failed, and there is no other
            cause.__cause__ = last
        state = RetryState[fed.output] if fed.output in RetryState.__members__ else None
    else:
        cause, state = CancelledError("Cancelled"), RetryState.CANCEL_REQUESTED
    return failures.activity_error(fed.seq, fed.name, fed.worker, cause, state)


def result_of(fed: Fed, hint: Any) -> tuple[Any, BaseException | None]:
    """What code gets for a step: a value, or an error; the latter, too, where the value is none of what `hint` says."""
    if fed.status != _COMPLETED:
        return None, step_error(fed)
    try:
        return payloads.decode(fed.output, hint), None
    except (TypeError, ValueError, ArithmeticError) as error:
        return None, payloads.PayloadError(f"result of step #{fed.seq} {fed.name!r}: {error}")
