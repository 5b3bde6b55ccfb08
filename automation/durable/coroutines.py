"""The event loop that async activities run on: one a thread, in a worker process that runs one activity at a time.

What Django's async interface does (`aget`, `acreate`, `sync_to_async`) runs in this very thread while the loop stands
still, instead of in a helper thread: on the connection that plain activities use, which is looked after between visits,
and within the transaction of a `@transactional_activity`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync


class ActivityLoop(asyncio.SelectorEventLoop):
    """An event loop that can stand still for a call in its own thread."""

    def __init__(self) -> None:
        super().__init__()
        self._owner = threading.get_ident()
        self.stands_still = False

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        # A plain function that runs in this thread and itself calls `async_to_sync` asks here first. It would wait for
        # ever for a loop that waits for it; told no, it makes a loop of its own.
        if threading.get_ident() == self._owner and (self.stands_still or not self.is_running()):
            raise RuntimeError("this loop stands still")
        return super().call_soon_threadsafe(callback, *args, context=context)


class _Inline(concurrent.futures.Executor):
    """Runs what is submitted at once, in the thread that submits it, as code outside of any event loop."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        if isinstance(loop, ActivityLoop):
            loop.stands_still = True
        try:
            future.set_result(fn(*args, **options))
        except BaseException as error:
            future.set_exception(error)
        finally:
            if isinstance(loop, ActivityLoop):
                loop.stands_still = False
            asyncio._set_running_loop(loop)
        return future


GRACE_SECONDS = 1.0
"""How long a task that an activity has left behind may take to end when it is cancelled."""

Result = TypeVar("Result")

_loops = threading.local()
_inline = _Inline()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, on this thread's loop, which is kept: making one costs more than most activities."""
    loop = getattr(_loops, "loop", None)
    if loop is None or loop.is_closed():
        loop = _loops.loop = ActivityLoop()
    outer = getattr(AsyncToSync.executors, "current", None)
    AsyncToSync.executors.current = _inline
    try:
        return loop.run_until_complete(coroutine)
    finally:
        _end_tasks(loop)
        AsyncToSync.executors.current = outer


def close() -> None:
    """Close this thread's loop, if it has one: the thread is about to end."""
    loop = getattr(_loops, "loop", None)
    if loop is not None:
        loop.close()
        _loops.loop = None


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """What an activity has begun and not waited for ends with it: the loop is the next activity's, too."""
    if left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=GRACE_SECONDS))


def outside(function: Callable[..., Result], *args: Any, **options: Any) -> Result:
    """Call a function that uses the database, from wherever an activity is: on an event loop that would be refused."""
    if asyncio._get_running_loop() is None:
        return function(*args, **options)
    result: Result = _inline.submit(function, *args, **options).result()
    return result
