"""Handles of workflows: what one holds of an execution."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from automation.durable import (
    continuing,
    control,
    deliveries,
    forks,
    histories,
    inbox,
    payloads,
    queries,
    registry,
    updates,
)
from automation.durable.client.calls import Asynchronous, Pauses, Synchronous, Waits, both, waiting
from automation.durable.client.update_handles import (
    SyncUpdateHandle,
    WorkflowUpdateHandle,
    hint_of,
    update_result,
    wait_for_update,
)
from automation.durable.client.views import (
    STATUSES,
    QueryRejectCondition,
    WaitTimeoutError,
    WorkflowContinuedAsNewError,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateStage,
    outcome,
)
from automation.durable.handlers import QUERY, SIGNAL, UPDATE, name_of, result_hint_of
from automation.durable.histories import WorkflowHistory
from automation.durable.members import arguments
from automation.errors import Conflict, NotFound
from automation.models import ENDED_STATUSES, ExecutionStatus, WorkflowExecution

Update = TypeVar("Update")
"""The update handle of the same face."""

_WAITS_FOR_A_PERSON = (ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
_OVER = tuple(status for status in ENDED_STATUSES if status not in _WAITS_FOR_A_PERSON)
_LIGHT = ("id", "namespace", "business_id", "definition", "status", "first_run_id", "error_message", "started_at")


class HandleCore(Generic[Update]):
    """A workflow id, or one run of it.

    run_id: what is asked of the handle is asked of this run; of the open one, else the newest, where it is None.
    result_run_id: the run whose result, or whose follower's, `result` waits for.
    first_execution_run_id: `cancel` and `terminate` refuse a run of another chain.
    """

    _update_handle: Callable[..., Update]

    def __init__(
        self,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> None:
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self._id!r}, run_id={self._run_id!r})"

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        return self._first_execution_run_id

    # -- its end -------------------------------------------------------------------------------------------------------

    @waiting
    def result(
        self,
        *,
        follow_runs: bool = True,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Waits[Any]:
        """Wait for its end, and return its result.

        Raises WorkflowFailureError with how it ended otherwise; WorkflowContinuedAsNewError where the run was continued
        and `follow_runs` is off; WaitTimeoutError when `rpc_timeout` is over. One that waits for a person (parked, dead
        letter) has not ended, and is waited for.
        """
        row = self._find(self._result_run_id)
        pauses = Pauses(rpc_timeout.total_seconds() if rpc_timeout is not None else None)
        while True:
            row = WorkflowExecution.objects.get(id=row.id)
            if row.status in _OVER:
                following = continuing.next_run(row)
                if following is None:
                    return outcome(row, self._hint(row))
                if not follow_runs:
                    if row.status == ExecutionStatus.CONTINUED:
                        raise WorkflowContinuedAsNewError(str(following.id))
                    return outcome(row, self._hint(row))
                row = following
                continue
            if pauses.expired:
                why = f": {row.error_message}" if row.error_message else ""
                raise WaitTimeoutError(f"workflow {self._id!r} has not ended in time; it is {row.status}{why}")
            yield pauses.next()

    # -- messages to it ------------------------------------------------------------------------------------------------

    @both
    def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        args: Sequence[Any] = (),
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Send a signal, by its method or its name. It is in the inbox when this returns, or when the caller's
        transaction commits. Raises Conflict when the execution has ended."""
        name = name_of(signal, SIGNAL)
        text = _encode(arg, args, f"arguments of signal {name!r}")

        def send(row: WorkflowExecution) -> None:
            if inbox.signal(row.id, name, text) is None:
                row.refresh_from_db(fields=["status"])
                raise Conflict(f"workflow {self._id!r} has ended already ({row.status}); it takes no signals")

        deliveries.reach(self._find, send)

    @both
    def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        args: Sequence[Any] = (),
        result_type: Any = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Any:
        """Ask its code about its state, by the query's method or name; nothing is changed.

        Raises WorkflowQueryFailedError, WorkflowQueryRejectedError, and Conflict where its code cannot be asked.
        """
        name = name_of(query, QUERY)
        row = self._find()
        _check_rejected(row, reject_condition)
        try:
            text = queries.ask(row.id, name, _encode(arg, args, f"arguments of query {name!r}"))
        except queries.QueryFailed as error:
            raise WorkflowQueryFailedError(str(error)) from error
        return payloads.decode(text, result_type or hint_of(query, QUERY, row))

    @waiting
    def start_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: Any = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Waits[Update]:
        """Send an update, and wait until it is accepted or completed; returns its handle.

        id: makes it one update, however often it is sent. Raises WorkflowUpdateFailedError when it is refused.
        """
        handle = self._put_update(update, _args(arg, args), id, result_type)
        run = uuid.UUID(handle.workflow_run_id)
        yield from wait_for_update(run, handle._seq, handle.id, wait_for_stage, rpc_timeout)
        return cast(Update, handle)

    @waiting
    def execute_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: Any = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Waits[Any]:
        """Send an update, and wait for its result. Raises WorkflowUpdateFailedError when it is refused or fails."""
        handle = self._put_update(update, _args(arg, args), id, result_type)
        run = uuid.UUID(handle.workflow_run_id)
        return (yield from update_result(run, handle._seq, handle.id, handle._result_type, rpc_timeout))

    def get_update_handle(self, id: str, *, workflow_run_id: str | None = None, result_type: Any = None) -> Update:
        """A handle to an update that was sent before."""
        return self._update_handle(id, self._id, workflow_run_id or self._run_id, result_type=result_type)

    def get_update_handle_for(
        self, update: Callable[..., Any], id: str, *, workflow_run_id: str | None = None
    ) -> Update:
        """The same, with the result's type from the update's method."""
        return self.get_update_handle(id, workflow_run_id=workflow_run_id, result_type=result_hint_of(update))

    def _put_update(self, update: Any, args: Sequence[Any], id: str | None, result_type: Any) -> Any:
        name, update_id = name_of(update, UPDATE), id or str(uuid.uuid4())
        text = payloads.encode(list(args), f"arguments of update {name!r}")
        row, seq = deliveries.reach(self._find, lambda row: updates.put(row.id, name, text, update_id, is_new=not id))
        hint = result_type or hint_of(update, UPDATE, row)
        return self._update_handle(update_id, self._id, str(row.id), result_type=hint, seq=seq)

    # -- control -------------------------------------------------------------------------------------------------------

    @both
    def cancel(
        self,
        *,
        reason: str = "",
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Ask it to end; its code may clean up."""
        deliveries.reach(self._of_chain, lambda row: control.cancel(row.id, reason))

    @both
    def terminate(
        self,
        *args: Any,
        reason: str | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """End it at once; its code is not asked. args: details, kept in the reason."""
        details = f" {payloads.encode(list(args))}" if args else ""
        text = f"{reason or ''}{details}".strip()
        deliveries.reach(self._of_chain, lambda row: control.terminate(row.id, text))

    @both
    def pause(self) -> None:
        """Ours: start nothing new; what runs finishes."""
        control.pause(self._find().id)

    @both
    def resume(self) -> None:
        """Ours: let a paused execution go on."""
        control.resume(self._find().id)

    @both
    def retry(self) -> None:
        """Ours: run a failed execution again from its failed steps; a parked one goes on."""
        control.retry(self._find().id)

    @both
    def restart(self, *, from_step: int | None = None, input: Sequence[Any] | None = None) -> str:
        """Ours: start a new execution of the same workflow, with a copy of the steps before `from_step` (a seq), and
        with other arguments where `input` gives them; returns its run id."""
        return str(forks.restart(self._find().id, from_step=from_step, args=input))

    # -- looking -------------------------------------------------------------------------------------------------------

    @both
    def describe(
        self,
        *,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> WorkflowExecutionDescription:
        """What there is to know about it."""
        return WorkflowExecutionDescription.of(WorkflowExecution.objects.get(id=self._find().id))

    @both
    def fetch_history(
        self,
        *,
        event_filter_type: Any = None,
        skip_archival: bool = False,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> WorkflowHistory:
        """Its history: the execution and its steps."""
        return histories.export(WorkflowExecution.objects.get(id=self._find().id))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _find(self, run_id: str | None = None) -> WorkflowExecution:
        wanted = run_id or self._run_id or ""
        row = deliveries.find(self._id, wanted)
        if row is None:
            raise NotFound(f"there is no workflow {self._id!r}" + (f" with the run {wanted}" if wanted else ""))
        return WorkflowExecution.objects.only(*_LIGHT).get(id=row.id)

    def _of_chain(self) -> WorkflowExecution:
        row = self._find()
        first = self._first_execution_run_id
        if first is not None and self._run_id is None and str(row.first_run_id or row.id) != first:
            raise NotFound(f"workflow {self._id!r} has no open run that began with {first}: another was started since")
        return row

    def _hint(self, row: WorkflowExecution) -> Any:
        if self._result_type is not None:
            return self._result_type
        definition = registry.find_workflow(row.definition)
        return definition.result_hint if definition is not None else Any


class WorkflowHandle(Asynchronous, HandleCore[WorkflowUpdateHandle]):
    """A workflow's handle for async code."""

    _update_handle = WorkflowUpdateHandle


class SyncWorkflowHandle(Synchronous, HandleCore[SyncUpdateHandle]):
    """A workflow's handle for plain code: views, commands, shells."""

    _update_handle = SyncUpdateHandle


def _args(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    return arguments(arg, args)


def _encode(arg: Any, args: Sequence[Any], place: str) -> str:
    return payloads.encode(list(_args(arg, args)), place)


def _check_rejected(row: WorkflowExecution, condition: QueryRejectCondition | None) -> None:
    status = STATUSES[row.status]
    is_open = status is WorkflowExecutionStatus.RUNNING
    refused = (condition is QueryRejectCondition.NOT_OPEN and not is_open) or (
        condition is QueryRejectCondition.NOT_COMPLETED_CLEANLY
        and not is_open
        and status is not WorkflowExecutionStatus.COMPLETED
    )
    if refused:
        raise WorkflowQueryRejectedError(status)
