"""Waiting in workflow code: for a condition, and for some of several things."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from automation.durable import current
from automation.durable.members import seconds

T = TypeVar("T")


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: dt.timedelta | float | None = None,
    timeout_summary: str | None = None,
    event_groups: Any = None,
) -> None:
    """Wait until `fn()` holds; it is asked after everything that happens. Raises asyncio.TimeoutError."""
    run = current.run()
    run.check_writable("wait")
    if fn():
        return
    await asyncio.wait_for(run.wait_condition(fn), seconds(timeout))


async def wait(
    fs: Iterable[asyncio.Future[T] | asyncio.Task[T]],
    *,
    timeout: float | None = None,
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[list[asyncio.Future[T]], list[asyncio.Future[T]]]:
    """`asyncio.wait`, which answers with (done, pending) as lists in the order given: a set's order differs between
    processes."""
    futures = list(dict.fromkeys(fs))
    if any(asyncio.iscoroutine(future) for future in futures):
        raise TypeError("workflow.wait takes futures and tasks: wrap a coroutine in asyncio.create_task")
    done, _ = await asyncio.wait(futures, timeout=timeout, return_when=return_when)
    return [one for one in futures if one in done], [one for one in futures if one not in done]


def as_completed(fs: Iterable[Awaitable[T]], *, timeout: float | None = None) -> Iterator[Awaitable[T]]:
    """`asyncio.as_completed`, in an order that is the same in every process: await each that it yields for the next
    result. Once `timeout` seconds have passed, what is left raises asyncio.TimeoutError."""
    loop = current.run().loop
    tasks = [asyncio.ensure_future(one, loop=loop) for one in dict.fromkeys(fs)]
    done: asyncio.Queue[asyncio.Future[T] | None] = asyncio.Queue()
    left = set(tasks)

    def completed(task: asyncio.Future[T]) -> None:
        if task in left:
            left.discard(task)
            done.put_nowait(task)
            if not left and timer is not None:
                timer.cancel()

    def expired() -> None:
        for task in tasks:
            if task in left:
                task.remove_done_callback(completed)
                done.put_nowait(None)
        left.clear()

    async def following() -> T:
        task = await done.get()
        if task is None:
            raise TimeoutError
        return task.result()

    timer = loop.call_later(timeout, expired) if timeout is not None and tasks else None
    for task in tasks:
        task.add_done_callback(completed)
    for _ in tasks:
        yield following()
