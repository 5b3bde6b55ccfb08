"""Running an activity by itself, as a worker would."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from automation import clock
from automation.durable import activity
from automation.durable.common import Priority, RetryPolicy

_NO_PRIORITY = Priority()
_NOWHERE = uuid.UUID(int=0)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class ActivityInfo(activity.Info):
    """What the activity is told. Change it with `dataclasses.replace(environment.info, attempt=3)`."""

    # Each stands for the property of that name, which would ask the attempt's row.
    execution_id: uuid.UUID = _NOWHERE
    seq: int = 1
    idempotency_key: str = "test"
    activity_id: str = "test"
    activity_type: str = "unknown"
    attempt: int = 1
    task_queue: str = "test"
    task_token: bytes = b"test"
    is_local: bool = False
    scheduled_time: dt.datetime = _EPOCH
    current_attempt_scheduled_time: dt.datetime = _EPOCH
    started_time: dt.datetime = _EPOCH
    heartbeat_details: Sequence[Any] = ()
    heartbeat_timeout: dt.timedelta | None = None
    start_to_close_timeout: dt.timedelta | None = dt.timedelta(seconds=1)
    schedule_to_close_timeout: dt.timedelta | None = dt.timedelta(seconds=1)
    namespace: str = "default"
    workflow_namespace: str = "default"
    workflow_id: str = "test"
    workflow_run_id: str = "test-run"
    workflow_type: str = "test"
    priority: Priority = _NO_PRIORITY
    retry_policy: RetryPolicy | None = None


class ActivityEnvironment:
    """An attempt without a workflow.

    info: what `activity.info()` returns. on_heartbeat: called with the details of every heartbeat.

        environment = ActivityEnvironment()
        environment.on_heartbeat = beats.append
        assert environment.run(import_rows, "rows.csv") == 3
    """

    def __init__(self, client: Any = None) -> None:
        self.info: ActivityInfo = self.default_info()
        self.on_heartbeat: Callable[..., None] = lambda *_details: None
        self._client = client
        self._cancelled = False
        self._running: list[tuple[activity.Context, asyncio.Task[Any] | None]] = []

    @staticmethod
    def default_info() -> ActivityInfo:
        """What an activity is told unless the test says otherwise."""
        now = clock.now()
        return ActivityInfo(scheduled_time=now, current_attempt_scheduled_time=now, started_time=now)

    def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the activity and return what it returns; for an async one that is to be awaited. What it raises is
        raised. A transactional activity runs in a transaction."""
        if inspect.iscoroutinefunction(fn):
            return self._run_async(fn, args, kwargs)
        context = self._begin(None)
        token = activity._context.set(context)
        try:
            if getattr(fn, activity.TRANSACTIONAL_ATTRIBUTE, False):
                with transaction.atomic():
                    return fn(*args, **kwargs)
            return fn(*args, **kwargs)
        finally:
            activity._context.reset(token)
            self._running = [entry for entry in self._running if entry[0] is not context]

    async def _run_async(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        context: activity.Context | None = None

        async def within() -> Any:
            nonlocal context
            context = self._begin(asyncio.current_task())
            activity._context.set(context)
            if self._cancelled:
                await asyncio.sleep(0)
            return await fn(*args, **kwargs)

        try:
            return await asyncio.ensure_future(within())
        finally:
            self._running = [entry for entry in self._running if entry[0] is not context]

    def cancel(self, cancellation_details: Any = None) -> None:
        """Ask what runs here, now or later, to stop: `is_cancelled` becomes true, and an async activity's task is
        cancelled. May be called by the activity itself, by `on_heartbeat`, and from another thread."""
        self._cancelled = True
        for context, task in self._running:
            context.cancelled = True
            if task is not None:
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _begin(self, task: asyncio.Task[Any] | None) -> activity.Context:
        context = activity.Context(info=self.info, beat=self._beat, cancelled=self._cancelled)
        self._running.append((context, task))
        if task is not None and self._cancelled:
            task.cancel()
        return context

    def _beat(self, details: Sequence[Any]) -> bool:
        self.on_heartbeat(*details)
        return self._cancelled
