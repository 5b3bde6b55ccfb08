"""What workflow code calls, and how a class becomes a workflow; named as in the Temporal Python SDK.

Plain asyncio works and is durable: sleep, gather, wait, wait_for, timeout, Event, Lock, Queue, create_task, shield.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import logging
import random as random_module
import uuid
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from django.conf import settings

from automation.durable import payloads, registry
from automation.durable.common import Priority, RetryPolicy
from automation.durable.loop import DurableLoop
from automation.durable.options import StepOptions
from automation.durable.registry import WORKFLOW_ATTRIBUTE, WorkflowDefinition, type_hints
from automation.durable.replay import CanvasMember, Run

Class = TypeVar("Class", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

RUN_ATTRIBUTE = "__durable_run__"
INIT_ATTRIBUTE = "__durable_init__"

Activity = str | Callable[..., Any]


# -- definitions -------------------------------------------------------------------------------------------------------


@overload
def defn(cls: Class) -> Class: ...
@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Callable[[Class], Class]: ...
def defn(
    cls: Class | None = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Class | Callable[[Class], Class]:
    """Make a class with one `@workflow.run` method a workflow, known as `name` (the class's own by default).

    failure_exception_types: exceptions that fail the execution; others park it until the code is mended.
    """

    def attach(target: Class) -> Class:
        methods = [key for key, value in inspect.getmembers(target) if getattr(value, RUN_ATTRIBUTE, False)]
        if len(methods) != 1:
            raise ValueError(
                f"{target.__qualname__} must have exactly one @workflow.run method, and has {len(methods)}"
            )
        arguments, result = type_hints(inspect.unwrap(getattr(target, methods[0])), skip_first=True)
        definition = WorkflowDefinition(
            name=name or target.__name__,
            cls=target,
            run=methods[0],
            place=f"{target.__module__}.{target.__qualname__}",
            takes_input_in_init=hasattr(vars(target).get("__init__"), INIT_ATTRIBUTE),
            argument_hints=arguments,
            result_hint=result,
            failure_exception_types=tuple(failure_exception_types),
        )
        setattr(target, WORKFLOW_ATTRIBUTE, definition)
        return target

    return attach if cls is None else attach(cls)


def run(fn: Function) -> Function:
    """Mark the method that is the workflow."""
    if not inspect.iscoroutinefunction(fn):
        raise ValueError(f"{fn.__qualname__} must be 'async def' to be a workflow's run method")
    setattr(fn, RUN_ATTRIBUTE, True)
    return fn


def init(init_fn: Function) -> Function:
    """Mark an `__init__` that takes the same arguments as the run method."""
    if init_fn.__name__ != "__init__":
        raise ValueError("@workflow.init belongs on __init__")
    setattr(init_fn, INIT_ATTRIBUTE, True)
    return init_fn


# -- the run that is asking ----------------------------------------------------------------------------------------


def _run() -> Run:
    loop = asyncio._get_running_loop()
    if not isinstance(loop, DurableLoop):
        raise RuntimeError("not in a workflow: call this from workflow code")
    return loop.run_of


def in_workflow() -> bool:
    """Whether the calling code is workflow code."""
    return isinstance(asyncio._get_running_loop(), DurableLoop)


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
    execution = _run().execution
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
    return _run().instance


def now() -> dt.datetime:
    """The history's time, aware, in UTC: the same in every replay."""
    return _run().now()


def time() -> float:
    """The history's time in seconds since the Unix epoch."""
    return _run().timestamp


def time_ns() -> int:
    return int(_run().timestamp * 1e9)


def uuid4() -> uuid.UUID:
    """A UUID that is the same in every replay."""
    return _run().uuid4()


def random() -> random_module.Random:
    """A source of random numbers that is the same in every replay."""
    return _run().random


# -- waiting -----------------------------------------------------------------------------------------------------------


async def sleep(duration: float | dt.timedelta, *, summary: str | None = None) -> None:
    """Sleep durably, for seconds or weeks: a row, no worker memory."""
    await asyncio.sleep(_seconds(duration) or 0.0)


async def wait_condition(
    fn: Callable[[], bool], *, timeout: dt.timedelta | float | None = None, timeout_summary: str | None = None
) -> None:
    """Wait until `fn()` holds; it is asked after everything that happens. Raises asyncio.TimeoutError."""
    if fn():
        return
    await asyncio.wait_for(_run().wait_condition(fn), _seconds(timeout))


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
            f"activity {_name_of(activity)!r}: start_to_close_timeout or schedule_to_close_timeout is required"
        )
    options = StepOptions(
        start_to_close=_seconds(start_to_close_timeout),
        schedule_to_close=_seconds(schedule_to_close_timeout),
        schedule_to_start=_seconds(schedule_to_start_timeout),
        heartbeat=_seconds(heartbeat_timeout),
        retry=retry_policy,
        summary=summary or "",
    )
    member = _member(activity, _arguments(arg, args), options, task_queue, priority, result_type)
    return _run().activity(
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


# -- canvases: ours ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One member of a chain or a group; made by `step`."""

    member: CanvasMember


@dataclass(frozen=True)
class Group:
    """Members that run in parallel and are joined once; await it, or put it into a chain."""

    members: tuple[Step, ...]
    return_exceptions: bool = False

    def __await__(self) -> Any:
        return _await_canvas([self], self.return_exceptions, flat=True).__await__()


@dataclass(frozen=True)
class Chain:
    """Members that run one after the other; await it."""

    members: tuple[Step | Group, ...]
    return_exceptions: bool = False

    def __await__(self) -> Any:
        return _await_canvas(self.members, self.return_exceptions, flat=False).__await__()


def step(
    activity: Activity,
    *args: Any,
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: dt.timedelta | None = None,
    start_to_close_timeout: dt.timedelta | None = None,
    heartbeat_timeout: dt.timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    priority: int | Priority = 0,
    start_delay: dt.timedelta | None = None,
    stop_on_failure: bool = True,
    summary: str | None = None,
) -> Step:
    """A member of `chain` or `group`.

    start_delay: waited from when its turn comes. stop_on_failure: in a chain, its failure skips what follows.
    """
    options = StepOptions(
        start_to_close=_seconds(start_to_close_timeout),
        schedule_to_close=_seconds(schedule_to_close_timeout),
        heartbeat=_seconds(heartbeat_timeout),
        retry=retry_policy,
        start_delay=_seconds(start_delay) or 0.0,
        stop=stop_on_failure,
        summary=summary or "",
    )
    return Step(_member(activity, args, options, task_queue, priority, result_type))


def group(*members: Step, return_exceptions: bool = False) -> Group:
    """Run the members in parallel, as one Celery chord, and join once. Results in order; a failed member raises its
    ActivityError, or comes back as a value with `return_exceptions`."""
    return Group(members, return_exceptions)


def chain(*members: Step | Group, return_exceptions: bool = False) -> Chain:
    """Run the members one after the other, as one Celery chain; a group among them runs in parallel. A failed member
    skips those after it (see `stop_on_failure`), and raises, or comes back as a value with `return_exceptions`."""
    return Chain(members, return_exceptions)


async def _await_canvas(members: Iterable[Step | Group], return_exceptions: bool, *, flat: bool) -> list[Any]:
    stages = [
        [single.member for single in member.members] if isinstance(member, Group) else [member.member]
        for member in members
    ]
    stages = [stage for stage in stages if stage]
    if not stages:
        return []
    outcomes = iter(await _run().canvas(stages))
    results: list[Any] = []
    first: BaseException | None = None
    for stage, member in zip(stages, [m for m in members if not isinstance(m, Group) or m.members], strict=True):
        values = []
        for _ in stage:
            value, error = next(outcomes)
            first = first or error
            values.append(value if error is None else error)
        if flat:
            return _raise_first(values, first, return_exceptions)
        results.append(values if isinstance(member, Group) else values[0])
    return _raise_first(results, first, return_exceptions)


def _raise_first(results: list[Any], error: BaseException | None, return_exceptions: bool) -> list[Any]:
    if error is not None and not return_exceptions:
        raise error
    return results


# -- logging -----------------------------------------------------------------------------------------------------------


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the execution's id, and says nothing while its history is replayed."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        if in_workflow():
            execution = _run().execution
            msg = f"[{execution.definition} {execution.id}] {msg}"
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:
        return not (in_workflow() and _run().replaying) and super().isEnabledFor(level)


logger = LoggerAdapter(logging.getLogger("automation.durable.workflow"), {})


# -- inside ------------------------------------------------------------------------------------------------------------


def _seconds(value: dt.timedelta | float | None) -> float | None:
    return value.total_seconds() if isinstance(value, dt.timedelta) else value


def _arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    if arg is registry._Missing:
        return args
    if args:
        raise TypeError("give either 'arg' or 'args', not both")
    return (arg,)


def _name_of(activity: Activity) -> str:
    if isinstance(activity, str):
        return activity
    definition = registry.activity_definition(activity)
    if definition is None:
        raise TypeError(f"{activity!r} is not an activity: decorate it with @activity.defn, or give its name")
    return definition.name


def _member(
    activity: Activity,
    args: Sequence[Any],
    options: StepOptions,
    task_queue: str | None,
    priority: int | Priority,
    result_type: type | None,
) -> CanvasMember:
    name = _name_of(activity)
    definition = registry.find_activity(name) if isinstance(activity, str) else registry.activity_definition(activity)
    hint = result_type or (definition.result_hint if definition is not None else Any)
    if isinstance(priority, Priority):
        priority = 0 if priority.priority_key is None else max(0, 4 - priority.priority_key)
    queue = task_queue or (definition.queue if definition else None) or _run().execution.queue
    if definition is not None and definition.rate_limit:
        options = replace(options, alone=True)
    place = f"arguments of activity {name!r}"
    return CanvasMember(name, payloads.encode(list(args), place), queue, priority, options, hint)


def default_queue() -> str:
    """The queue of executions that name none."""
    return str(settings.WORKFLOW_TASK_QUEUE)
