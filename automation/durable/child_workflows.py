"""Starting child workflows from workflow code; named as in the Temporal Python SDK."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from automation.durable import continuing, current, failures, payloads, registry, starts
from automation.durable.attributes import TypedSearchAttributes
from automation.durable.children import ChildOptions, parse
from automation.durable.common import Priority, RetryPolicy, WorkflowIDReusePolicy
from automation.durable.definitions import definition_of
from automation.durable.exceptions import (
    CancelledChildWorkflowError,
    CancelledError,
    ChildWorkflowError,
    RetryState,
    WorkflowAlreadyStartedError,
)
from automation.durable.external import send_signal
from automation.durable.futures import StepFuture
from automation.durable.members import arguments, number_of, seconds, signature_of
from automation.durable.outcomes import Fed
from automation.durable.registry import UnknownName, WorkflowDefinition
from automation.durable.run_options import RunOptions
from automation.durable.starts import NewExecution
from automation.models import StepKind, StepStatus
from automation.models.ids import uuid7

_CHILD = str(StepKind.CHILD)
_COMPLETED = str(StepStatus.COMPLETED)
_FAILED = str(StepStatus.FAILED)


class ParentClosePolicy(enum.IntEnum):
    """What the end of the parent means for a child."""

    UNSPECIFIED = 0
    TERMINATE = 1  # it ends at once
    ABANDON = 2  # it goes on
    REQUEST_CANCEL = 3  # it is asked to end


class ChildWorkflowCancellationType(enum.IntEnum):
    """What cancelling a child means for the parent's code."""

    ABANDON = 0  # leave it alone, and go on as cancelled
    TRY_CANCEL = 1  # ask it to end, and go on as cancelled at once
    WAIT_CANCELLATION_COMPLETED = 2  # ask it to end, and wait for its end
    WAIT_CANCELLATION_REQUESTED = 3  # ask it to end, and go on as cancelled once that is recorded


class ChildWorkflowConfig(TypedDict, total=False):
    """The options of `start_child_workflow`, for code that keeps them in one place."""

    id: str | None
    task_queue: str | None
    cancellation_type: ChildWorkflowCancellationType
    parent_close_policy: ParentClosePolicy
    execution_timeout: dt.timedelta | None
    run_timeout: dt.timedelta | None
    task_timeout: dt.timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: Any
    versioning_intent: Any
    static_summary: str | None
    static_details: str | None
    priority: Priority


class ChildWorkflowHandle(StepFuture):
    """A child that has started: await it for its result, signal it, or cancel it."""

    _id: str
    _first_run_id: str
    _workflow: str
    _hint: Any = Any
    _cancellation = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
    _cancel_asked = False

    @property
    def id(self) -> str:
        """The child's workflow id."""
        return self._id

    @property
    def first_execution_run_id(self) -> str | None:
        """The id of the child's first run, whatever runs follow."""
        return self._first_run_id

    async def signal(self, signal: Any, arg: Any = registry._Missing, *, args: Sequence[Any] = ()) -> None:
        """Send the child a signal, by name or by its method; returns when its inbox has it."""
        await send_signal(self._id, "", signal, arguments(arg, args))

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        kind = self._cancellation
        if kind == ChildWorkflowCancellationType.ABANDON:
            self._run.abandon_step(self._seq)
        else:
            if self._cancel_asked:
                return True
            written = self._run.cancel_child(self._seq)
            if written and kind == ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED:
                self._cancel_asked = True
                return True
            self._run.abandon_step(self._seq)
        self._cancel_asked = True
        if asyncio.current_task(self._run.loop) is None and not self._run.cancelling:
            return asyncio.Future.cancel(self, msg)
        self.set_exception(self._error(CancelledError(str(msg or "Cancelled")), RetryState.CANCEL_REQUESTED))
        self._log_traceback = False
        return True

    def _resolve(self, fed: Fed) -> None:
        if self.done():
            return
        if fed.status == _COMPLETED:
            try:
                self.set_result(payloads.decode(fed.output, self._hint))
            except (TypeError, ValueError, ArithmeticError) as error:
                self.set_exception(payloads.PayloadError(f"result of child workflow {self._id!r}: {error}"))
            return
        cause = failures.decode(fed.failure) if fed.failure else CancelledError("Cancelled")
        if isinstance(cause, WorkflowAlreadyStartedError):
            self.set_exception(cause)
        else:
            state = RetryState.CANCEL_REQUESTED if isinstance(cause, CancelledError) else None
            self.set_exception(self._error(cause, state))

    def _error(self, cause: BaseException, state: RetryState | None) -> ChildWorkflowError:
        cancelled = isinstance(cause, CancelledError)
        make = CancelledChildWorkflowError if cancelled and self._cancel_asked else ChildWorkflowError
        error = make(
            "Child workflow cancelled" if cancelled else f"Child workflow {self._workflow} failed: {cause}",
            namespace=self._run.execution.namespace,
            workflow_id=self._id,
            run_id=self._first_run_id,
            workflow_type=self._workflow,
            initiated_event_id=self._seq,
            started_event_id=self._seq,
            retry_state=state,
        )
        error.__cause__ = cause
        return error


