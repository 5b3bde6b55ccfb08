"""How methods of a workflow's class become handlers of signals, queries and updates."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from automation.durable.registry import type_hints

Function = TypeVar("Function", bound=Callable[..., Any])

HANDLER_ATTRIBUTE = "__durable_handler__"

SIGNAL, QUERY, UPDATE = "signal", "query", "update"


class HandlerUnfinishedPolicy(enum.Enum):
    """What to do about a handler that has not ended when its workflow does."""

    WARN_AND_ABANDON = 1
    ABANDON = 2


@dataclass(frozen=True)
class Handler:
    """A handler as its decorator, or a setter, describes it. `name` is None for a dynamic one, which gets the name and
    the arguments (RawValue each) of every message that no other handler takes."""

    kind: str
    name: str | None
    function: Callable[..., Any]
    is_async: bool
    argument_hints: tuple[Any, ...] = ()
    result_hint: Any = Any
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON
    description: str = ""
    validator: Callable[..., Any] | None = None
    is_method: bool = False  # of the workflow's class, and called on its object

    def call(self, instance: Any, args: Sequence[Any]) -> Any:
        return self.function(instance, *args) if self.is_method else self.function(*args)

    def check(self, instance: Any, args: Sequence[Any]) -> None:
        """Run the validator, which refuses by raising."""
        if self.validator is not None:
            self.validator(*((instance, *args) if self.is_method else args))


def of_function(
    kind: str,
    name: str | None,
    function: Callable[..., Any],
    *,
    method: bool = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
    validator: Callable[..., Any] | None = None,
) -> Handler:
    """Describe a function as a handler."""
    plain = inspect.unwrap(function)
    hints, result = type_hints(plain, skip_first=method)
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(plain)
    text = description if description is not None else " ".join(inspect.cleandoc(function.__doc__ or "").split())
    return Handler(kind, name, function, is_async, hints, result, unfinished_policy, text, validator, method)


def _attach(kind: str, fn: Function, name: str | None, dynamic: bool, **more: Any) -> Function:
    if name and dynamic:
        raise ValueError(f"@workflow.{kind}: give either a name or dynamic=True, not both")
    if dynamic:
        _check_dynamic(kind, fn, skip_first=True)
    handler = of_function(kind, None if dynamic else (name or fn.__name__), fn, method=True, **more)
    setattr(fn, HANDLER_ATTRIBUTE, handler)
    return fn


def _check_dynamic(kind: str, fn: Callable[..., Any], *, skip_first: bool) -> None:
    parameters = list(inspect.signature(inspect.unwrap(fn)).parameters.values())[1 if skip_first else 0 :]
    if len(parameters) != 2 or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise ValueError(
            f"{fn.__qualname__}: a dynamic {kind} handler takes (self, name: str, args: Sequence[RawValue])"
        )


@overload
def signal(fn: Function) -> Function: ...
@overload
def signal(
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Callable[[Function], Function]: ...
def signal(
    fn: Function | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Function | Callable[[Function], Function]:
    """Handle a signal: `def` or `async def`, named like the method unless `name` says otherwise. With `dynamic`, it
    takes every signal that no other handler does, as (name, args: Sequence[RawValue])."""

    def attach(target: Function) -> Function:
        more = {"unfinished_policy": unfinished_policy, "description": description}
        return _attach(SIGNAL, target, name, bool(dynamic), **more)

    return attach if fn is None else attach(fn)


@overload
def query(fn: Function) -> Function: ...
@overload
def query(
    *, name: str | None = None, dynamic: bool | None = False, description: str | None = None
) -> Callable[[Function], Function]: ...
def query(
    fn: Function | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    description: str | None = None,
) -> Function | Callable[[Function], Function]:
    """Answer a query. The method returns at once, changes nothing and asks for nothing durable."""

    def attach(target: Function) -> Function:
        return _attach(QUERY, target, name, bool(dynamic), description=description)

    return attach if fn is None else attach(fn)


@overload
def update(fn: Function) -> Any: ...
@overload
def update(
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Callable[[Function], Any]: ...
def update(
    fn: Function | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:
    """Handle an update: like a signal, with a result for the asker. `@the_method.validator` decorates a method with the
    same parameters that refuses by raising; a refused update leaves no trace in the history."""

    def attach(target: Function) -> Function:
        more = {"unfinished_policy": unfinished_policy, "description": description}
        _attach(UPDATE, target, name, bool(dynamic), **more)

        def validator(check: Function) -> Function:
            if inspect.iscoroutinefunction(inspect.unwrap(check)):
                raise ValueError(f"{check.__qualname__}: an update's validator is a plain 'def': it only looks")
            handler: Handler = getattr(target, HANDLER_ATTRIBUTE)
            setattr(target, HANDLER_ATTRIBUTE, replace(handler, validator=check))
            return check

        target.validator = validator  # type: ignore[attr-defined]
        return target

    return attach if fn is None else attach(fn)


def collect(cls: type) -> dict[str, dict[str | None, Handler]]:
    """The handlers of a class and its bases: kind → name (None: dynamic) → handler. Raises ValueError for two of one
    name, and for a method that overrides a handler without being decorated itself."""
    found: dict[str, dict[str | None, Handler]] = {SIGNAL: {}, QUERY: {}, UPDATE: {}}
    for key in dict.fromkeys(key for base in cls.__mro__ for key in vars(base)):
        definitions = [vars(base)[key] for base in cls.__mro__ if key in vars(base)]
        handler = getattr(definitions[0], HANDLER_ATTRIBUTE, None)
        if handler is None:
            for other in definitions[1:]:
                overridden = getattr(other, HANDLER_ATTRIBUTE, None)
                if isinstance(overridden, Handler):
                    raise ValueError(
                        f"{cls.__qualname__}.{key} overrides a {overridden.kind} handler: "
                        f"decorate it with @workflow.{overridden.kind}, too"
                    )
            continue
        table = found[handler.kind]
        if handler.name in table:
            shown = repr(handler.name) if handler.name is not None else "dynamic"
            raise ValueError(f"{cls.__qualname__} has two {handler.kind} handlers for {shown}: rename one")
        table[handler.name] = handler
    return found


def name_of(handler: str | Callable[..., Any], kind: str) -> str:
    """The name of a signal, query or update that is given by its method or by its name."""
    if isinstance(handler, str):
        return handler
    definition = getattr(handler, HANDLER_ATTRIBUTE, None)
    if not isinstance(definition, Handler) or definition.kind != kind:
        raise TypeError(f"{handler!r} is no {kind} handler: give a method decorated with @workflow.{kind}, or a name")
    if definition.name is None:
        raise TypeError(f"{handler!r} is a dynamic {kind} handler: give the {kind}'s name")
    return definition.name


def result_hint_of(handler: str | Callable[..., Any]) -> Any:
    """What the handler's annotation says that it returns; Any for a name."""
    definition = getattr(handler, HANDLER_ATTRIBUTE, None)
    return definition.result_hint if isinstance(definition, Handler) else Any


def check_setter(kind: str, handler: Callable[..., Any] | None, *, dynamic: bool) -> None:
    """Raise for what cannot be set as a handler at run time."""
    if handler is None:
        return
    if not callable(handler):
        raise TypeError(f"a {kind} handler must be callable, not {handler!r}")
    if dynamic:
        _check_dynamic(kind, handler, skip_first=False)


def known_names(table: Mapping[str | None, Any]) -> Sequence[str]:
    """The names in a table of handlers, sorted."""
    return sorted(name for name in table if name is not None)
