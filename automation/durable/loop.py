"""The deterministic event loop that workflow code runs on.

It has no I/O and no clock of its own: `time()` is the history's, a timer is a step, and callbacks run in the order in
which they were scheduled. asyncio's tasks, futures, locks, queues, gather, wait, wait_for, timeout and shield work on
it unchanged. What would leave it (threads, sockets, subprocesses) is refused.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Never

if TYPE_CHECKING:
    from automation.durable.replay import Run

logger = logging.getLogger(__name__)

MAX_CALLBACKS = 1_000_000
"""Callbacks in one activation, after which the code counts as looping for ever."""


class DurableTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks are walked in the same order in every process
    (asyncio.TaskGroup cancels its tasks by walking a set)."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, number: int, **options: Any) -> None:
        self._number = number  # before super().__init__, which puts the task into a set
        super().__init__(coroutine, **options)
        self._log_destroy_pending = False  # a run that is dropped is closed, or its process has ended

    def __hash__(self) -> int:
        return self._number


class DurableTimer(asyncio.TimerHandle):
    """A timer: on cancellation its step is cancelled, or never written."""

    def __init__(
        self, when: float, callback: Callable[..., Any], args: Any, loop: DurableLoop, context: Context | None
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.seq = 0

    def cancel(self) -> None:
        if not self.cancelled():
            super().cancel()
            if self.seq:
                self._loop.run_of.cancel_timer(self.seq)  # type: ignore[attr-defined]

    def fire(self) -> None:
        if not self.cancelled():
            self._run()


class LoopExhausted(RuntimeError):
    """The code never waits for anything durable."""


class DurableLoop(asyncio.AbstractEventLoop):
    """One a run. `drain()` runs callbacks until none is ready."""

    def __init__(self, run: Run) -> None:
        self.run_of = run
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks = 0
        self._closed = False
        self.live_tasks: list[DurableTask] = []
        self._generators: list[Any] = []

    # -- running -------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Run what is ready, and what becomes ready by that."""
        ready = self._ready
        if not ready:
            return
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        hooks = sys.get_asyncgen_hooks()
        # Without hooks the garbage collector would finish an abandoned generator inside somebody else's visit.
        sys.set_asyncgen_hooks(firstiter=self._generators.append, finalizer=lambda _generator: None)
        budget = MAX_CALLBACKS
        try:
            while ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                budget -= 1
                if budget == 0:
                    raise LoopExhausted(
                        f"the workflow ran {MAX_CALLBACKS:,} callbacks without waiting for a step; "
                        "a loop around asyncio.sleep(0) never ends: wait for a condition, a timer or a signal"
                    )
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)

    def close(self) -> None:
        """Close every task on the spot: left to the garbage collector, a `finally` of the user's code would run later,
        inside somebody else's visit."""
        if self._closed:
            return
        self._closed = True
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            for task in self.live_tasks:
                if not task.done():
                    coroutine = task.get_coro()
                    try:
                        coroutine.close()
                    except (Exception, asyncio.CancelledError, GeneratorExit) as error:
                        logger.debug("closing a workflow task: %r", error)
                elif not task.cancelled():
                    task.exception()  # retrieved: nobody will ask any more
            self._generators.clear()
            self.live_tasks.clear()
            self._ready.clear()
        finally:
            asyncio._set_running_loop(outer)

    # -- asyncio's interface -------------------------------------------------------------------------------------------

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = DurableTimer(when, callback, args, self, context)
        if when <= self.time():
            self._ready.append(timer)
        else:
            timer.seq = self.run_of.start_timer(when, timer)
        return timer

    def time(self) -> float:
        """History's time, in seconds since the Unix epoch."""
        return self.run_of.timestamp

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        if options.get("eager_start"):
            raise RuntimeError("eager tasks are refused in workflow code: their order differs between Pythons")
        if self.run_of.read_only:
            coro.close()
            self.run_of.check_writable("start a task")
        if self._closed:
            coro.close()
            raise RuntimeError("this workflow run has ended")
        self._tasks += 1
        task = DurableTask(coro, number=self._tasks, loop=self, name=name or f"task-{self._tasks}", context=context)
        if len(self.live_tasks) > 256 and len(self.live_tasks) > 2 * self.run_of.expected_tasks:
            self.live_tasks = [live for live in self.live_tasks if not live.done()]
            self.run_of.expected_tasks = len(self.live_tasks)
        self.live_tasks.append(task)
        return task

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return self._closed

    def get_debug(self) -> bool:
        return False

    def get_task_factory(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._closed:
            return
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception):
            raise error
        logger.warning("workflow %s: %s", self.run_of.execution_id, context.get("message"), exc_info=error)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells its loop of a cancelled timer; DurableTimer has told the run already."""

    async def shutdown_asyncgens(self) -> None:
        self._generators.clear()


def _refuse(name: str) -> Callable[..., Never]:
    def refuse(*_args: Any, **_options: Any) -> Never:
        raise RuntimeError(f"{name} is refused in workflow code: do I/O in an activity")

    return refuse


for _name in (
    *("run_in_executor", "call_soon_threadsafe", "getaddrinfo", "getnameinfo", "create_connection"),
    *("create_server", "create_unix_connection", "create_unix_server", "create_datagram_endpoint"),
    *("subprocess_exec", "subprocess_shell", "connect_read_pipe", "connect_write_pipe", "add_reader"),
    *("add_writer", "sock_recv", "sock_sendall", "sock_connect", "sock_accept", "add_signal_handler"),
    *("run_forever", "run_until_complete", "sendfile", "start_tls"),
):
    setattr(DurableLoop, _name, _refuse(_name))
