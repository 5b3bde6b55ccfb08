"""What is started: from the options of a start to the execution that they ask for."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from automation import clock
from automation.durable import attributes, continuing, registry, routing
from automation.durable.client.handles import SyncWorkflowHandle, WorkflowHandle
from automation.durable.common import Priority, RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from automation.durable.definitions import definition_of
from automation.durable.members import arguments, number_of, seconds
from automation.durable.run_options import RunOptions
from automation.durable.starts import NewExecution
from automation.models import WorkflowExecution

Handle = TypeVar("Handle", WorkflowHandle, SyncWorkflowHandle)


@dataclass
class WithStartWorkflowOperation:
    """A start that goes with an update; its options are those of `start_workflow`. After the call, `run_id` is the run
    that the update went to."""

    workflow: str | type | Callable[..., Any]
    arg: Any = registry._Missing
    args: Sequence[Any] = field(default=(), kw_only=True)
    id: str = field(kw_only=True)
    task_queue: str = field(default="", kw_only=True)
    id_conflict_policy: WorkflowIDConflictPolicy = field(kw_only=True)
    result_type: Any = field(default=None, kw_only=True)
    execution_timeout: dt.timedelta | None = field(default=None, kw_only=True)
    run_timeout: dt.timedelta | None = field(default=None, kw_only=True)
    task_timeout: dt.timedelta | None = field(default=None, kw_only=True)
    id_reuse_policy: WorkflowIDReusePolicy = field(default=WorkflowIDReusePolicy.ALLOW_DUPLICATE, kw_only=True)
    retry_policy: RetryPolicy | None = field(default=None, kw_only=True)
    cron_schedule: str = field(default="", kw_only=True)
    memo: Mapping[str, Any] | None = field(default=None, kw_only=True)
    search_attributes: Any = field(default=None, kw_only=True)
    static_summary: str | None = field(default=None, kw_only=True)
    static_details: str | None = field(default=None, kw_only=True)
    start_delay: dt.timedelta | None = field(default=None, kw_only=True)
    priority: Priority = field(default_factory=Priority, kw_only=True)
    versioning_override: Any = field(default=None, kw_only=True)
    stack_level: int = field(default=2, kw_only=True)
    run_id: str | None = field(default=None, init=False)

    @property
    def handle(self) -> SyncWorkflowHandle:
        """The workflow's handle for plain code, once the call was made."""
        return self._of(SyncWorkflowHandle)

    async def workflow_handle(self) -> WorkflowHandle:
        """The workflow's handle, once the call was made."""
        return self._of(WorkflowHandle)

    def _of(self, cls: type[Handle]) -> Handle:
        if self.run_id is None:
            raise RuntimeError("the workflow has not been started: give this to execute_update_with_start_workflow")
        return cls(self.id, result_run_id=self.run_id, result_type=self.result_type)


def new_execution(options: Mapping[str, Any]) -> tuple[NewExecution, Any]:
    """What to start, and the type of its result."""
    definition = definition_of(options["workflow"])
    if not isinstance(options["id"], str) or not options["id"]:
        raise ValueError(f"workflow {definition.name!r}: id must be a text that names it, such as 'order-4711'")
    new = NewExecution(
        definition.name,
        tuple(arguments(options["arg"], options["args"])),
        business_id=options["id"],
        queue=options["task_queue"] or routing.queue_of(definition),
        priority=number_of(options["priority"]),
        start_delay=options["start_delay"],
        # The first run, too, begins when its schedule comes.
        scheduled_for=continuing.next_cron(options["cron_schedule"], clock.now()) if options["cron_schedule"] else None,
        memo=options["memo"],
        search_attributes=attributes.to_row(options["search_attributes"]),
        id_reuse_policy=WorkflowIDReusePolicy(options["id_reuse_policy"]),
        id_conflict_policy=WorkflowIDConflictPolicy(options["id_conflict_policy"]),
        options=RunOptions(
            execution_timeout=seconds(options["execution_timeout"]),
            run_timeout=seconds(options["run_timeout"]),
            task_timeout=seconds(options["task_timeout"]),
            retry=options["retry_policy"],
            cron=options["cron_schedule"],
            summary=options["static_summary"] or "",
            details=options["static_details"] or "",
        ),
    )
    return new, definition.result_hint


def joining(new: NewExecution) -> NewExecution:
    """A signal with start goes to the execution that is open, unless its policies say otherwise."""
    unsaid = new.id_conflict_policy == WorkflowIDConflictPolicy.UNSPECIFIED
    if unsaid and new.id_reuse_policy != WorkflowIDReusePolicy.TERMINATE_IF_RUNNING:
        return replace(new, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING)
    return new


def first_run(execution: uuid.UUID) -> str:
    row = WorkflowExecution.objects.only("id", "first_run_id").get(id=execution)
    return str(row.first_run_id or row.id)
