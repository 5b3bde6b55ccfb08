"""The client: starting workflows, and finding those there are. One implementation for both faces."""

from __future__ import annotations

import datetime as dt
import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

from django.conf import settings
from django.db import connection, transaction

from automation.durable import hooks, id_policies, inbox, payloads, registry, updates
from automation.durable.client import listing
from automation.durable.client.activity_handles import AsyncActivityHandle, SyncActivityHandle
from automation.durable.client.calls import Asynchronous, Synchronous, Waits, both, run_asynchronously, waiting
from automation.durable.client.handles import SyncWorkflowHandle, WorkflowHandle
from automation.durable.client.listing import WorkflowExecutionIterator
from automation.durable.client.starting import WithStartWorkflowOperation, first_run, joining, new_execution
from automation.durable.client.update_handles import (
    SyncUpdateHandle,
    WorkflowUpdateHandle,
    update_result,
    wait_for_update,
)
from automation.durable.client.views import WorkflowExecutionCount, WorkflowUpdateStage
from automation.durable.common import Priority, RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from automation.durable.definitions import definition_of
from automation.durable.handlers import SIGNAL, UPDATE, name_of, result_hint_of
from automation.durable.members import arguments
from automation.durable.schedules.handles import ScheduleHandle, SchedulesCore, SyncScheduleHandle

Handle = TypeVar("Handle", WorkflowHandle, SyncWorkflowHandle)
Update = TypeVar("Update", WorkflowUpdateHandle, SyncUpdateHandle)
Activity = TypeVar("Activity", AsyncActivityHandle, SyncActivityHandle)


