"""Which workflows and activities there are, by name.

A decorator attaches a definition; this module collects them from the `workflows` and `activities` modules of every
installed app (their WORKFLOWS / ACTIVITIES lists where exported, else all that the module defines). A name that is
defined twice is refused, naming both places.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import threading
import typing
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from automation.durable.handlers import Handler


class _Missing:
    """Stands for an argument that was not given; None is a value."""


DYNAMIC = ""
"""The name of the workflow, or the activity, that takes every name which no other one has."""

SOME = 8
"""Names that a message gives of those that there are."""

RAW_ARGUMENTS: tuple[Any, ...] = (object(),)
"""Stands for the hints of a dynamic definition, which gets all arguments as one list of RawValue."""

WORKFLOW_ATTRIBUTE = "__durable_workflow__"
ACTIVITY_ATTRIBUTE = "__durable_activity__"


@dataclass(frozen=True)
class ActivityDefinition:
    """`function` is called with the decoded arguments; `place` is where it is defined, for messages."""

    name: str
    function: Callable[..., Any]
    queue: str | None = None
    rate_limit: str | None = None
    transactional: bool = False
    raises_when_cancelled: bool = True
    place: str = ""
    is_async: bool = False
    argument_hints: tuple[Any, ...] = ()
    result_hint: Any = Any


@dataclass(frozen=True)
class WorkflowDefinition:
    """`run` names the method to run. `handlers`: "signal", "query" or "update" → name (None: dynamic) → handler."""

    name: str
    cls: type
    run: str
    place: str = ""
    takes_input_in_init: bool = False
    argument_hints: tuple[Any, ...] = ()
    result_hint: Any = Any
    failure_exception_types: tuple[type[BaseException], ...] = ()
    handlers: Mapping[str, Mapping[str | None, Handler]] = field(default_factory=dict)


class UnknownName(ImproperlyConfigured):
    """A name that no definition has; the message suggests the nearest."""


class DuplicateName(ImproperlyConfigured):
    """Two definitions of one name."""


_workflows: dict[str, WorkflowDefinition] = {}
_activities: dict[str, ActivityDefinition] = {}
_declared: dict[str, weakref.WeakSet[type]] = {}
_discovered = False
_lock = threading.RLock()


def register_workflow(cls: type) -> WorkflowDefinition:
    """Make a class that carries `@workflow.defn` known; doing it again changes nothing."""
    definition = getattr(cls, WORKFLOW_ATTRIBUTE, None)
    if not isinstance(definition, WorkflowDefinition):
        raise ImproperlyConfigured(f"{cls!r} is not a workflow: decorate the class with @workflow.defn")
    known = _workflows.get(definition.name)
    if known is not None and known.cls is definition.cls:
        return known  # which may be a changed one
    return _register(_workflows, definition, "workflow")


def register_activity(function: Callable[..., Any]) -> ActivityDefinition:
    """Make a function that carries `@activity.defn` known; a bound method replaces the plain one."""
    definition = activity_definition(function)
    if definition is None:
        raise ImproperlyConfigured(f"{function!r} is not an activity: decorate the function with @activity.defn")
    return _register(_activities, definition, "activity")


def activity_definition(function: Callable[..., Any]) -> ActivityDefinition | None:
    """The definition that a function carries, or an object's `__call__`; None where there is none."""
    definition = getattr(function, ACTIVITY_ATTRIBUTE, None)
    if definition is None and not isinstance(function, type):
        # (noqa: what `__call__` carries is asked for, not whether there is one)
        definition = getattr(getattr(type(function), "__call__", None), ACTIVITY_ATTRIBUTE, None)  # noqa: B004
    return definition if isinstance(definition, ActivityDefinition) else None


def declare(cls: type, name: str) -> None:
    """Note that a class has been decorated as the workflow of that name."""
    _declared.setdefault(name, weakref.WeakSet()).add(cls)


def know(name: str) -> None:
    """Where no workflow of that name is registered, but one class has been decorated as such (its module has been
    imported, by a program that is no worker), register that."""
    if find_workflow(name) is None and len(found := list(_declared.get(name, ()))) == 1:
        register_workflow(found[0])


def workflow(name: str) -> WorkflowDefinition:
    """The workflow of that name. Raises UnknownName."""
    return _find(_workflows, name, "workflow")


def activity(name: str) -> ActivityDefinition:
    """The activity of that name. Raises UnknownName."""
    return _find(_activities, name, "activity")


def find_workflow(name: str) -> WorkflowDefinition | None:
    """The workflow of that name, or None where this process does not know it."""
    discover()
    return _workflows.get(name)


def find_activity(name: str) -> ActivityDefinition | None:
    """The activity of that name, or None where this process does not know it."""
    discover()
    return _activities.get(name)


def takes_any_activity() -> bool:
    """Whether there is a dynamic activity."""
    discover()
    return DYNAMIC in _activities


def workflows() -> list[WorkflowDefinition]:
    discover()
    return sorted((one for one in _workflows.values() if one.name != DYNAMIC), key=lambda definition: definition.name)


def activities() -> list[ActivityDefinition]:
    discover()
    return sorted((one for one in _activities.values() if one.name != DYNAMIC), key=lambda definition: definition.name)


