"""What workflow code says of a step it asks for, made ready to be written."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from automation.durable import current, payloads, registry
from automation.durable.common import Priority
from automation.durable.options import StepOptions
from automation.durable.outcomes import CanvasMember

Activity = str | Callable[..., Any]


def seconds(value: dt.timedelta | float | None) -> float | None:
    return value.total_seconds() if isinstance(value, dt.timedelta) else value


def arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    if arg is registry._Missing:
        return args
    if args:
        raise TypeError("give either 'arg' or 'args', not both")
    return (arg,)


def signature_of(
    source: Callable[..., Any], *, without: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have a function that hands its options on show those of `source`, but for some."""

    def attach(function: Callable[..., Any]) -> Callable[..., Any]:
        shown = inspect.signature(source)
        parameters = [parameter for name, parameter in shown.parameters.items() if name not in without]
        result = inspect.signature(function).return_annotation
        function.__signature__ = shown.replace(parameters=parameters, return_annotation=result)  # type: ignore[attr-defined]
        return function

    return attach


def number_of(priority: int | Priority) -> int:
    """A priority as rows have it: 0 is ordinary, more is more urgent."""
    if isinstance(priority, Priority):
        return 0 if priority.priority_key is None else max(0, 3 - priority.priority_key)
    return priority


def name_of(activity: Activity) -> str:
    if isinstance(activity, str):
        return activity
    definition = registry.activity_definition(activity)
    if definition is None:
        raise TypeError(f"{activity!r} is not an activity: decorate it with @activity.defn, or give its name")
    return definition.name


def make_member(
    activity: Activity,
    args: Sequence[Any],
    options: StepOptions,
    task_queue: str | None,
    priority: int | Priority,
    result_type: type | None,
) -> CanvasMember:
    name = name_of(activity)
    definition = registry.find_activity(name) if isinstance(activity, str) else registry.activity_definition(activity)
    hint = result_type or (definition.result_hint if definition is not None else Any)
    priority = number_of(priority)
    queue = task_queue or (definition.queue if definition else None) or current.run().execution.queue
    if definition is not None and definition.rate_limit:
        options = replace(options, alone=True)
    place = f"arguments of activity {name!r}"
    return CanvasMember(name, payloads.encode(list(args), place), queue, priority, options, hint)
