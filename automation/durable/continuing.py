"""Runs that follow on one another under one workflow id: continue-as-new, the retry of an execution, and cron.

The next run is inserted in the transaction that ends the one before, so that there is neither none nor two. What has
arrived for a run that continues as new and was not told to its code moves to the next run; nothing is left behind.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from automation.durable import failures, inbox, retry, run_options, starts
from automation.durable.common import RetryPolicy
from automation.models import ExecutionStatus, WorkflowExecution
from automation.models.ids import uuid7

NextTime = Callable[[str, dt.datetime], dt.datetime]

_next_time: NextTime | None = None


def on_cron(next_time: NextTime | None) -> None:
    """Have `next_time(cron_schedule, now)` say when the next run of an execution with a cron schedule begins."""
    global _next_time
    _next_time = next_time


def next_cron(schedule: str, now: dt.datetime) -> dt.datetime:
    """When a cron schedule comes next. Raises ValueError where nobody has said how such a schedule is read."""
    if _next_time is None:
        raise ValueError(f"cron_schedule {schedule!r}: cron schedules of executions are not set up here")
    return _next_time(schedule, now)


@dataclass(frozen=True)
class Continuation:
    """What `workflow.continue_as_new` asks for; None is: as it was."""

    input: str
    definition: str | None = None
    queue: str | None = None
    run_timeout: float | None = None
    task_timeout: float | None = None
    retry: RetryPolicy | None = None
    memo: dict[str, Any] | None = None
    search_attributes: dict[str, Any] | None = None
    delay: float = 0.0


def go_on(execution: uuid.UUID, asked: Continuation | None, now: dt.datetime) -> None:
    """Write the run that follows on one that has ended in this transaction, if one does."""
    row = WorkflowExecution.objects.get(id=execution)
    following = _following(row, asked, now)
    if following is None:
        return
    [inserted] = starts.insert([following], now)
    if row.status == ExecutionStatus.CONTINUED and row.inbox_seq:
        inbox.hand_on(row.id, inserted)


def goes_on(row: WorkflowExecution) -> bool:
    """Whether another run follows on this one, so that its end is not the end."""
    return row.status == ExecutionStatus.CONTINUED or next_run(row) is not None


def next_run(row: WorkflowExecution) -> WorkflowExecution | None:
    """The run that follows on this one."""
    runs = WorkflowExecution.objects.filter(
        namespace=row.namespace, business_id=row.workflow_id_of_caller, previous_run_id=row.id
    )
    return runs.first()


def last_run(row: WorkflowExecution) -> WorkflowExecution:
    """The end of the chain that this run belongs to."""
    while (following := next_run(row)) is not None:
        row = following
    return row


def _following(row: WorkflowExecution, asked: Continuation | None, now: dt.datetime) -> starts.NewExecution | None:
    options = run_options.parse(row.options)
    match row.status:
        case ExecutionStatus.CONTINUED:
            return _continued(row, asked or Continuation(row.input), options, now)
        case ExecutionStatus.FAILED | ExecutionStatus.TIMED_OUT if options.retry is not None:
            closes = dt.datetime.fromtimestamp(options.closes_at, dt.UTC) if options.closes_at is not None else None
            error = failures.decode(row.failure)
            verdict = retry.decide(options.retry, options.attempt, error, now, closes)
            if isinstance(verdict, retry.RetryAfter) and (closes is None or now < closes):
                again = replace(options, attempt=options.attempt + 1)
                return replace(starts.again(row), options=again, scheduled_for=now + verdict.delay)
    if options.cron and row.status in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT):
        again = replace(options, attempt=1)
        return replace(starts.again(row), options=again, scheduled_for=next_cron(options.cron, now))
    return None


def _continued(
    row: WorkflowExecution, asked: Continuation, options: run_options.RunOptions, now: dt.datetime
) -> starts.NewExecution:
    options = replace(
        options,
        attempt=1,
        run_timeout=options.run_timeout if asked.run_timeout is None else asked.run_timeout,
        task_timeout=options.task_timeout if asked.task_timeout is None else asked.task_timeout,
        retry=asked.retry or options.retry,
    )
    following = starts.again(row)
    return replace(
        following,
        id=uuid7(),
        definition=asked.definition or row.definition,
        queue=asked.queue or row.queue,
        raw_input=asked.input,
        options=options,
        memo=following.memo if asked.memo is None else asked.memo,
        search_attributes=following.search_attributes if asked.search_attributes is None else asked.search_attributes,
        scheduled_for=now + dt.timedelta(seconds=asked.delay) if asked.delay else None,
    )
