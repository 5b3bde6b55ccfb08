"""One implementation, two faces: what is written once here is awaited by async code and called by plain code.

A method of the client is a plain function, or a generator that yields how many seconds to wait before it looks at the
rows again. On the synchronous side it runs at once; on the asynchronous side each step runs in Django's thread for
synchronous work (`sync_to_async`), and the waiting between them is asyncio's.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from asgiref.sync import sync_to_async

from automation.durable import hooks

P = ParamSpec("P")
T = TypeVar("T")

Waits = Generator[float, None, T]
"""A core that yields seconds to wait, and returns its result."""

POLL_FIRST = 0.005
POLL_GROWTH = 1.5
POLL_MAX = 1.0
"""Seconds between two looks at the rows; the waits grow, so that a long wait costs next to nothing."""


class Synchronous:
    """Its methods run when they are called."""


class Asynchronous:
    """Its methods are awaited."""


class both(Generic[P, T]):
    """Make a core a method of both faces."""

    def __init__(self, core: Callable[Concatenate[Any, P], Waits[T] | T]) -> None:
        self._core = core
        functools.update_wrapper(self, core)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        bound = functools.partial(self._core, instance)
        run = run_synchronously if isinstance(instance, Synchronous) else run_asynchronously
        return functools.wraps(self._core)(functools.partial(run, bound))

    def __call__(self, instance: Any, *args: P.args, **options: P.kwargs) -> Any:
        return self.__get__(instance, type(instance))(*args, **options)


class waiting(both[P, T]):
    """The same for a core that is a generator."""

    def __init__(self, core: Callable[Concatenate[Any, P], Waits[T]]) -> None:
        super().__init__(core)


def run_synchronously(core: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run a core in this thread."""
    result: Any = core(*args, **options)
    if not inspect.isgenerator(result):
        return result
    while True:
        try:
            pause: Any = next(result)
        except StopIteration as end:
            return end.value
        hooks.wait(pause)


async def run_asynchronously(core: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run a core in Django's thread for synchronous work, waiting on the caller's loop."""
    result: Any = await sync_to_async(core)(*args, **options)
    if not inspect.isgenerator(result):
        return result
    try:
        while True:
            ended, value = await sync_to_async(_advance)(cast("Waits[Any]", result))
            if ended:
                return value
            if not hooks.waiting_is_replaced():
                await asyncio.sleep(value)
    finally:
        result.close()


def _advance(core: Generator[float, None, Any]) -> tuple[bool, Any]:
    """Look once. Where a hook makes things happen, it does so right after the look: between the two, somebody else who
    waits might have had all of it happen, and there would be nothing left to wait for."""
    try:
        pause = next(core)
    except StopIteration as end:  # which cannot travel through a future
        return True, end.value
    if hooks.waiting_is_replaced():
        hooks.wait(pause)
    return False, pause


class Pauses:
    """Growing waits, up to a limit in seconds after which `expired` holds."""

    def __init__(self, limit: float | None = None) -> None:
        self._next = POLL_FIRST
        self._left = limit

    @property
    def expired(self) -> bool:
        return self._left is not None and self._left <= 0

    def next(self) -> float:
        pause = self._next if self._left is None else min(self._next, self._left)
        self._next = min(self._next * POLL_GROWTH, POLL_MAX)
        if self._left is not None:
            self._left -= pause
        return pause
