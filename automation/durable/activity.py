"""Activities: the functions that do a workflow's work, and what they may ask about themselves."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from automation.durable import activity_info
from automation.durable.exceptions import CancelledError
from automation.durable.registry import (
    ACTIVITY_ATTRIBUTE,
    DYNAMIC,
    RAW_ARGUMENTS,
    ActivityDefinition,
    check_dynamic,
    type_hints,
)

if TYPE_CHECKING:
    from automation.durable.client import Client
    from automation.durable.handling import PayloadConverter

Info = activity_info.Info

Function = TypeVar("Function", bound=Callable[..., Any])

TRANSACTIONAL_ATTRIBUTE = "__durable_transactional__"

LOOK_EVERY = 0.1
"""Seconds between two looks of a wait for cancellation."""


class CompleteAsync(BaseException):
    """Raised by `raise_complete_async`: the activity's outcome comes from outside."""


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """Why an attempt has been asked to stop. not_found: it is no longer this worker's: it took too long, or its
    execution is gone. cancel_requested: the workflow asked."""

    not_found: bool = False
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False
    timed_out: bool = False
    worker_shutdown: bool = False


@dataclass
class Context:
    """The surroundings of one attempt. `beat(details)` writes a heartbeat and returns whether the attempt has been
    asked to stop. task: of an async activity, cancelled when that is so. raises: `heartbeat` raises then, from the
    second time on. worker_stops: its worker is about to end; stopped: and has asked it to; left_alone: and has ended
    without it."""

    info: Info
    beat: Callable[[Sequence[Any]], bool]
    cancelled: bool = False
    details: Sequence[Any] = field(default_factory=tuple)
    reason: Callable[[], ActivityCancellationDetails] | None = None
    task: asyncio.Task[Any] | None = None
    raises: bool = False
    worker_stops: bool = False
    stopped: bool = False
    left_alone: bool = False

    def look(self) -> bool:
        """Write a heartbeat and learn whether the attempt is to stop."""
        if self.beat(self.details) and not self.cancelled:
            self.cancelled = True
            if self.task is not None:
                self.task.cancel()
        return self.cancelled

    # -- by its worker, from another thread --

    def tell_of_shutdown(self) -> None:
        """Let it know that its worker is about to end."""
        self.worker_stops = True

    def stop(self) -> None:
        """Ask it to stop, because its worker does; doing it again changes nothing. A local activity is let end."""
        self.worker_stops = True
        if self.cancelled or self.info.is_local:
            return
        self.reason = lambda: ActivityCancellationDetails(worker_shutdown=True)
        self.stopped = self.cancelled = True
        if (task := self.task) is not None:
            with contextlib.suppress(RuntimeError):  # it has ended, and its loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)


class LeftAlone(BaseException):
    """Raised in a worker's thread for an activity that ended after its worker: the step is another worker's."""


running: dict[int, Context] = {}
"""What this process runs, by its thread."""

_context: ContextVar[Context | None] = ContextVar("durable_activity", default=None)


@overload
def defn(fn: Function) -> Function: ...
@overload
def defn(
    *,
    name: str | None = None,
    queue: str | None = None,
    rate_limit: str | None = None,
    no_thread_cancel_exception: bool = False,
    dynamic: bool = False,
) -> Callable[[Function], Function]: ...
def defn(
    fn: Function | None = None,
    *,
    name: str | None = None,
    queue: str | None = None,
    rate_limit: str | None = None,
    no_thread_cancel_exception: bool = False,
    dynamic: bool = False,
) -> Function | Callable[[Function], Function]:
    """Mark a plain function, an async function or a method as an activity.

    no_thread_cancel_exception: heartbeats do not raise when it is to stop; it asks `is_cancelled`.
    name: what it is known as; the function's own name by default. It is also the name of its Celery task.
    queue: the Celery queue it runs on, where the call names none. rate_limit: Celery's, e.g. "10/m", per worker.
    dynamic: it runs every activity whose name no other one has; `info().activity_type` says which. It takes one
    argument, all of theirs as a list of RawValue.
    """

    def attach(function: Function) -> Function:
        inner = inspect.unwrap(function)
        is_method = "self" in list(inspect.signature(inner).parameters)[:1]
        arguments, result = type_hints(inner, skip_first=is_method)
        if dynamic:
            check_dynamic(f"activity {inner.__qualname__}", name, arguments)
            arguments = RAW_ARGUMENTS
        definition = ActivityDefinition(
            name=DYNAMIC if dynamic else name or getattr(function, "__name__", inner.__name__),
            function=function,
            queue=queue,
            rate_limit=rate_limit,
            transactional=bool(getattr(function, TRANSACTIONAL_ATTRIBUTE, False)),
            place=f"{inner.__module__}.{inner.__qualname__}",
            is_async=inspect.iscoroutinefunction(inner),
            argument_hints=arguments,
            result_hint=result,
            raises_when_cancelled=not no_thread_cancel_exception,
        )
        setattr(function, ACTIVITY_ATTRIBUTE, definition)
        return function

    return attach if fn is None else attach(fn)