class ClientCore(Generic[Handle, Update, Activity]):
    """What both faces offer. Needs no connection of its own: it uses Django's."""

    _handle: type[Handle]
    _update: type[Update]
    _activity: type[Activity]

    def __init__(self, *_service: Any, namespace: str | None = None, **_options: Any) -> None:
        if namespace not in (None, settings.WORKFLOW_NAMESPACE):
            raise ValueError(
                f"this installation's namespace is {settings.WORKFLOW_NAMESPACE!r} (the setting WORKFLOW_NAMESPACE), "
                f"not {namespace!r}"
            )

    @property
    def namespace(self) -> str:
        return str(settings.WORKFLOW_NAMESPACE)

    # -- starting ------------------------------------------------------------------------------------------------------

    @both
    def start_workflow(
        self,
        workflow: str | type | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str = "",
        result_type: Any = None,
        execution_timeout: dt.timedelta | None = None,
        run_timeout: dt.timedelta | None = None,
        task_timeout: dt.timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        retry_policy: RetryPolicy | None = None,
        cron_schedule: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: Any = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        start_delay: dt.timedelta | None = None,
        start_signal: str | None = None,
        start_signal_args: Sequence[Any] = (),
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
        request_eager_start: bool = False,
        priority: Priority = Priority(),  # noqa: B008
        versioning_override: Any = None,
        stack_level: int = 2,
    ) -> Handle:
        """Start a workflow, by its class, its run method or its name, and return its handle.

        id: the workflow id; the policies say what happens where it is known already. task_queue: the workflow's
        domain's where empty. start_signal: sent with the start, or to the execution that is open with this id.
        Commits or rolls back with the caller's transaction. Raises WorkflowAlreadyStartedError, UnknownName.
        """
        return self._start(dict(locals()))

    @waiting  # type: ignore[arg-type]
    def execute_workflow(
        self, workflow: str | type | Callable[..., Any], arg: Any = registry._Missing, **options: Any
    ) -> Waits[Any]:
        """Start a workflow and wait for its result; the options are those of `start_workflow`."""
        _refuse_in_transaction("execute_workflow")
        _check_options("execute_workflow", options)
        handle = self._start({"workflow": workflow, "arg": arg, **_DEFAULTS, **options})
        return (yield from type(handle).result._core(handle))

    def _start(self, options: Mapping[str, Any]) -> Handle:
        new, hint = new_execution(options)
        with transaction.atomic():
            signal = options.get("start_signal")
            started = id_policies.start(joining(new) if signal else new)
            if signal:
                text = payloads.encode(list(options["start_signal_args"]), f"arguments of signal {signal!r}")
                inbox.signal(started.id, name_of(signal, SIGNAL), text)
        first = first_run(started.id) if started.existing else str(started.id)
        return self._handle(
            new.business_id or str(started.id),
            result_run_id=str(started.id),
            first_execution_run_id=first,
            result_type=options["result_type"] or hint,
        )

    # -- update with start ---------------------------------------------------------------------------------------------

    @waiting
    def start_update_with_start_workflow(
        self,
        update: str | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        start_workflow_operation: WithStartWorkflowOperation,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: Any = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Waits[Update]:
        """Send an update to the workflow with the operation's id, which is started with it where there is none; wait
        until it has come to `wait_for_stage`. Raises WorkflowUpdateFailedError when it is refused."""
        handle = self._update_with_start(update, arguments(arg, args), start_workflow_operation, id, result_type)
        run = uuid.UUID(handle.workflow_run_id)
        yield from wait_for_update(run, handle._seq or 0, handle.id, wait_for_stage, rpc_timeout)
        return handle

    @waiting
    def execute_update_with_start_workflow(
        self,
        update: str | Callable[..., Any],
        arg: Any = registry._Missing,
        *,
        start_workflow_operation: WithStartWorkflowOperation,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: Any = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> Waits[Any]:
        """The same, and wait for the update's result."""
        handle = self._update_with_start(update, arguments(arg, args), start_workflow_operation, id, result_type)
        run = uuid.UUID(handle.workflow_run_id)
        return (yield from update_result(run, handle._seq or 0, handle.id, handle._result_type, rpc_timeout))

    def _update_with_start(
        self,
        update: str | Callable[..., Any],
        args: Sequence[Any],
        operation: WithStartWorkflowOperation,
        id: str | None,
        result_type: Any,
    ) -> Update:
        _refuse_in_transaction("an update with start")
        name, update_id = name_of(update, UPDATE), id or str(uuid.uuid4())
        text = payloads.encode(list(args), f"arguments of update {name!r}")
        new, _ = new_execution({**vars(operation), "start_signal": None})
        with transaction.atomic():
            started = id_policies.start(new)
            seq = updates.put(started.id, name, text, update_id, is_new=not id)
        operation.run_id = str(started.id)
        hint = result_type or result_hint_of(update)
        return self._update(update_id, operation.id, str(started.id), result_type=hint, seq=seq)

    # -- finding -------------------------------------------------------------------------------------------------------

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> Handle:
        """A handle to a workflow id, or to one run of it; nothing is looked up yet."""
        return self._handle(
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self,
        workflow: type | Callable[..., Any],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> Handle:
        """The same, with the result's type from the workflow's run method."""
        return self.get_workflow_handle(
            workflow_id,
            run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=definition_of(workflow).result_hint,
        )

    def list_workflows(
        self,
        query: str | None = None,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> WorkflowExecutionIterator:
        """The executions that a filter finds, newest first unless it says otherwise; for `for` and `async for`. Its
        syntax is told in `filters`. Raises InvalidInput for a wrong one."""
        return WorkflowExecutionIterator(query, limit, page_size, next_page_token)

    @both
    def count_workflows(
        self,
        query: str | None = None,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> WorkflowExecutionCount:
        """How many executions a filter finds; by status with GROUP BY ExecutionStatus."""
        return listing.count(query)

    def get_async_activity_handle(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        activity_id: str | None = None,
        task_token: bytes | None = None,
    ) -> Activity:
        """A handle to an activity that is completed from outside: by its task token, or by ids."""
        return self._activity(workflow_id=workflow_id, run_id=run_id, activity_id=activity_id, task_token=task_token)


def _reach_the_database() -> None:
    connection.ensure_connection()  # this thread's: `connection` is another object in each


_DEFAULTS: Mapping[str, Any] = dict(ClientCore.start_workflow._core.__kwdefaults__ or {})
ClientCore.execute_workflow._core.__signature__ = inspect.signature(ClientCore.start_workflow._core)  # type: ignore[attr-defined]


def _check_options(what: str, options: Mapping[str, Any]) -> None:
    if unknown := sorted(set(options) - set(_DEFAULTS) - {"id"}):
        raise TypeError(f"{what}() got an unexpected keyword argument {unknown[0]!r}")
    if "id" not in options:
        raise TypeError(f"{what}() missing 1 required keyword-only argument: 'id'")


class Client(
    Asynchronous, ClientCore[WorkflowHandle, WorkflowUpdateHandle, AsyncActivityHandle], SchedulesCore[ScheduleHandle]
):
    """The client for async code. `client.sync` is the same for plain code."""

    _handle = WorkflowHandle
    _update = WorkflowUpdateHandle
    _activity = AsyncActivityHandle
    _schedule_handle = ScheduleHandle

    @classmethod
    async def connect(cls, target_host: str = "", *, namespace: str | None = None, **options: Any) -> Self:
        """A client. There is no server to connect to: `target_host` and what else the SDK says of one are accepted, so
        that ported code runs, and mean nothing. Raises when the database does not answer."""
        _check_connect(options)
        if not options.get("lazy"):
            await run_asynchronously(_reach_the_database)
        return cls(namespace=namespace)

    @property
    def sync(self) -> SyncClient:
        """This client for plain code."""
        return SyncClient()


class SyncClient(
    Synchronous, ClientCore[SyncWorkflowHandle, SyncUpdateHandle, SyncActivityHandle], SchedulesCore[SyncScheduleHandle]
):
    """The client for plain code: views, commands, tasks, shells."""

    _handle = SyncWorkflowHandle
    _update = SyncUpdateHandle
    _activity = SyncActivityHandle
    _schedule_handle = SyncScheduleHandle

    @classmethod
    def connect(cls, target_host: str = "", *, namespace: str | None = None, **options: Any) -> Self:
        """A client; see `Client.connect`."""
        _check_connect(options)
        return cls(namespace=namespace)


_CONNECT = frozenset(
    {
        "api_key",
        "connect_timeout",
        "data_converter",
        "default_workflow_query_reject_condition",
        "dns_load_balancing_config",
        "grpc_compression",
        "header_codec_behavior",
        "http_connect_proxy_config",
        "identity",
        "interceptors",
        "keep_alive_config",
        "lazy",
        "payload_limits",
        "plugins",
        "retry_config",
        "rpc_metadata",
        "runtime",
        "tls",
    }
)


def _check_connect(options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - _CONNECT)
    if unknown:
        raise TypeError(f"connect() got an unexpected keyword argument {unknown[0]!r}")


def _refuse_in_transaction(what: str) -> None:
    """What is started in a transaction runs when it has committed; waiting for it inside never ends."""
    if connection.in_atomic_block and not hooks.waiting_is_replaced():
        raise RuntimeError(
            f"{what} inside atomic() would wait for ever: what it starts begins when the transaction commits. Start it "
            "inside, and wait for its result outside"
        )
