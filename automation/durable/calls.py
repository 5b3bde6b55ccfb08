"""Calling activities from workflow code; named as in the Temporal Python SDK.

The `_class` forms take a class whose instances are called, the `_method` forms a method as it stands on its class.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from automation.durable import current, registry
from automation.durable.common import Priority, RetryPolicy
from automation.durable.futures import ActivityCancellationType, ActivityHandle
from automation.durable.local_activities import LocalActivity
from automation.durable.members import Activity, arguments, make_member, name_of, seconds, signature_of
from automation.durable.options import StepOptions


class ActivityConfig(TypedDict, total=False):
    """The options of `start_activity`, for code that keeps them in one place."""

    task_queue: str | None
    schedule_to_close_timeout: dt.timedelta | None
    schedule_to_start_timeout: dt.timedelta | None
    start_to_close_timeout: dt.timedelta | None
    heartbeat_timeout: dt.timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    versioning_intent: Any
    summary: str | None
    priority: Priority


class LocalActivityConfig(TypedDict, total=False):
    """The options of `start_local_activity`."""

    schedule_to_close_timeout: dt.timedelta | None
    schedule_to_start_timeout: dt.timedelta | None
    start_to_close_timeout: dt.timedelta | None
    retry_policy: RetryPolicy | None
    local_retry_threshold: dt.timedelta | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None


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
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: Any = None,
    summary: str | None = None,
    event_groups: Any = None,
    priority: Priority = Priority(),  # noqa: B008
) -> ActivityHandle:
    """Ask for an activity and return at once; await the handle for the result, or cancel it.

    At least one of start_to_close_timeout and schedule_to_close_timeout is required.
    """
    _check_limits(activity, start_to_close_timeout, schedule_to_close_timeout)
    options = StepOptions(
        start_to_close=seconds(start_to_close_timeout),
        schedule_to_close=seconds(schedule_to_close_timeout),
        schedule_to_start=seconds(schedule_to_start_timeout),
        heartbeat=seconds(heartbeat_timeout),
        retry=retry_policy,
        summary=summary or "",
        cancellation=ActivityCancellationType(cancellation_type or 0).name,
        activity_id=activity_id or "",
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


@signature_of(start_activity)
async def execute_activity(activity: Activity, arg: Any = registry._Missing, **options: Any) -> Any:
    """Run an activity and wait for its result; the options are those of `start_activity`. Raises ActivityError."""
    return await start_activity(activity, arg, **options)


@signature_of(start_activity, without=("result_type",))
def start_activity_method(activity: Activity, arg: Any = registry._Missing, **options: Any) -> ActivityHandle:
    """`start_activity` of a method, as it stands on its class."""
    return start_activity(activity, arg, **options)


@signature_of(start_activity, without=("result_type",))
async def execute_activity_method(activity: Activity, arg: Any = registry._Missing, **options: Any) -> Any:
    """`execute_activity` of a method, as it stands on its class."""
    return await start_activity(activity, arg, **options)


@signature_of(start_activity, without=("result_type",))
def start_activity_class(activity: type, arg: Any = registry._Missing, **options: Any) -> ActivityHandle:
    """`start_activity` of a class whose instances are called."""
    return start_activity(_called(activity), arg, **options)


@signature_of(start_activity, without=("result_type",))
async def execute_activity_class(activity: type, arg: Any = registry._Missing, **options: Any) -> Any:
    """`execute_activity` of a class whose instances are called."""
    return await start_activity(_called(activity), arg, **options)


def start_local_activity(
    activity: Activity,
    arg: Any = registry._Missing,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    schedule_to_close_timeout: dt.timedelta | None = None,
    schedule_to_start_timeout: dt.timedelta | None = None,
    start_to_close_timeout: dt.timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: dt.timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Any = None,
) -> ActivityHandle:
    """Have an activity run by the visit that advances this workflow: no message, no commit of its own.

    For what is short: it holds up whatever else the workflow waits for, and runs at least once. Waits between attempts
    from local_retry_threshold on (1 s) are timers. At least one of start_to_close_timeout and schedule_to_close_timeout
    is required.
    """
    _check_limits(activity, start_to_close_timeout, schedule_to_close_timeout)
    options = StepOptions(
        start_to_close=seconds(start_to_close_timeout),
        schedule_to_close=seconds(schedule_to_close_timeout),
        retry=retry_policy,
        summary=summary or "",
        activity_id=activity_id or "",
        threshold=seconds(local_retry_threshold),
    )
    member = make_member(activity, arguments(arg, args), options, None, 0, result_type)
    return LocalActivity(current.run(), member)


@signature_of(start_local_activity)
async def execute_local_activity(activity: Activity, arg: Any = registry._Missing, **options: Any) -> Any:
    """Run a local activity and wait for its result; the options are those of `start_local_activity`."""
    return await start_local_activity(activity, arg, **options)


@signature_of(start_local_activity, without=("result_type",))
def start_local_activity_method(activity: Activity, arg: Any = registry._Missing, **options: Any) -> ActivityHandle:
    """`start_local_activity` of a method, as it stands on its class."""
    return start_local_activity(activity, arg, **options)


@signature_of(start_local_activity, without=("result_type",))
async def execute_local_activity_method(activity: Activity, arg: Any = registry._Missing, **options: Any) -> Any:
    """`execute_local_activity` of a method, as it stands on its class."""
    return await start_local_activity(activity, arg, **options)


@signature_of(start_local_activity, without=("result_type",))
def start_local_activity_class(activity: type, arg: Any = registry._Missing, **options: Any) -> ActivityHandle:
    """`start_local_activity` of a class whose instances are called."""
    return start_local_activity(_called(activity), arg, **options)


@signature_of(start_local_activity, without=("result_type",))
async def execute_local_activity_class(activity: type, arg: Any = registry._Missing, **options: Any) -> Any:
    """`execute_local_activity` of a class whose instances are called."""
    return await start_local_activity(_called(activity), arg, **options)


def _check_limits(activity: Activity, *limits: dt.timedelta | None) -> None:
    if all(limit is None for limit in limits):
        raise ValueError(
            f"activity {name_of(activity)!r}: start_to_close_timeout or schedule_to_close_timeout is required"
        )


def _called(activity: type) -> Callable[..., Any]:
    call = getattr(activity, "__call__", None)  # noqa: B004
    if not isinstance(activity, type) or call is None or registry.activity_definition(call) is None:
        raise TypeError(f"{activity!r} is no class whose __call__ is decorated with @activity.defn")
    return call  # type: ignore[no-any-return]
