"""A whole Weir inside a test: no broker, no other process, and time that does not have to be waited for."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from asgiref.sync import sync_to_async
from django.test.utils import override_settings

from automation import clock
from automation.durable import definitions, registry
from automation.durable.client import Client, SyncClient
from automation.durable.members import seconds
from automation.durable.testing import replacements
from automation.durable.testing.courier import Courier, Stuck
from automation.durable.testing.handles import EnvironmentHandle
from automation.durable.testing.replacements import Replacements
from automation.models import WorkflowExecution

# Times are exact: nothing is gathered, and nothing that is due a little later is done together with what is due now.
EXACT = {"DURABLE_GATHER": 0.0, "DURABLE_LOOKAHEAD": 0.0}


class WorkflowEnvironment:
    """Runs workflows and activities in this process, on the test's database.

    With time skipping, time stands still while code runs and moves to what is due next while a test waits, so that
    times are exact. Use it in a plain test:

        with WorkflowEnvironment.start_time_skipping() as env:
            assert env.run(Welcome.run, WelcomeInput(["Ada"])) == WelcomeResult(["Hello, Ada"])

    or as in the SDK:

        async with await WorkflowEnvironment.start_time_skipping() as env:
            await env.client.execute_workflow(…)
    """

    def __init__(
        self,
        *,
        skipping: bool = True,
        activities: Replacements = (),
        workflows: Sequence[type] = (),
        start_at: dt.datetime | None = None,
    ) -> None:
        self._skipping = skipping
        self._activities = activities
        self._workflows = workflows
        self._start_at = start_at
        self._courier = Courier(skipping)
        self._stack: contextlib.ExitStack | None = None

    # -- as in the SDK -----------------------------------------------------------------------------------------------

    @classmethod
    def start_time_skipping(
        cls,
        *,
        activities: Replacements = (),
        workflows: Sequence[type] = (),
        start_at: dt.datetime | None = None,
        **sdk: Any,
    ) -> WorkflowEnvironment:
        """An environment whose time moves to what is due next. Enter it with `with`, or await it.

        activities: what runs in place of activities: a mapping of names to functions, or decorated functions.
        workflows: classes that are not found in an installed app's `workflows` module.
        start_at: the time at which it begins; now by default.
        The SDK's parameters about its test server are accepted, and there is no server for them to be about.
        """
        _check(sdk, _TIME_SKIPPING)
        return cls(activities=activities, workflows=workflows, start_at=start_at)

    @classmethod
    def start_local(
        cls, *, activities: Replacements = (), workflows: Sequence[type] = (), **sdk: Any
    ) -> WorkflowEnvironment:
        """The same in real time: who waits for a sleep of a second waits for a second."""
        _check(sdk, _LOCAL)
        return cls(skipping=False, activities=activities, workflows=workflows)

    @classmethod
    def from_client(cls, client: Client) -> WorkflowEnvironment:
        """An environment in real time around a client that exists."""
        environment = cls(skipping=False)
        environment._client = client
        return environment

    _client: Client | None = None

    @property
    def client(self) -> Client:
        """A client whose waiting lets things happen here."""
        if self._client is None:
            self._client = Client()
        return self._client

    @property
    def supports_time_skipping(self) -> bool:
        return self._skipping

    async def sleep(self, duration: dt.timedelta | float) -> None:
        """`skip` for async code."""
        await sync_to_async(self.skip)(duration)

    async def get_current_time(self, handle: Any = None) -> dt.datetime:
        """The environment's time."""
        return self.now

    @contextlib.contextmanager
    def auto_time_skipping_disabled(self) -> Iterator[None]:
        """Let time go on as it does outside, from where it is, while this lasts."""
        if not self._courier.skipping:
            yield
            return
        moved = clock.timestamp()
        clock.let_go()
        moved -= clock.timestamp()
        clock.shift(moved)
        self._courier.skipping = False
        try:
            yield
        finally:
            self._courier.skipping = True
            clock.hold()
            at = clock.timestamp()
            clock.shift(-moved)
            clock.hold(at)

    async def shutdown(self) -> None:
        """`close` for async code."""
        await sync_to_async(self.close)()

    def __await__(self) -> Generator[Any, None, WorkflowEnvironment]:
        return sync_to_async(self.open)().__await__()

    async def __aenter__(self) -> WorkflowEnvironment:
        return await sync_to_async(self.open)()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()

    # -- in plain tests ----------------------------------------------------------------------------------------------

    def open(self) -> WorkflowEnvironment:
        """Take the broker's place. Doing it again changes nothing."""
        if self._stack is not None:
            return self
        with contextlib.ExitStack() as stack:
            stack.enter_context(override_settings(**EXACT))
            stack.enter_context(registry.scoped())
            self._courier.install()
            stack.callback(self._courier.uninstall)
            if self._skipping:
                outer = clock.held_at()  # of an environment around this one
                clock.hold(round(self._start_at.timestamp() if self._start_at else clock.timestamp(), 6))
                stack.callback(clock.let_go if outer is None else partial(clock.hold, outer))
            for workflow in self._workflows:
                definitions.definition_of(workflow)
            replacements.install(self._activities)
            self._stack = stack.pop_all()
        return self

    def close(self) -> None:
        """Put everything back. Doing it again changes nothing."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            stack.close()

    def __enter__(self) -> WorkflowEnvironment:
        return self.open()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def now(self) -> dt.datetime:
        """The environment's time, aware, in UTC."""
        return clock.now()

    def replace_activities(self, activities: Replacements) -> None:
        """Have these functions run in place of the activities of those names, from now on."""
        self._opened()
        replacements.install(activities)

    def start(
        self, workflow: str | type | Callable[..., Any], *args: Any, id: str = "", **options: Any
    ) -> EnvironmentHandle:
        """Start a workflow (its class, run method or name) and let it run as far as it can without time passing.

        options: those of `Client.start_workflow`. Raises WorkflowAlreadyStartedError where the policies say so.
        """
        self._opened()
        definition = definitions.definition_of(workflow)
        client = SyncClient()
        started = client.start_workflow(workflow, args=args, id=id or f"test-{uuid.uuid4()}", **options)
        self.settle()
        return EnvironmentHandle(self, uuid.UUID(started.result_run_id), definition.result_hint)

    def run(self, workflow: str | type | Callable[..., Any], *args: Any, id: str = "", **options: Any) -> Any:
        """Run a workflow to its end and return its result. Raises as `EnvironmentHandle.result` does."""
        return self.start(workflow, *args, id=id, **options).result()

    def handle(self, execution: WorkflowExecution | Any) -> EnvironmentHandle:
        """The handle of an execution that something else has started: its row, or its row's id."""
        row = execution if isinstance(execution, WorkflowExecution) else WorkflowExecution.objects.get(id=execution)
        return EnvironmentHandle(self, row.id, definitions.definition_of(row.definition).result_hint)

    def settle(self) -> None:
        """Let everything happen that can without time passing."""
        self._opened()
        self._courier.settle()

    def skip(self, duration: dt.timedelta | float) -> None:
        """Let this much time pass, with all that happens in it."""
        self._opened()
        self._courier.wait(lambda: False, clock.timestamp() + (seconds(duration) or 0.0))

    def skip_to(self, moment: dt.datetime) -> None:
        """Let time pass until then, with all that happens in between."""
        self._opened()
        self._courier.wait(lambda: False, moment.timestamp())

    def wait_until(self, condition: Callable[[], bool], *, within: dt.timedelta | None = None) -> None:
        """Let things happen until `condition()` holds. Raises Stuck when it never will, or not `within` this time."""
        self._opened()
        until = clock.timestamp() + within.total_seconds() if within is not None else None
        if not self._courier.wait(condition, until):
            raise Stuck(f"it did not happen within {within}")

    # -- inside --------------------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        if self._stack is None:
            raise RuntimeError("this environment is not open: use it in a `with`, or await it")

    def _wait_for_end(self, handle: EnvironmentHandle, within: dt.timedelta | None) -> WorkflowExecution:
        self._opened()
        until = clock.timestamp() + within.total_seconds() if within is not None else None
        if not self._courier.wait(handle.has_ended, until):
            raise Stuck(f"it has not ended within {within}\n{handle.story()}")
        return handle.execution


_EVERYWHERE = {
    *("data_converter", "interceptors", "plugins", "default_workflow_query_reject_condition", "retry_config"),
    *("rpc_metadata", "identity", "port", "download_dest_dir", "runtime"),
}
_TIME_SKIPPING = _EVERYWHERE | {
    *("test_server_existing_path", "test_server_download_version", "test_server_extra_args"),
    *("test_server_download_ttl", "test_server_startup_timeout"),
}
_LOCAL = _EVERYWHERE | {
    *("namespace", "tls", "ip", "ui", "ui_port", "search_attributes", "dev_server_existing_path"),
    *("dev_server_database_filename", "dev_server_log_format", "dev_server_log_level"),
    *("dev_server_download_version", "dev_server_extra_args", "dev_server_download_ttl"),
    "dev_server_startup_timeout",
}


def _check(given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(given) - known):
        raise TypeError(f"unknown options: {', '.join(unknown)}")
