"""What workflow code calls, and how a class becomes a workflow; named as in the Temporal Python SDK.

Plain asyncio works and is durable: sleep, gather, wait, wait_for, timeout, Event, Lock, Queue, create_task, shield.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random as random_module
import uuid
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from automation.durable import current, registry
from automation.durable.chains import Chain, Group, Step, chain, group, step
from automation.durable.common import Priority, RetryPolicy
from automation.durable.current import in_workflow
from automation.durable.definitions import defn, init, run
from automation.durable.members import Activity, arguments, make_member, name_of, seconds
from automation.durable.options import StepOptions

__all__ = [
    "Chain",
    "Group",
    "Info",
    "LoggerAdapter",
    "Step",
    "chain",
    "default_queue",
    "defn",
    "execute_activity",
    "group",
    "in_workflow",
    "info",
    "init",
    "instance",
    "logger",
    "now",
    "random",
    "run",
    "sleep",
    "start_activity",
    "step",
    "time",
    "time_ns",
    "uuid4",
    "wait_condition",
]


# -- the run that is asking ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Info:
    """What a workflow can know about its execution."""

    workflow_id: str
    run_id: str
    workflow_type: str
    namespace: str
    task_queue: str
    start_time: dt.datetime
    workflow_start_time: dt.datetime
    attempt: int = 1


def info() -> Info:
    execution = current.run().execution
    return Info(
        workflow_id=execution.business_id or str(execution.id),
        run_id=str(execution.id),
        workflow_type=execution.definition,
        namespace=execution.namespace,
        task_queue=execution.queue,
        start_time=execution.created_at,
        workflow_start_time=execution.started_at,
    )


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
    return current.run().uuid4()


def random() -> random_module.Random:
    """A source of random numbers that is the same in every replay."""
    return current.run().random


# -- waiting -----------------------------------------------------------------------------------------------------------


async def sleep(duration: float | dt.timedelta, *, summary: str | None = None) -> None:
    """Sleep durably, for seconds or weeks: a row, no worker memory."""
    await asyncio.sleep(seconds(duration) or 0.0)


async def wait_condition(
    fn: Callable[[], bool], *, timeout: dt.timedelta | float | None = None, timeout_summary: str | None = None
) -> None:
    """Wait until `fn()` holds; it is asked after everything that happens. Raises asyncio.TimeoutError."""
    if fn():
        return
    await asyncio.wait_for(current.run().wait_condition(fn), seconds(timeout))


# -- activities --------------------------------------------------------------------------------------------------------


def start_activity(
    activity: Activity,
    arg: Any = registry._Missing,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: dt.timedelta | None = None,
    schedule_to_start_timeout: dt.timedelta | None = None,
    start_to_close_timeout: dt.timedelta | None = None,
    heartbeat_timeout: dt.timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: Any = None,
    activity_id: str | None = None,
    versioning_intent: Any = None,
    summary: str | None = None,
    event_groups: Any = None,
    priority: Priority = Priority(),  # noqa: B008
) -> asyncio.Future[Any]:
    """Ask for an activity and return at once; await what it returns for the result.

    At least one of start_to_close_timeout and schedule_to_close_timeout is required.
    """
    if start_to_close_timeout is None and schedule_to_close_timeout is None:
        raise ValueError(
            f"activity {name_of(activity)!r}: start_to_close_timeout or schedule_to_close_timeout is required"
        )
    options = StepOptions(
        start_to_close=seconds(start_to_close_timeout),
        schedule_to_close=seconds(schedule_to_close_timeout),
        schedule_to_start=seconds(schedule_to_start_timeout),
        heartbeat=seconds(heartbeat_timeout),
        retry=retry_policy,
        summary=summary or "",
    )
    member = make_member(activity, arguments(arg, args), options, task_queue, priority, result_type)
    return current.run().activity(
        member.name,
        member.input,
        queue=member.queue,
        priority=member.priority,
        options=member.options,
        result_hint=member.result_hint,
    )


async def execute_activity(activity: Activity, arg: Any = registry._Missing, **options: Any) -> Any:
    """Run an activity and wait for its result; the options are those of `start_activity`. Raises ActivityError."""
    return await start_activity(activity, arg, **options)


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
