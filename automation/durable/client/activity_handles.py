"""Handles of activities that are completed from outside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from automation.durable import completions
from automation.durable.client.calls import Asynchronous, Synchronous, both


class AsyncActivityCore:
    """An activity that is completed from outside: by its task token, or by ids."""

    def __init__(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        activity_id: str | None = None,
        task_token: bytes | None = None,
    ) -> None:
        if (task_token is None) == (workflow_id is None or activity_id is None):
            raise ValueError("give either task_token, or workflow_id with activity_id (and run_id, where it matters)")
        self._workflow_id = workflow_id or ""
        self._run_id = run_id
        self._activity_id = activity_id or ""
        self._task_token = task_token

    @both
    def heartbeat(
        self,
        *details: Any,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Say that it is alive. Raises when it has been asked to stop."""
        completions.heartbeat(self._step(), *details)

    @both
    def complete(
        self,
        result: Any = None,
        *,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Complete it. Raises Conflict when its attempt is over."""
        completions.complete(self._step(), result)

    @both
    def fail(
        self,
        error: Exception,
        *,
        last_heartbeat_details: Sequence[Any] = (),
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Fail the attempt; its retry policy says what follows."""
        completions.fail(self._step(), error, last_heartbeat_details)

    @both
    def report_cancellation(
        self,
        *details: Any,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> None:
        """Say that it has stopped as it was asked to."""
        completions.report_cancellation(self._step(), *details)

    def _step(self) -> Any:
        if self._task_token is not None:
            return completions.by_token(self._task_token)
        return completions.by_ids(self._workflow_id, self._run_id, self._activity_id)


class AsyncActivityHandle(Asynchronous, AsyncActivityCore):
    """An activity's handle for async code."""


class SyncActivityHandle(Synchronous, AsyncActivityCore):
    """An activity's handle for plain code."""
