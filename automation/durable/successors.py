"""`workflow.continue_as_new`: ending a run by the next one, with a fresh history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from automation.durable import attributes, current, failures, payloads, registry, texts
from automation.durable.common import RetryPolicy
from automation.durable.continuing import Continuation
from automation.durable.definitions import definition_of
from automation.durable.exceptions import ContinueAsNewError
from automation.durable.members import arguments, seconds
from automation.models import ExecutionStatus, WorkflowExecution


def cancellation_reason() -> str | None:
    """Why this workflow has been asked to end; None while it has not."""
    return current.run().cancel_reason


def has_last_completion_result() -> bool:
    """Whether the run before this one (of a cron schedule) completed."""
    previous = _previous()
    return previous is not None and previous.status == ExecutionStatus.COMPLETED


def get_last_completion_result(type_hint: type | None = None) -> Any:
    """The result of the run before this one (of a cron schedule); None where it did not complete, or there is none."""
    previous = _previous()
    if previous is None or previous.status != ExecutionStatus.COMPLETED:
        return None
    return payloads.decode(previous.result, Any if type_hint is None else type_hint)


def get_last_failure() -> BaseException | None:
    """Why the run before this one failed (of a cron schedule, or when this is its retry); None where it did not."""
    previous = _previous()
    return failures.decode(previous.failure) if previous is not None and previous.failure else None


def _previous() -> WorkflowExecution | None:
    previous = current.run().execution.previous_run_id
    if previous is None:
        return None
    with current.outside():  # it has ended, and does not change
        return WorkflowExecution.objects.filter(id=previous).only("status", "result", "failure").first()


def continue_as_new(
    arg: Any = registry._Missing,
    *,
    args: Sequence[Any] = (),
    workflow: str | type | Callable[..., Any] | None = None,
    task_queue: str | None = None,
    run_timeout: dt.timedelta | None = None,
    task_timeout: dt.timedelta | None = None,
    backoff_start_interval: dt.timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: Any = None,
    versioning_intent: Any = None,
    initial_versioning_behavior: Any = None,
    event_groups: Any = None,
) -> NoReturn:
    """End this run and go on as a new one, under the same workflow id, with these arguments and an empty history.

    What is not given stays as it is. A signal that this run has not read keeps it from ending until it has.
    """
    run = current.run()
    run.check_writable("continue as new")
    definition = run.definition if workflow is None else definition_of(workflow)
    texts.check("the name of a queue", task_queue or "", texts.QUEUE)
    raise ContinueAsNewError(
        Continuation(
            payloads.encode(list(arguments(arg, args)), f"arguments of workflow {definition.name!r}"),
            definition=definition.name,
            queue=task_queue,
            run_timeout=seconds(run_timeout),
            task_timeout=seconds(task_timeout),
            retry=retry_policy,
            memo=None if memo is None else dict(memo),
            search_attributes=None if search_attributes is None else attributes.to_row(search_attributes) or {},
            delay=seconds(backoff_start_interval) or 0.0,
        )
    )
