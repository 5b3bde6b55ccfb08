"""Handles of updates, and waiting for what an update comes to."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from automation.durable import deliveries, payloads, registry, updates
from automation.durable.client.calls import Asynchronous, Pauses, Synchronous, Waits, waiting
from automation.durable.client.views import WaitTimeoutError, WorkflowUpdateFailedError, WorkflowUpdateStage
from automation.durable.handlers import UPDATE, result_hint_of
from automation.errors import NotFound
from automation.models import WorkflowExecution


class UpdateHandleCore:
    """An update that was sent."""

    def __init__(
        self,
        id: str,
        workflow_id: str,
        workflow_run_id: str | None = None,
        *,
        result_type: Any = None,
        seq: int | None = None,
    ) -> None:
        self._id = id
        self._workflow_id = workflow_id
        self._workflow_run_id = workflow_run_id
        self._result_type = result_type
        self._seq = seq

    @property
    def id(self) -> str:
        return self._id

    @property
    def workflow_id(self) -> str:
        return self._workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        return self._workflow_run_id

    @waiting
    def result(
        self,
        *,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Waits[Any]:
        """Wait for its result. Raises WorkflowUpdateFailedError when it is refused or fails."""
        row = deliveries.find(self._workflow_id, self._workflow_run_id or "")
        if row is None:
            raise NotFound(f"there is no workflow {self._workflow_id!r}")
        if self._seq is None:
            step = updates.find(row.id, self._id)
            if step is None:
                raise NotFound(f"workflow {self._workflow_id!r} has no update with the id {self._id!r}")
            self._seq = step.seq
            if self._result_type is None:
                execution = WorkflowExecution.objects.only("definition").get(id=row.id)
                self._result_type = hint_of(step.name, UPDATE, execution)
        return (yield from update_result(row.id, self._seq, self._id, self._result_type, rpc_timeout))


class WorkflowUpdateHandle(Asynchronous, UpdateHandleCore):
    """An update's handle for async code."""


class SyncUpdateHandle(Synchronous, UpdateHandleCore):
    """An update's handle for plain code."""


def wait_for_update(
    execution: uuid.UUID, seq: int, update_id: str, stage: WorkflowUpdateStage, timeout: dt.timedelta | None = None
) -> Waits[updates.UpdateState]:
    """Wait until an update has come so far. Raises WorkflowUpdateFailedError when it was refused, or cut off."""
    pauses = Pauses(timeout.total_seconds() if timeout is not None else None)
    while True:
        state = updates.look(execution, seq, update_id)
        if state.refused and state.error is not None:
            raise WorkflowUpdateFailedError(state.error) from state.error
        if state.stage >= stage:
            return state
        if pauses.expired:
            raise WaitTimeoutError(f"the update has not come to {stage.name} in time; it is {state.stage.name}")
        yield pauses.next()


def update_result(
    execution: uuid.UUID, seq: int, update_id: str, hint: Any, timeout: dt.timedelta | None = None
) -> Waits[Any]:
    """Wait for an update's result."""
    state = yield from wait_for_update(execution, seq, update_id, WorkflowUpdateStage.COMPLETED, timeout)
    if state.error is not None:
        raise WorkflowUpdateFailedError(state.error) from state.error
    return payloads.decode(state.output, hint if hint is not None else Any)


def hint_of(handler: str | Callable[..., Any], kind: str, row: WorkflowExecution) -> Any:
    """What the handler's annotation says that it returns: of the method that was given, else of the definition's."""
    if not isinstance(handler, str):
        return result_hint_of(handler)
    definition = registry.find_workflow(row.definition)
    if definition is None:
        return Any
    table = definition.handlers.get(kind, {})
    known = table.get(handler) or table.get(None)
    return known.result_hint if known is not None else Any
