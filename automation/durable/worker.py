"""A worker in this process, and the replay of recorded histories; named as in the Temporal Python SDK.

In production Celery workers run workflows. `Worker` is for tests and scripts: it needs no broker, and finds by rows
what waits in its queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from asgiref.sync import sync_to_async

from automation.durable import definitions, hooks, registry
from automation.durable.client import Client, SyncClient
from automation.durable.in_process import Carrier, slots
from automation.durable.replaying import Replayer, WorkflowReplayResult, WorkflowReplayResults

__all__ = ["Replayer", "Worker", "WorkflowReplayResult", "WorkflowReplayResults"]

REFUSED = ("interceptors", "plugins", "nexus_service_handlers", "tuner")
"""Parameters whose meaning would be missed."""


class Worker:
    """Runs the workflows and activities of one queue in this process, for as long as its context lasts.

        async with Worker(client, task_queue="orders", workflows=[OrderWorkflow], activities=[charge]):
            await client.execute_workflow(OrderWorkflow.run, order, id="order-4711", task_queue="orders")

    workflows, activities: made known on top of what the installed apps define; an activity takes the place of one of
    the same name. Forgotten afterwards.
    max_concurrent_activities: how many activities, plain or async, it runs at once, each in a thread that has its own
    connection to the database; 16 at most by default, and 1 on SQLite. Executions go on also while all of them wait.
    graceful_shutdown_timeout: how long what runs when it stops may go on before it is asked to stop; not at all by
    default, as in the SDK.
    workflow_failure_exception_types: exceptions that fail an execution, besides the classes' own.
    The SDK's other parameters tune a connection and caches that are not there, and are accepted; those that would
    change what runs (interceptors, plugins, Nexus, tuners) are refused.

    Within a WorkflowEnvironment that environment does the work, and time stays its own.
    """

    def __init__(
        self,
        client: Client | SyncClient,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = (),
        nexus_service_handlers: Sequence[Any] = (),
        workflows: Sequence[type] = (),
        activity_executor: Any = None,
        workflow_task_executor: Any = None,
        nexus_task_executor: Any = None,
        workflow_runner: Any = None,
        unsandboxed_workflow_runner: Any = None,
        plugins: Sequence[Any] = (),
        interceptors: Sequence[Any] = (),
        build_id: str | None = None,
        identity: str | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        max_concurrent_local_activities: int | None = None,
        max_concurrent_nexus_tasks: int | None = None,
        tuner: Any = None,
        max_concurrent_workflow_task_polls: int | None = None,
        nonsticky_to_sticky_poll_ratio: float = 0.2,
        max_concurrent_activity_task_polls: int | None = None,
        no_remote_activities: bool = False,
        sticky_queue_schedule_to_start_timeout: Any = None,
        max_heartbeat_throttle_interval: Any = None,
        default_heartbeat_throttle_interval: Any = None,
        max_activities_per_second: float | None = None,
        max_task_queue_activities_per_second: float | None = None,
        max_eager_activity_reservations_per_workflow_task: int | None = None,
        graceful_shutdown_timeout: dt.timedelta = dt.timedelta(),
        plugin_shutdown_timeout: Any = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        shared_state_manager: Any = None,
        debug_mode: bool = False,
        disable_eager_activity_execution: bool = False,
        on_fatal_error: Callable[[BaseException], Any] | None = None,
        use_worker_versioning: bool = False,
        disable_safe_workflow_eviction: bool = False,
        deployment_config: Any = None,
        patch_activation_callback: Any = None,
        workflow_task_poller_behavior: Any = None,
        activity_task_poller_behavior: Any = None,
        nexus_task_poller_behavior: Any = None,
        disable_payload_error_limit: bool = False,
        max_workflow_task_external_storage_concurrency: int | None = None,
    ) -> None:
        given = locals()
        for name in REFUSED:
            if given[name]:
                raise TypeError(f"Worker has no {name!r}: see 'Deviations' in docs/workflows.md")
        if not (activities or workflows):
            raise ValueError("a Worker needs at least one workflow or activity")
        self._client = client
        self._task_queue = task_queue
        self._activities = activities
        self._workflows = workflows
        self._failure_types = tuple(workflow_failure_exception_types)
        self._slots = max_concurrent_activities
        self._grace = graceful_shutdown_timeout.total_seconds()
        self._on_fatal_error = on_fatal_error
        self._stack: contextlib.ExitStack | None = None
        self._carrier: Carrier | None = None

    @property
    def task_queue(self) -> str:
        return self._task_queue

    @property
    def client(self) -> Client | SyncClient:
        return self._client

    @property
    def is_running(self) -> bool:
        return self._stack is not None

    @property
    def is_shutdown(self) -> bool:
        return not self.is_running

    # -- for plain code ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, in threads of this process. Doing it again changes nothing."""
        if self._stack is not None:
            return
        known = [definitions.carried_by(workflow) for workflow in self._workflows]
        workflows = [
            replace(one, failure_exception_types=(*one.failure_exception_types, *self._failure_types)) for one in known
        ]
        with contextlib.ExitStack() as stack:
            stack.enter_context(registry.added(workflows, map(registry.definition_for, self._activities)))
            # A test environment carries everything already.
            if not hooks.waiting_is_replaced():
                carrier = Carrier([self._task_queue], slots(self._slots), self._on_fatal_error, self._grace)
                carrier.start()
                self._carrier = carrier
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """End: activities that run get `graceful_shutdown_timeout` to come to their end, and are then asked to stop.
        What does not stop within ten seconds more is left to itself, and its step to other workers. Interrupted, it
        leaves at once."""
        with self._ending() as pauses:
            for pause in pauses:
                time.sleep(pause)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[Iterator[float]]:
        """The seconds to wait, again and again, until it has ended; whether they were waited or not, it has then."""
        stack, carrier = self._stack, self._carrier
        if stack is None:
            yield iter(())
            return
        with stack:
            try:
                with contextlib.closing(carrier.stopping() if carrier is not None else _nothing()) as pauses:
                    yield pauses
            finally:
                if self._stack is stack:
                    self._stack = self._carrier = None

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- as in the SDK -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `shutdown`, or until this is cancelled."""
        async with self:
            while self.is_running:
                await asyncio.sleep(0.05)

    async def shutdown(self) -> None:
        """`stop` for async code."""
        with self._ending() as pauses:
            for pause in pauses:
                await asyncio.sleep(pause)

    async def __aenter__(self) -> Worker:
        await sync_to_async(self.start)()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()


def _nothing() -> Generator[float, None, None]:
    yield from ()