async def start_child_workflow(
    workflow: str | type | Callable[..., Any],
    arg: Any = registry._Missing,
    *,
    args: Sequence[Any] = (),
    id: str | None = None,
    task_queue: str | None = None,
    result_type: type | None = None,
    cancellation_type: ChildWorkflowCancellationType = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: dt.timedelta | None = None,
    run_timeout: dt.timedelta | None = None,
    task_timeout: dt.timedelta | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: RetryPolicy | None = None,
    cron_schedule: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: Any = None,
    versioning_intent: Any = None,
    static_summary: str | None = None,
    static_details: str | None = None,
    event_groups: Any = None,
    priority: Priority = Priority(),  # noqa: B008
    versioning_override: Any = None,
) -> ChildWorkflowHandle:
    """Start a child and return a handle to it; await that for its result.

    id: the child's workflow id; one that is the same in every replay where none is given. Raises
    WorkflowAlreadyStartedError where it is taken. The handle raises ChildWorkflowError, whose cause is why.
    """
    options = locals()
    handle, started = _ask(options, awaits_start=id is not None)
    if started is not None:
        await started
    return handle


@signature_of(start_child_workflow)
async def execute_child_workflow(workflow: Any, arg: Any = registry._Missing, **options: Any) -> Any:
    """Start a child and wait for its result; the options are those of `start_child_workflow`."""
    defaults = {name: default for name, default in _DEFAULTS.items() if name not in options}
    if unknown := set(options) - set(_DEFAULTS):
        raise TypeError(f"execute_child_workflow has no option {sorted(unknown)[0]!r}; it has {', '.join(_DEFAULTS)}")
    handle, _ = _ask({"workflow": workflow, "arg": arg, **defaults, **options}, awaits_start=False)
    return await handle


_DEFAULTS: dict[str, Any] = dict(start_child_workflow.__kwdefaults__ or {})


def _ask(options: Mapping[str, Any], *, awaits_start: bool) -> tuple[ChildWorkflowHandle, asyncio.Future[None] | None]:
    run = current.run()
    name, definition = _named(options["workflow"])
    chosen = options["id"]
    child_id = chosen or str(run.uuid4())
    first_run = uuid7()
    cancellation = ChildWorkflowCancellationType(options["cancellation_type"])
    policy = ParentClosePolicy(options["parent_close_policy"]) or ParentClosePolicy.TERMINATE
    stated = ChildOptions(child_id, first_run, cancellation.name, policy.name, awaits_start)
    text = payloads.encode(list(arguments(options["arg"], options["args"])), f"arguments of workflow {name!r}")
    seq = run.ask(_CHILD, name, options=stated.dump(), input=text)
    run.has_children = True
    if (command := run.commands.get(seq)) is not None:
        command.child = _new(run, seq, name, text, stated, chosen is None, options)
        starts.check(command.child)
    elif (known := run.known(seq)) is not None:
        stated = parse(known.options)
    handle = ChildWorkflowHandle(loop=run.loop)
    handle.bind(run, seq)
    handle._id, handle._first_run_id, handle._workflow = child_id, str(stated.run), name
    handle._hint = options["result_type"] or (definition.result_hint if definition is not None else Any)
    handle._cancellation = cancellation
    run.wait_for(seq, handle._resolve)
    if not awaits_start:
        return handle, None
    started: asyncio.Future[None] = StepFuture(loop=run.loop).bind(run, seq)

    def answer(fed: Fed) -> None:
        if fed.status == _FAILED:
            run.abandon_step(seq)
        if started.done():
            return
        if fed.status == _FAILED and isinstance(error := failures.decode(fed.failure), WorkflowAlreadyStartedError):
            started.set_exception(error)
        else:
            started.set_result(None)

    run.answer_at_once(seq, answer)
    return handle, started


def _new(
    run: Any, seq: int, name: str, text: str, stated: ChildOptions, id_is_ours: bool, options: Mapping[str, Any]
) -> NewExecution:
    attributes = options["search_attributes"]
    if isinstance(attributes, TypedSearchAttributes):
        attributes = {pair.key.name: pair.value for pair in attributes}
    if options["cron_schedule"]:
        continuing.next_cron(options["cron_schedule"], run.now())  # which says what is wrong with it
    return NewExecution(
        name,
        raw_input=text,
        id=stated.run,
        business_id=stated.id,
        id_is_ours=id_is_ours,
        id_reuse_policy=WorkflowIDReusePolicy(options["id_reuse_policy"]),
        queue=options["task_queue"] or run.execution.queue,
        priority=number_of(options["priority"]) or run.execution.priority,
        parent_id=run.execution_id,
        parent_seq=seq,
        memo=options["memo"],
        search_attributes=attributes,
        options=RunOptions(
            execution_timeout=seconds(options["execution_timeout"]),
            run_timeout=seconds(options["run_timeout"]),
            task_timeout=seconds(options["task_timeout"]),
            retry=options["retry_policy"],
            cron=options["cron_schedule"],
            parent_close=stated.close,
            summary=options["static_summary"] or "",
            details=options["static_details"] or "",
        ),
    )


def _named(workflow: Any) -> tuple[str, WorkflowDefinition | None]:
    """The name of a workflow; and its definition, where this process knows it: a child may be another worker's."""
    if isinstance(workflow, str):
        try:
            return workflow, registry.workflow(workflow)
        except UnknownName:
            return workflow, None
    definition = definition_of(workflow)
    return definition.name, definition
