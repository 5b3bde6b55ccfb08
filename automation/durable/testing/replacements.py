"""Activities that a test puts in the place of the real ones."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from automation.durable import registry
from automation.durable.registry import ActivityDefinition, type_hints

Replacements = Mapping[str, Callable[..., Any]] | Iterable[Callable[..., Any]]


def install(activities: Replacements) -> None:
    """Have these functions run in place of the activities of those names.

    A mapping takes any callable, mocks too, plain or async, by name; in a sequence each carries `@activity.defn`, whose
    name counts. A function without annotations gets its arguments as the one that it replaces would.
    """
    if isinstance(activities, Mapping):
        for name, function in activities.items():
            registry.replace_activity(_replacement(name, function))
        return
    for function in activities:
        registry.replace_activity(registry.definition_for(function))


def _replacement(name: str, function: Callable[..., Any]) -> ActivityDefinition:
    if not callable(function):
        raise TypeError(f"activity {name!r}: expected a function, got {function!r}")
    original = registry.find_activity(name)
    base = original or ActivityDefinition(name=name, function=function)
    arguments, result = _hints(function)
    known = base.argument_hints
    merged = tuple(known[index] if hint is Any and index < len(known) else hint for index, hint in enumerate(arguments))
    return replace(
        base,
        function=function,
        place=f"the test's {getattr(function, '__qualname__', repr(function))}",
        is_async=_is_async(function),
        transactional=False,
        argument_hints=merged + known[len(merged) :],
        result_hint=base.result_hint if result is Any else result,
    )


def _hints(function: Callable[..., Any]) -> tuple[tuple[Any, ...], Any]:
    try:
        return type_hints(function, skip_first=False)
    except (TypeError, ValueError):  # a callable without a signature
        return (), Any


def _is_async(function: Callable[..., Any]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004 (an object whose call is async)
    return any(
        check(one) for check in (inspect.iscoroutinefunction, asyncio.iscoroutinefunction) for one in (function, called)
    )
