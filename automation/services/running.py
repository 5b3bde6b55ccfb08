"""Starting a workflow by name, and following what it does, step by step.

execution = start("TestWorkflow", texts={"message": "hi"})
for line in follow(execution): print(line)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from automation import clock
from automation.durable import continuing, failures, payloads, run_options, starts
from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import (
    ENDED_STEP_STATUSES,
    OPEN_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    WorkflowExecution,
)
from automation.services import catalogue, parameters, queues
from automation.workflows import DEFINITION

POLL_SECONDS = 0.1
NO_WORKER_PATIENCE = 3.0
"""Seconds that a worker may take to begin: one that is being started is waited for."""


class NoWorker(Conflict):
    """Nobody serves a queue that an execution waits for; it goes on as soon as somebody does."""

    code = "no_worker"

    def __init__(self, execution: uuid.UUID, queue: str) -> None:
        super().__init__(
            f"no worker serves the queue {queue!r}, so execution {execution} waits. It goes on when one is started: "
            f"python manage.py start_workflows_worker --task-queue {queue}"
        )


class StillRunning(Conflict):
    """The time to wait is over, and the execution is not."""

    code = "still_running"


def start(
    name: str,
    *,
    texts: Mapping[str, str | Sequence[str]] | None = None,
    values: Mapping[str, Any] | None = None,
    positional: Sequence[str] | None = None,
    queue: str = "",
    business_id: str = "",
    domain: str = "",
) -> uuid.UUID:
    """Start a workflow and return the execution's id. Its parameters come by name, from texts as typed or from JSON
    values, or as texts in their order; they are checked against the run method.

    queue: as `queues.named` takes it; the one of the workflow's domain where empty. domain: refuse a workflow of
    another. Raises UnknownName, InvalidInput, and Conflict where an open execution has the business id.
    """
    entry = catalogue.workflow(name)
    definition = catalogue.workflow_definition(entry)
    if name == DEFINITION:
        raise InvalidInput(
            "'automation' runs the workflows that organizers build, and is started by their triggers; "
            "list_workflows --workflows-only shows what can be started by name"
        )
    if domain and queues.domain(domain, [entry.domain]) != entry.domain:
        raise InvalidInput(f"{name} belongs to the domain {entry.domain!r}, not to {domain!r}: --domain {entry.domain}")
    if positional is not None:
        args = parameters.bind_positional(definition, positional)
    else:
        args = parameters.bind(definition, texts or {}, values)
    new = starts.NewExecution(name, args, queue=queues.named(queue) if queue else entry.queue, business_id=business_id)
    with transaction.atomic():
        written = starts.start_many([new])
        if not written:
            there = WorkflowExecution.objects.filter(
                namespace=settings.WORKFLOW_NAMESPACE, business_id=business_id, status__in=OPEN_STATUSES
            ).first()
            raise Conflict(f"execution {there.id if there else '?'} with the id {business_id!r} has not ended yet")
    return written[0]


def find(text: str) -> WorkflowExecution:
    """An execution of this namespace by its id, or by the caller's own id: the open one, else the latest. Raises
    NotFound."""
    rows = WorkflowExecution.objects.filter(namespace=settings.WORKFLOW_NAMESPACE).select_related("workflow")
    found = None
    try:
        found = rows.filter(id=uuid.UUID(text)).first()
    except ValueError:
        named = rows.filter(business_id=text).order_by("-id") if text else rows.none()
        found = named.filter(status__in=OPEN_STATUSES).first() or named.first()
    if found is None:
        raise NotFound(f"there is no execution {text!r}; executions list shows those there are")
    return found


# -- following ---------------------------------------------------------------------------------------------------------


@dataclass
class _Watch:
    """What has been told, and since when nobody has served what the execution waits for."""

    told: set[tuple[int, int, str]]
    unserved_since: float | None = None


def follow(execution: uuid.UUID, timeout: float | None = None) -> Iterator[str]:
    """A line for each step as it ends, and for each attempt that is repeated, until the execution has ended, which the
    last line tells. Where another run goes on in its place (continued as new, or retried), that one is followed.

    Raises NoWorker within 10 s where nobody serves a queue that it waits for, and StillRunning after `timeout` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    watch = _Watch(set())
    while True:
        row = WorkflowExecution.objects.get(id=execution)  # before its steps: what it says, they have done
        yield from _news(row, watch)
        if row.status not in OPEN_STATUSES:
            following = _in_its_place(row)
            if following is None:
                yield ending_line(row)
                return
            yield f"↻ {row.get_status_display().lower()}: {following.id}"
            execution, watch = following.id, _Watch(set())
            continue
        _check_served(row, watch)
        if deadline is not None and time.monotonic() > deadline:
            raise StillRunning(
                f"execution {execution} has not ended within {timeout:g} s ({_waits_for(row)}); it goes on: "
                f"python manage.py executions show {execution}"
            )
        time.sleep(POLL_SECONDS)


