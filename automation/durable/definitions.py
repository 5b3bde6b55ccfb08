"""How a class becomes a workflow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from automation.durable import handlers, registry
from automation.durable.registry import (
    DYNAMIC,
    RAW_ARGUMENTS,
    WORKFLOW_ATTRIBUTE,
    WorkflowDefinition,
    check_dynamic,
    type_hints,
)

Class = TypeVar("Class", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

RUN_ATTRIBUTE = "__durable_run__"
INIT_ATTRIBUTE = "__durable_init__"


@overload
def defn(cls: Class) -> Class: ...
@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
    versioning_behavior: Any = None,
) -> Callable[[Class], Class]: ...
def defn(
    cls: Class | None = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
    versioning_behavior: Any = None,
) -> Class | Callable[[Class], Class]:
    """Make a class with one `@workflow.run` method a workflow, known as `name` (the class's own by default).

    failure_exception_types: exceptions that fail the execution; others park it until the code is mended.
    dynamic: it runs every workflow whose name no other one has; `info().workflow_type` says which. Its run method takes
    one argument, all of theirs as a list of RawValue.
    """

    def attach(target: Class) -> Class:
        methods = [key for key, value in inspect.getmembers(target) if getattr(value, RUN_ATTRIBUTE, False)]
        if len(methods) != 1:
            raise ValueError(
                f"{target.__qualname__} must have exactly one @workflow.run method, and has {len(methods)}"
            )
        arguments, result = type_hints(inspect.unwrap(getattr(target, methods[0])), skip_first=True)
        if dynamic:
            check_dynamic(f"workflow {target.__qualname__}", name, arguments)
            arguments = RAW_ARGUMENTS
        definition = WorkflowDefinition(
            name=DYNAMIC if dynamic else name or target.__name__,
            cls=target,
            run=methods[0],
            place=f"{target.__module__}.{target.__qualname__}",
            takes_input_in_init=hasattr(vars(target).get("__init__"), INIT_ATTRIBUTE),
            argument_hints=arguments,
            result_hint=result,
            failure_exception_types=tuple(failure_exception_types),
            handlers=handlers.collect(target),
        )
        setattr(target, WORKFLOW_ATTRIBUTE, definition)
        registry.declare(target, definition.name)
        if methods[0] in vars(target):  # so that `definition_of(Class.run)` knows the class
            setattr(vars(target)[methods[0]], WORKFLOW_ATTRIBUTE, definition)
        return target

    return attach if cls is None else attach(cls)


def definition_of(workflow: str | type | Callable[..., Any]) -> WorkflowDefinition:
    """The definition that a workflow's class, its run method or its registered name stands for. One given as a class or
    a method becomes registered. Raises UnknownName, or TypeError for what is no workflow."""
    if isinstance(workflow, str):
        return registry.workflow(workflow)
    definition = carried_by(workflow)
    registered = registry.register_workflow(definition.cls)
    return definition if definition.name == DYNAMIC else registered


def carried_by(workflow: type | Callable[..., Any]) -> WorkflowDefinition:
    """The definition that a workflow's class, or its run method, carries; nothing becomes registered. Raises TypeError
    for what is no workflow."""
    definition = getattr(workflow, WORKFLOW_ATTRIBUTE, None)
    if not isinstance(definition, WorkflowDefinition):
        raise TypeError(
            f"{workflow!r} is not a workflow: give a class that is decorated with @workflow.defn, its @workflow.run "
            "method, or a registered name"
        )
    return definition


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
