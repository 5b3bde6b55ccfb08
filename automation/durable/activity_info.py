"""What an activity can know about itself."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from automation.durable import coroutines, options, payloads, tokens
from automation.durable.common import Priority, RetryPolicy
from automation.models import ExecutionStep, WorkflowExecution

if TYPE_CHECKING:
    from automation.durable.runner import Attempt


class Info:
    """What an activity can know about the attempt that runs it. Times are aware and in UTC; what only the execution's
    row knows is read when it is first asked for."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def execution_id(self) -> uuid.UUID:
        return self._attempt.execution_id

    @property
    def seq(self) -> int:
        """The step's number in its execution."""
        return self._attempt.seq

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step; belongs on every call to the outside."""
        return f"{self._attempt.execution_id}:{self._attempt.seq}"

    @property
    def activity_id(self) -> str:
        """What the workflow's code called it, or the step's number."""
        return self._options.activity_id or str(self._attempt.seq)

    @property
    def activity_type(self) -> str:
        return self._attempt.name

    @property
    def attempt(self) -> int:
        """From 1."""
        return self._attempt.attempt

    @property
    def task_queue(self) -> str:
        return self._attempt.queue

    @property
    def task_token(self) -> bytes:
        """Names this attempt to whoever completes it from outside."""
        return tokens.token_of(self._attempt.execution_id, self._attempt.seq, self._attempt.attempt)

    @property
    def is_local(self) -> bool:
        return self._attempt.local

    @property
    def scheduled_time(self) -> dt.datetime:
        return self._attempt.created_at

    @property
    def current_attempt_scheduled_time(self) -> dt.datetime:
        return self._attempt.started_at

    @property
    def started_time(self) -> dt.datetime:
        return self._attempt.started_at

    @property
    def heartbeat_details(self) -> Sequence[Any]:
        """What the attempt before this one gave to `heartbeat`."""
        return payloads.decode(self._attempt.heartbeat) or []

    @property
    def heartbeat_timeout(self) -> dt.timedelta | None:
        return _timedelta(self._options.heartbeat)

    @property
    def start_to_close_timeout(self) -> dt.timedelta | None:
        return _timedelta(self._options.start_to_close)

    @property
    def schedule_to_close_timeout(self) -> dt.timedelta | None:
        return _timedelta(self._options.schedule_to_close)

    @property
    def retry_policy(self) -> RetryPolicy | None:
        """Its own policy; None is the default one."""
        return self._options.retry

    @property
    def namespace(self) -> str:
        return self._execution.namespace

    workflow_namespace = namespace

    @property
    def workflow_id(self) -> str:
        return self._execution.business_id or str(self.execution_id)

    @property
    def workflow_run_id(self) -> str:
        return str(self.execution_id)

    @property
    def workflow_type(self) -> str:
        return self._execution.definition

    @functools.cached_property
    def _options(self) -> options.StepOptions:
        return options.parse(self._attempt.options)

    @functools.cached_property
    def priority(self) -> Priority:
        """How urgent its step is; the highest is 1."""
        steps = ExecutionStep.objects.filter(execution_id=self.execution_id, seq=self.seq)
        level = coroutines.outside(steps.values_list("priority", flat=True).first) or 0
        return Priority(priority_key=max(1, 4 - level)) if level else Priority()

    @functools.cached_property
    def _execution(self) -> WorkflowExecution:
        rows = WorkflowExecution.objects.only("namespace", "business_id", "definition")
        return coroutines.outside(rows.get, id=self.execution_id)


def _timedelta(seconds: float | None) -> dt.timedelta | None:
    return None if seconds is None else dt.timedelta(seconds=seconds)
