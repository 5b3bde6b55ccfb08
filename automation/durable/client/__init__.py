"""Starting and steering executions from outside; named as in the Temporal Python SDK.

    client = await Client.connect()
    handle = await client.start_workflow(OrderWorkflow.run, order, id="order-4711")
    await handle.signal(OrderWorkflow.approve)
    result = await handle.result()

`SyncClient` (or `client.sync`) is the same for views, commands and shells: its methods return instead of being awaited.
"""

from automation.durable.client.activity_handles import AsyncActivityHandle, SyncActivityHandle
from automation.durable.client.core import Client, SyncClient
from automation.durable.client.handles import SyncWorkflowHandle, WorkflowHandle
from automation.durable.client.listing import WorkflowExecutionIterator
from automation.durable.client.starting import WithStartWorkflowOperation
from automation.durable.client.update_handles import SyncUpdateHandle, WorkflowUpdateHandle
from automation.durable.client.views import (
    QueryRejectCondition,
    WaitTimeoutError,
    WorkflowContinuedAsNewError,
    WorkflowExecution,
    WorkflowExecutionCount,
    WorkflowExecutionCountAggregationGroup,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.histories import WorkflowHistory
from automation.durable.schedules.handles import (
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionResult,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleInfo,
    ScheduleListDescription,
    ScheduleUpdate,
    ScheduleUpdateInput,
    SyncScheduleHandle,
)
from automation.durable.schedules.specs import (
    Schedule,
    ScheduleAction,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)

__all__ = [
    "Schedule",
    "ScheduleAction",
    "ScheduleActionStartWorkflow",
    "ScheduleBackfill",
    "ScheduleCalendarSpec",
    "ScheduleIntervalSpec",
    "ScheduleOverlapPolicy",
    "SchedulePolicy",
    "ScheduleRange",
    "ScheduleSpec",
    "ScheduleState",
    "ScheduleActionExecutionStartWorkflow",
    "ScheduleActionResult",
    "ScheduleAlreadyRunningError",
    "ScheduleDescription",
    "ScheduleHandle",
    "ScheduleInfo",
    "ScheduleListDescription",
    "ScheduleUpdate",
    "ScheduleUpdateInput",
    "SyncScheduleHandle",
    "AsyncActivityHandle",
    "Client",
    "QueryRejectCondition",
    "SyncActivityHandle",
    "SyncClient",
    "SyncUpdateHandle",
    "SyncWorkflowHandle",
    "WaitTimeoutError",
    "WithStartWorkflowOperation",
    "WorkflowContinuedAsNewError",
    "WorkflowExecution",
    "WorkflowExecutionCount",
    "WorkflowExecutionCountAggregationGroup",
    "WorkflowExecutionDescription",
    "WorkflowExecutionIterator",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
    "WorkflowUpdateFailedError",
    "WorkflowUpdateHandle",
    "WorkflowUpdateStage",
]