def transactional_activity(function: Function) -> Function:
    """Run the activity inside one database transaction together with the record of its outcome: its writes take effect
    exactly once, or not at all. No call to the outside world belongs in such an activity.

    Composes with `defn` in either order.
    """
    setattr(function, TRANSACTIONAL_ATTRIBUTE, True)
    definition = getattr(function, ACTIVITY_ATTRIBUTE, None)
    if isinstance(definition, ActivityDefinition):
        setattr(function, ACTIVITY_ATTRIBUTE, replace(definition, transactional=True))
    return function


def in_activity() -> bool:
    """Whether the calling code runs in an activity."""
    return _context.get() is not None


def context() -> Context:
    """The current attempt's context. Raises RuntimeError outside an activity."""
    found = _context.get()
    if found is None:
        raise RuntimeError("not in an activity: call this from a function that a workflow runs as one")
    return found


def info() -> Info:
    """What is known about the current attempt. Raises RuntimeError outside an activity."""
    return context().info


def heartbeat(*details: Any) -> None:
    """Say that the attempt is alive, and keep `details` for the next attempt should this one fail.

    It is how an attempt learns that it is to stop: an async one is cancelled; in a plain one `is_cancelled` is true
    from then on, and the next heartbeat raises CancelledError (unless defined with no_thread_cancel_exception).
    """
    current = context()
    current.details = details
    if current.cancelled and current.raises:
        raise CancelledError("Cancelled")
    current.look()


def is_cancelled() -> bool:
    """Whether the attempt has been asked to stop; learnt by heartbeats."""
    return context().cancelled


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the attempt has been asked to stop; None while it has not."""
    current = context()
    if not current.cancelled:
        return None
    return ActivityCancellationDetails(cancel_requested=True) if current.reason is None else current.reason()


def wait_for_cancelled_sync(timeout: dt.timedelta | float | None = None) -> None:
    """Wait until the attempt is asked to stop, or for so long; heartbeats meanwhile with the last details."""
    current = context()
    limit = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    until = None if limit is None else time.monotonic() + limit
    while not current.look() and (until is None or time.monotonic() < until):
        time.sleep(LOOK_EVERY)


async def wait_for_cancelled() -> None:
    """Wait until the async activity is asked to stop; heartbeats meanwhile with the last details."""
    current = context()
    while not current.look():
        await asyncio.sleep(LOOK_EVERY)


@contextlib.contextmanager
def shield_thread_cancel_exception() -> Iterator[None]:
    """Keep `heartbeat` from raising inside of this block, for what must be brought to its end."""
    current = context()
    outer, current.raises = current.raises, False
    try:
        yield
    finally:
        current.raises = outer


def is_worker_shutdown() -> bool:
    """Whether the worker is about to end. Only one that runs in this process says so: a Celery worker that stops lets
    what it runs come to its end."""
    return context().worker_stops


async def wait_for_worker_shutdown() -> None:
    """Wait until the worker is about to end, in an async activity."""
    while not is_worker_shutdown():
        await asyncio.sleep(LOOK_EVERY)


def wait_for_worker_shutdown_sync(timeout: dt.timedelta | float | None = None) -> None:
    """Wait until the worker is about to end, or for so long."""
    limit = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    until = None if limit is None else time.monotonic() + limit
    while not is_worker_shutdown() and (until is None or time.monotonic() < until):
        time.sleep(LOOK_EVERY)


def client() -> Client:
    """A client, for an async activity; a plain one uses `client().sync`. Raises RuntimeError outside an activity."""
    from automation.durable.client import Client

    context()
    return Client()


def payload_converter() -> PayloadConverter:
    """How values become payloads. Raises RuntimeError outside an activity."""
    from automation.durable.handling import PayloadConverter

    context()
    return PayloadConverter()


def raise_complete_async() -> NoReturn:
    """End the attempt without an outcome: it is reported later, from outside."""
    raise CompleteAsync


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the activity's ids to what it logs."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        current = _context.get()
        if current is not None:
            extra: Mapping[str, Any] = kwargs.get("extra") or {}
            here = current.info
            kwargs["extra"] = {**extra, "execution": str(here.execution_id), "step": here.seq, "attempt": here.attempt}
            msg = f"[{here.activity_type} #{here.seq} of {here.execution_id}] {msg}"
        return msg, kwargs


logger = LoggerAdapter(logging.getLogger("automation.durable.activity"), {})
