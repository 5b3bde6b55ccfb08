"""Decorators for ported code: what is logged of workflows and activities, and the database around an activity.

They stack with each other and with `workflow.defn` and `activity.defn`, above them as well as below. A `name` is what
the log calls the thing; what it is known as is said by `defn`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, overload

from asgiref.sync import sync_to_async
from django.db import connections

from automation import clock, secrets
from automation.durable import activity, current, payloads, workflow
from automation.durable.definitions import RUN_ATTRIBUTE
from automation.durable.registry import ACTIVITY_ATTRIBUTE, ActivityDefinition

Class = TypeVar("Class", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

MAX_LOGGED = 2_000
"""Characters of a result that are logged."""


@overload
def monitored_workflow(cls: Class) -> Class: ...
@overload
def monitored_workflow(*, name: str | None = None) -> Callable[[Class], Class]: ...
def monitored_workflow(cls: Class | None = None, *, name: str | None = None) -> Class | Callable[[Class], Class]:
    """Log the beginning and the end of each execution of a workflow class, once, however often it is replayed."""

    def attach(target: Class) -> Class:
        methods = [key for key, value in inspect.getmembers(target) if getattr(value, RUN_ATTRIBUTE, False)]
        if len(methods) != 1:
            raise ValueError(
                f"{target.__qualname__} must have exactly one @workflow.run method to be monitored, and has "
                f"{len(methods)}"
            )
        setattr(target, methods[0], _monitored_run(getattr(target, methods[0]), name or target.__name__))
        return target

    return attach if cls is None else attach(cls)


def _monitored_run(run: Callable[..., Any], label: str) -> Callable[..., Any]:
    @functools.wraps(run)
    async def monitored(*args: Any, **options: Any) -> Any:
        started = current.run().timestamp
        workflow.logger.info("workflow %s started", label)
        try:
            result = await run(*args, **options)
        except asyncio.CancelledError:
            workflow.logger.info("workflow %s was cancelled after %s", label, _since(started))
            raise
        except Exception as error:
            workflow.logger.warning("workflow %s failed after %s: %s", label, _since(started), error)
            raise
        workflow.logger.info("workflow %s completed after %s", label, _since(started))
        return result

    return monitored


def _since(started: float) -> str:
    return f"{current.run().timestamp - started:.3f} s"


@overload
def monitored_activity(fn: Function) -> Function: ...
@overload
def monitored_activity(*, name: str | None = None) -> Callable[[Function], Function]: ...
def monitored_activity(
    fn: Function | None = None, *, name: str | None = None
) -> Function | Callable[[Function], Function]:
    """Log the beginning and the end of each attempt of an activity, with its duration."""

    def attach(function: Function) -> Function:
        label = name or function.__name__

        def begin() -> float:
            activity.logger.info("activity %s started, attempt %s", label, _attempt())
            return clock.timestamp()

        def end(started: float, error: BaseException | None) -> None:
            took = clock.timestamp() - started
            if error is None:
                activity.logger.info("activity %s completed after %.3f s", label, took)
            elif not isinstance(error, activity.CompleteAsync):
                activity.logger.warning(
                    "activity %s failed after %.3f s: %s: %s", label, took, type(error).__name__, error
                )

        return _around(function, begin, end)

    return attach if fn is None else attach(fn)


def _attempt() -> int:
    return activity.info().attempt if activity.in_activity() else 1


def django_activity(function: Function) -> Function:
    """Run an activity that uses the ORM with usable database connections: one that broke before, such as by a restart
    of the database, is replaced. For plain functions and for async ones, which use Django's async interface."""
    return _around(function, _renew_connections, lambda _begun, _error: None)


def _renew_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.in_atomic_block and not connection.is_usable():
            connection.close()


@overload
def log_activity_result(fn: Function) -> Function: ...
@overload
def log_activity_result(*, level: int = logging.INFO) -> Callable[[Function], Function]: ...
def log_activity_result(
    fn: Function | None = None, *, level: int = logging.INFO
) -> Function | Callable[[Function], Function]:
    """Log what an activity returns. What sits under a key that contains one of `secrets.SENSITIVE_WORDS` is masked."""

    def attach(function: Function) -> Function:
        def log(result: Any) -> None:
            activity.logger.log(level, "activity %s returned %s", function.__name__, loggable(result))

        return _with_result(function, log)

    return attach if fn is None else attach(fn)


def loggable(value: Any) -> str:
    """A value as it may be logged: as JSON types, secrets masked, cut where it is long."""
    try:
        plain = payloads.decode(payloads.encode(value, "result"))
    except payloads.PayloadError:
        return f"a {type(value).__name__}"
    text = str(secrets.masked(plain))
    return text if len(text) <= MAX_LOGGED else f"{text[:MAX_LOGGED]}… ({len(text):,} characters)"


def _around(function: Function, begin: Callable[[], Any], end: Callable[[Any, BaseException | None], None]) -> Function:
    """`function` with something before and after; plain stays plain and async stays async."""
    wrapper: Callable[..., Any]
    if inspect.iscoroutinefunction(function):

        async def around_async(*args: Any, **options: Any) -> Any:
            begun = await sync_to_async(begin)()
            try:
                result = await function(*args, **options)
            except (Exception, asyncio.CancelledError, activity.CompleteAsync) as error:
                end(begun, error)
                raise
            end(begun, None)
            return result

        wrapper = around_async
    else:

        def around(*args: Any, **options: Any) -> Any:
            begun = begin()
            try:
                result = function(*args, **options)
            except (Exception, activity.CompleteAsync) as error:
                end(begun, error)
                raise
            end(begun, None)
            return result

        wrapper = around
    return _stacked(function, wrapper)


def _with_result(function: Function, see: Callable[[Any], None]) -> Function:
    wrapper: Callable[..., Any]
    if inspect.iscoroutinefunction(function):

        async def seeing_async(*args: Any, **options: Any) -> Any:
            result = await function(*args, **options)
            see(result)
            return result

        wrapper = seeing_async
    else:

        def seeing(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            see(result)
            return result

        wrapper = seeing
    return _stacked(function, wrapper)


def _stacked(function: Function, wrapper: Callable[..., Any]) -> Function:
    functools.update_wrapper(wrapper, function)
    definition = getattr(function, ACTIVITY_ATTRIBUTE, None)
    if isinstance(definition, ActivityDefinition):  # `defn` is below: what is registered calls the wrapper
        setattr(wrapper, ACTIVITY_ATTRIBUTE, replace(definition, function=wrapper))
    return wrapper  # type: ignore[return-value]
