"""Signals and cancel requests to other executions: a step of the sender, delivered outside of its lock.

Two executions that signal each other never wait for each other: the step is committed first, then the target is locked
alone, then the step is settled. What dies in between is delivered again, and the target knows the key.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings

from automation import clock
from automation.durable import current, deliveries, failures, inbox, payloads, registry
from automation.durable.exceptions import ApplicationError
from automation.durable.futures import StepFuture
from automation.durable.members import arguments
from automation.durable.outcomes import Fed
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStep, StepKind, StepStatus, WorkflowExecution

NOT_FOUND = "ExternalWorkflowExecutionNotFound"
"""The type of the error that code gets when nobody is there to take its message."""

_EXTERNAL = str(StepKind.EXTERNAL)
_COMPLETED = str(StepStatus.COMPLETED)

Self = TypeVar("Self")


@dataclass(frozen=True)
class _Address:
    """What stands in the options of the step."""

    workflow_id: str
    run_id: str = ""


class ExternalWorkflowHandle(Generic[Self]):
    """Another execution, seen from workflow code."""

    def __init__(self, workflow_id: str, run_id: str | None = None) -> None:
        self._id = workflow_id
        self._run_id = run_id

    @property
    def id(self) -> str:
        return self._id

    @property
    def run_id(self) -> str | None:
        return self._run_id

    async def signal(self, signal: Any, arg: Any = registry._Missing, *, args: Any = ()) -> None:
        """Send a signal, by name or by its method; returns when the target's inbox has it."""
        await send_signal(self._id, self._run_id or "", signal, arguments(arg, args))

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the other execution to end."""
        await _send(self._id, self._run_id or "", "cancel", payloads.encode({"reason": reason}))


async def send_signal(workflow_id: str, run_id: str, signal: Any, args: Any) -> None:
    name = signal if isinstance(signal, str) else _name_of(signal)
    inbox.check_name("signal", name)
    await _send(workflow_id, run_id, f"signal:{name}", payloads.encode(list(args), f"arguments of signal {name!r}"))


def get_external_workflow_handle(workflow_id: str, *, run_id: str | None = None) -> ExternalWorkflowHandle[Any]:
    """A handle to another execution, by its workflow id; with a run id, to that run alone."""
    return ExternalWorkflowHandle(workflow_id, run_id)


def get_external_workflow_handle_for(
    workflow: Any, workflow_id: str, *, run_id: str | None = None
) -> ExternalWorkflowHandle[Any]:
    """The same; `workflow` is the run method of the other execution's class, for type checkers."""
    return ExternalWorkflowHandle(workflow_id, run_id)


def see_to(execution: uuid.UUID, seq: int) -> bool:
    """Deliver the message of a step and settle it; returns whether its execution has something to be fed."""
    steps = ExecutionStep.objects.filter(execution_id=execution, seq=seq, kind=StepKind.EXTERNAL)
    step = steps.first()
    if step is None or step.resolved_seq is not None:
        return False
    if step.status != StepStatus.PENDING:
        return True
    failure = ""
    try:
        _deliver(step)
    except (Conflict, NotFound) as error:
        failure = failures.encode(ApplicationError(str(error), type=NOT_FOUND, non_retryable=True))
    now = clock.now()
    steps.filter(status=StepStatus.PENDING).update(
        status=StepStatus.FAILED if failure else StepStatus.COMPLETED,
        failure=failure,
        completed_at=now,
        due=now + dt.timedelta(seconds=settings.DURABLE_LEASE),
    )
    return True


def _deliver(step: ExecutionStep) -> None:
    address: _Address = payloads.decode(step.options, _Address)

    def find() -> WorkflowExecution:
        target = deliveries.find(address.workflow_id, address.run_id)
        if target is None:
            raise NotFound(f"there is no execution of workflow id {address.workflow_id!r}")
        return target

    def send(target: WorkflowExecution) -> None:
        if step.name == "cancel":
            deliveries.cancel(target.id, payloads.decode(step.input)["reason"], step.idempotency_key)
        else:
            deliveries.signal(target.id, step.name.removeprefix("signal:"), step.input, step.idempotency_key)

    deliveries.reach(find, send)


async def _send(workflow_id: str, run_id: str, name: str, text: str) -> None:
    run = current.run()
    seq = run.ask(_EXTERNAL, name, options=payloads.encode_plain(_Address(workflow_id, run_id), "options"), input=text)
    run.see_to(seq)
    future = StepFuture(loop=run.loop).bind(run, seq)

    def resolve(fed: Fed) -> None:
        if future.done():
            return
        if fed.status == _COMPLETED:
            future.set_result(None)
        else:
            future.set_exception(failures.decode(fed.failure))

    run.wait_for(seq, resolve)
    await future


def _name_of(signal: Any) -> str:
    from automation.durable.handlers import HANDLER_ATTRIBUTE

    handler = getattr(signal, HANDLER_ATTRIBUTE, None)
    if handler is None or handler.name is None:
        raise TypeError(f"{signal!r} is no signal: decorate the method with @workflow.signal, or give its name")
    return str(handler.name)