def result_of(execution: uuid.UUID) -> Any:
    """What a completed execution, or the run in its place, returned, in JSON's types."""
    return payloads.decode(_last(execution).result)


def succeeded(execution: uuid.UUID) -> bool:
    """Whether it, or the run in its place, has completed."""
    return _last(execution).status == ExecutionStatus.COMPLETED


def _last(execution: uuid.UUID) -> WorkflowExecution:
    row = WorkflowExecution.objects.get(id=execution)
    while (following := _in_its_place(row)) is not None:
        row = following
    return row


def _in_its_place(row: WorkflowExecution) -> WorkflowExecution | None:
    """The run that goes on with what this one was to do. (The next one of a cron schedule does something anew.)"""
    continued = row.status == ExecutionStatus.CONTINUED
    failed = row.status in (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
    if continued or (failed and not run_options.parse(row.options).cron):
        return continuing.next_run(row)
    return None


def _news(row: WorkflowExecution, watch: _Watch) -> Iterator[str]:
    steps = ExecutionStep.objects.filter(execution=row).filter(Q(status__in=ENDED_STEP_STATUSES) | Q(attempt__gt=0))
    for step in sorted(steps, key=lambda step: (step.completed_at or clock.now(), step.seq)):
        key = (step.seq, step.attempt, step.status)
        line = step_line(step)
        if line and key not in watch.told:
            watch.told.add(key)
            yield line


def step_line(step: ExecutionStep) -> str:
    """What there is to tell of a step; empty while its first attempt has not ended."""
    options = payloads.decode(step.options) or {}
    title = options.get("summary") or ""
    name = f"#{step.seq:<3} {step.name or step.kind:<28} {title}".rstrip()
    reason = failures.message(step.failure) if step.failure else ""
    match step.status:
        case StepStatus.COMPLETED if step.kind == StepKind.TIMER:
            return f"✓ {name}  {_span(step.created_at, step.completed_at)}"
        case StepStatus.COMPLETED:
            times = f", attempt {step.attempt}" if step.attempt > 1 else ""
            return f"✓ {name}  {_span(step.started_at or step.created_at, step.completed_at)}{times}"
        case StepStatus.FAILED:
            return f"✗ {name}  failed after {step.attempt} attempt{'s'[: step.attempt != 1]}: {reason}"
        case StepStatus.PENDING if step.attempt:
            return f"↻ {name}  attempt {step.attempt} did not succeed, another one follows: {reason or 'it was lost'}"
        case StepStatus.CANCELLED | StepStatus.SKIPPED | StepStatus.DEAD_LETTER:
            return f"– {name}  {step.get_status_display().lower()}{f': {reason}' if reason else ''}"
    return ""


def ending_line(row: WorkflowExecution) -> str:
    """How an execution ended, and why."""
    good = row.status == ExecutionStatus.COMPLETED
    reason = "" if good or not row.error_message else f": {row.error_message}"
    took = f" after {_span(row.started_at, row.completed_at)}" if row.started_at and row.completed_at else ""
    return f"{'✓' if good else '✗'} {row.get_status_display().lower()}{took}{reason}"


def _check_served(row: WorkflowExecution, watch: _Watch) -> None:
    """Raise NoWorker when what could go on now has found nobody for a while."""
    now = time.monotonic()
    served = queues.served()
    missing = [queue for queue in _queues_of(row) if queue not in served]
    if not missing:
        watch.unserved_since = None
    elif watch.unserved_since is None:
        watch.unserved_since = now
    elif now - watch.unserved_since > NO_WORKER_PATIENCE:
        raise NoWorker(row.id, missing[0])


def _queues_of(row: WorkflowExecution) -> list[str]:
    """Where the execution is carried, and where steps of it wait to run."""
    steps = ExecutionStep.objects.filter(
        execution=row, kind=StepKind.ACTIVITY, status__in=(StepStatus.PENDING, StepStatus.RUNNING)
    )
    return list(dict.fromkeys([row.queue, *steps.order_by("seq").values_list("queue", flat=True)]))


def _waits_for(row: WorkflowExecution) -> str:
    if row.paused_at is not None:
        return "it is paused"
    waiting = ExecutionStep.objects.filter(execution=row).exclude(status__in=ENDED_STEP_STATUSES).order_by("seq")
    names = [f"#{step.seq} {step.name or step.kind}" for step in waiting[:3]]
    return f"it waits for {', '.join(names)}" if names else f"it is {row.get_status_display().lower()}"


def _span(start: Any, end: Any) -> str:
    if start is None or end is None:
        return ""
    seconds = max(0.0, (end - start).total_seconds())
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
