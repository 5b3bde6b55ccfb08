"""What workflow code calls, and how a class becomes a workflow; named as in the Temporal Python SDK.

Plain asyncio works and is durable: sleep, gather, wait, wait_for, timeout, Event, Lock, Queue, create_task, shield.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random as random_module
import uuid
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

from automation.durable import current
from automation.durable.calls import (
    ActivityConfig,
    LocalActivityConfig,
    execute_activity,
    execute_activity_class,
    execute_activity_method,
    execute_local_activity,
    execute_local_activity_class,
    execute_local_activity_method,
    start_activity,
    start_activity_class,
    start_activity_method,
    start_local_activity,
    start_local_activity_class,
    start_local_activity_method,
)
from automation.durable.chains import Chain, Group, Step, chain, group, step
from automation.durable.child_workflows import (
    ChildWorkflowCancellationType,
    ChildWorkflowConfig,
    ChildWorkflowHandle,
    ParentClosePolicy,
    execute_child_workflow,
    start_child_workflow,
)
from automation.durable.current import in_workflow
from automation.durable.definitions import defn, init, run
from automation.durable.exceptions import ContinueAsNewError, NondeterminismError, ReadOnlyContextError
from automation.durable.external import (
    ExternalWorkflowHandle,
    get_external_workflow_handle,
    get_external_workflow_handle_for,
)
from automation.durable.facts import (
    ContinueAsNewVersioningBehavior,
    EventGroup,
    VersioningIntent,
    create_event_group,
    get_current_details,
    is_failure_exception,
    new_random,
    random_seed,
    register_random_seed_callback,
    set_current_details,
    uuid7,
)
from automation.durable.futures import ActivityCancellationType, ActivityHandle
from automation.durable.handlers import HandlerUnfinishedPolicy, query, signal, update
from automation.durable.handling import (
    PayloadConverter,
    all_handlers_finished,
    current_update_info,
    get_dynamic_query_handler,
    get_dynamic_signal_handler,
    get_dynamic_update_handler,
    get_query_handler,
    get_signal_handler,
    get_update_handler,
    payload_converter,
    set_dynamic_query_handler,
    set_dynamic_signal_handler,
    set_dynamic_update_handler,
    set_query_handler,
    set_signal_handler,
    set_update_handler,
)
from automation.durable.info import Info, ParentInfo, RootInfo, info
from automation.durable.members import seconds
from automation.durable.memos import memo, memo_value, upsert_memo, upsert_search_attributes
from automation.durable.messages import (
    UnfinishedSignalHandlersWarning,
    UnfinishedUpdateHandlersWarning,
    UpdateInfo,
)
from automation.durable.patches import deprecate_patch, patched
from automation.durable.successors import (
    cancellation_reason,
    continue_as_new,
    get_last_completion_result,
    get_last_failure,
    has_last_completion_result,
)
from automation.durable.unsafe import unsafe
from automation.durable.waiting import as_completed, wait, wait_condition

__all__ = [
    "ActivityCancellationType",
    "ActivityConfig",
    "ActivityHandle",
    "Chain",
    "ChildWorkflowCancellationType",
    "ChildWorkflowConfig",
    "ChildWorkflowHandle",
    "ContinueAsNewError",
    "ContinueAsNewVersioningBehavior",
    "EventGroup",
    "ExternalWorkflowHandle",
    "Group",
    "HandlerUnfinishedPolicy",
    "Info",
    "LocalActivityConfig",
    "LoggerAdapter",
    "NondeterminismError",
    "ParentClosePolicy",
    "ParentInfo",
    "PayloadConverter",
    "ReadOnlyContextError",
    "RootInfo",
    "Step",
    "UnfinishedSignalHandlersWarning",
    "UnfinishedUpdateHandlersWarning",
    "UpdateInfo",
    "VersioningIntent",
    "all_handlers_finished",
    "as_completed",
    "cancellation_reason",
    "chain",
    "continue_as_new",
    "create_event_group",
    "current_update_info",
    "default_queue",
    "defn",
    "deprecate_patch",
    "execute_activity",
    "execute_activity_class",
    "execute_activity_method",
    "execute_child_workflow",
    "execute_local_activity",
    "execute_local_activity_class",
    "execute_local_activity_method",
    "get_current_details",
    "get_dynamic_query_handler",
    "get_dynamic_signal_handler",
    "get_dynamic_update_handler",
    "get_external_workflow_handle",
    "get_external_workflow_handle_for",
    "get_last_completion_result",
    "get_last_failure",
    "get_query_handler",
    "get_signal_handler",
    "get_update_handler",
    "group",
    "has_last_completion_result",
    "in_workflow",
    "info",
    "init",
    "instance",
    "is_failure_exception",
    "logger",
    "memo",
    "memo_value",
    "new_random",
    "now",
    "patched",
    "payload_converter",
    "query",
    "random",
    "random_seed",
    "register_random_seed_callback",
    "run",
    "set_current_details",
    "set_dynamic_query_handler",
    "set_dynamic_signal_handler",
    "set_dynamic_update_handler",
    "set_query_handler",
    "set_signal_handler",
    "set_update_handler",
    "signal",
    "sleep",
    "start_activity",
    "start_activity_class",
    "start_activity_method",
    "start_child_workflow",
    "start_local_activity",
    "start_local_activity_class",
    "start_local_activity_method",
    "step",
    "time",
    "time_ns",
    "unsafe",
    "update",
    "upsert_memo",
    "upsert_search_attributes",
    "uuid4",
    "uuid7",
    "wait",
    "wait_condition",
]


# -- the run that is asking ----------------------------------------------------------------------------------------


def instance() -> Any:
    """The workflow object."""
    return current.run().instance


def now() -> dt.datetime:
    """The history's time, aware, in UTC: the same in every replay."""
    return current.run().now()


def time() -> float:
    """The history's time in seconds since the Unix epoch."""
    return current.run().timestamp


def time_ns() -> int:
    return int(current.run().timestamp * 1e9)


def uuid4() -> uuid.UUID:
    """A UUID that is the same in every replay."""
    run = current.run()
    run.check_writable("use random numbers")
    return run.uuid4()


def random() -> random_module.Random:
    """A source of random numbers that is the same in every replay."""
    run = current.run()
    run.check_writable("use random numbers")
    return run.random


# -- waiting -----------------------------------------------------------------------------------------------------------


async def sleep(duration: float | dt.timedelta, *, summary: str | None = None, event_groups: Any = None) -> None:
    """Sleep durably, for seconds or weeks: a row, no worker memory."""
    await asyncio.sleep(seconds(duration) or 0.0)


# -- logging -----------------------------------------------------------------------------------------------------------


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the execution's id, and says nothing while its history is replayed."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        if in_workflow():
            execution = current.run().execution
            msg = f"[{execution.definition} {execution.id}] {msg}"
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:
        return not (in_workflow() and current.run().replaying) and super().isEnabledFor(level)


logger = LoggerAdapter(logging.getLogger("automation.durable.workflow"), {})


def default_queue() -> str:
    """The queue of executions that name none."""
    return str(settings.WORKFLOW_TASK_QUEUE)