def discover() -> None:
    """Collect the definitions of all installed apps, once."""
    global _discovered
    if _discovered:
        return
    with _lock:
        if _discovered:
            return
        for config in apps.get_app_configs():
            for name in (f"{config.name}.workflows", f"{config.name}.activities"):
                if importlib.util.find_spec(name) is None:
                    continue
                module = importlib.import_module(name)  # a small app has both kinds in one of them
                for cls in _exports(module, "WORKFLOWS", WORKFLOW_ATTRIBUTE):
                    register_workflow(cls)
                for function in _exports(module, "ACTIVITIES", ACTIVITY_ATTRIBUTE):
                    register_activity(function)
        _discovered = True


def definition_for(function: Callable[..., Any]) -> ActivityDefinition:
    """The definition that an activity's function, or bound method, carries. Raises TypeError where there is none."""
    definition = activity_definition(function)
    if definition is None:
        raise TypeError(
            f"{function!r} is not an activity: decorate it with @activity.defn(name=…), or give a mapping of "
            "names to functions"
        )
    return replace(definition, function=function)  # a bound method carries its plain function's


def replace_activity(definition: ActivityDefinition) -> None:
    """Make this definition the one of its name, whatever was there before. For tests, within `scoped`."""
    with _lock:
        _activities[definition.name] = definition


def replace_workflow(definition: WorkflowDefinition) -> None:
    """The same for a workflow."""
    with _lock:
        _workflows[definition.name] = definition


@contextlib.contextmanager
def scoped() -> Iterator[None]:
    """Forget, at the end, what was registered or replaced meanwhile. For tests."""
    discover()
    workflows_before, activities_before = dict(_workflows), dict(_activities)
    try:
        yield
    finally:
        with _lock:
            _workflows.clear()
            _workflows.update(workflows_before)
            _activities.clear()
            _activities.update(activities_before)


_covered: dict[tuple[str, str], list[WorkflowDefinition | ActivityDefinition | None]] = {}
"""By kind and name, what `added` has put in the place of what, from the first on."""


@contextlib.contextmanager
def added(
    workflows: Iterable[WorkflowDefinition] = (), activities: Iterable[ActivityDefinition] = ()
) -> Iterator[None]:
    """Make these definitions the ones of their names for so long; in whatever order such times begin and end, the
    latest that goes on holds."""
    discover()
    mine: list[tuple[str, dict[str, Any], Any]] = [
        *(("workflow", _workflows, definition) for definition in workflows),
        *(("activity", _activities, definition) for definition in activities),
    ]
    with _lock:
        for kind, table, definition in mine:
            _covered.setdefault((kind, definition.name), [table.get(definition.name)]).append(definition)
            table[definition.name] = definition
    try:
        yield
    finally:
        with _lock:
            for kind, table, definition in mine:
                layers = _covered[kind, definition.name]
                layers.pop(next(at for at, layer in enumerate(layers) if layer is definition))
                table[definition.name] = layers[-1]
                if layers[-1] is None:
                    del table[definition.name]
                if len(layers) == 1:
                    del _covered[kind, definition.name]


def check_dynamic(what: str, name: str | None, arguments: Sequence[Any]) -> None:
    """Refuse a dynamic definition that cannot be one."""
    if name:
        raise ValueError(f"{what}: give either a name or dynamic=True, not both")
    if len(arguments) != 1:
        raise ValueError(f"{what}: a dynamic one takes one argument, (args: Sequence[RawValue])")


def type_hints(function: Callable[..., Any], skip_first: bool) -> tuple[tuple[Any, ...], Any]:
    """The annotations of a function's positional parameters, and of its result; Any where there is none."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        hints = {}
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if skip_first:
        parameters = parameters[1:]
    return tuple(hints.get(parameter.name, Any) for parameter in parameters), hints.get("return", Any)


def _exports(module: ModuleType, list_name: str, attribute: str) -> Iterable[Any]:
    if hasattr(module, list_name):
        return list(getattr(module, list_name))
    return [
        value
        for value in vars(module).values()
        if attribute in getattr(value, "__dict__", {}) and getattr(value, "__module__", None) == module.__name__
    ]


Definition = typing.TypeVar("Definition", WorkflowDefinition, ActivityDefinition)


def _register(table: dict[str, Definition], definition: Definition, what: str) -> Definition:
    with _lock:
        known = table.get(definition.name)
        if known is not None and known.place != definition.place:
            raise DuplicateName(
                f"two {what} definitions are {f'named {definition.name!r}' if definition.name else 'dynamic'}: "
                f"{known.place} and {definition.place}; rename one"
            )
        table[definition.name] = definition
    return definition


def _some(table: Mapping[str, Any]) -> str:
    """The names that there are, or the first of many: the message is stored with each attempt that fails so."""
    names = sorted(name for name in table if name != DYNAMIC)
    more = len(names) - SOME
    if more <= 1:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:SOME])} and {more} more (manage.py list_workflows)"


def _find(table: dict[str, Definition], name: str, what: str) -> Definition:
    found = table.get(name)
    if found is None:
        discover()
        found = table.get(name)
    if found is None and name and (dynamic := table.get(DYNAMIC)) is not None:
        return replace(dynamic, name=name)
    if found is None:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are: {_some(table)}"
        raise UnknownName(f"there is no {what} named {name!r}{hint}")
    return found
