"""How work travels: the only code that builds Celery messages, chains and chords.

Messages carry ids only, and are hints: the rows they speak of are committed before, and a sweep replaces what is lost.
So publishing never raises; a broker that does not answer is left alone for a moment instead of being waited for by
every request.

- A visit (`execute_workflow`) advances executions.
- A link carries steps of one execution, one after the other; its task is named after its first step's activity.
- A chain of links is a sequence whose steps need several queues; a chord is parallel steps: its header is a few chunks
  (links with a small budget), its body the join. One chord level a dispatch: what follows a join is sent by it.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import amqp.exceptions
import kombu.exceptions
import redis.exceptions
from celery import chain, chord, current_app
from django.conf import settings

from automation.durable import options as step_options
from automation.durable import registry

logger = logging.getLogger(__name__)

VISIT = "execute_workflow"
JOIN = "join_steps"
FIRE = "fire_timers"
EVENTS = "trigger_workflows"
ANY_ACTIVITY = "dynamic_activity"

QUIET_SECONDS = 1.0
"""For so long nothing is published after a publish has failed."""

CHUNK, HEADER = 1, 2
"""What a link's third argument says: its steps are parallel; and it is part of a chord's header, whose body asks."""

BATCH = 100
"""Executions or timers in one message."""

TIME_LIMIT_MARGIN = 30.0

_quiet_until = 0.0


class Sendable(Protocol):
    """A step that is ready to travel: a row of it, or one about to be written."""

    @property
    def seq(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def options(self) -> str: ...
    @property
    def stage(self) -> int: ...
    @property
    def run_at(self) -> dt.datetime | None: ...


def send(
    task_name: str,
    args: Sequence[Any],
    *,
    queue: str | None = None,
    countdown: float | None = None,
    priority: int = 0,
    expires: float | None = None,
) -> bool:
    """Publish one message; says whether it went out."""
    return _publish(_signature(task_name, args, queue, countdown, priority, expires=expires))


def visit(
    executions: Sequence[tuple[uuid.UUID, int | None]], queue: str, *, countdown: float | None = None, priority: int = 0
) -> None:
    """Have executions advanced, a batch to a message. With an epoch, one that comes late or twice does nothing."""
    for start in range(0, len(executions), BATCH):
        batch = [[str(id_), epoch] for id_, epoch in executions[start : start + BATCH]]
        send(VISIT, [batch], queue=queue, countdown=countdown, priority=priority)


def fire(timers: Sequence[tuple[uuid.UUID, int]], queue: str, *, countdown: float | None = None) -> None:
    """Have timers fired, a batch to a message."""
    for start in range(0, len(timers), BATCH):
        batch = [[str(id_), seq] for id_, seq in timers[start : start + BATCH]]
        send(FIRE, [batch], queue=queue, countdown=countdown)


def parallel(execution: uuid.UUID, steps: Sequence[Sendable], now: dt.datetime) -> None:
    """Send steps that do not wait for each other, in chunks."""
    for signature in _chunks(execution, steps, now):
        _publish(signature)


def segment(execution: uuid.UUID, head: int, steps: Sequence[Sendable], now: dt.datetime) -> None:
    """Send a canvas from its first unfinished stage on: links up to the first parallel stage or delay.
    `steps` are its unfinished members; `head` is the canvas's id."""
    stages: dict[int, list[Sendable]] = {}
    for step in steps:
        stages.setdefault(step.stage, []).append(step)
    links: list[list[Sendable]] = []
    header: list[Any] = []
    for position, stage in enumerate(sorted(stages)):
        members = stages[stage]
        delayed = any(step_options.parse(step.options).start_delay for step in members)
        if position and delayed:
            break  # its delay begins when its turn comes: whoever gets there sends it
        if len(members) > 1:
            header = _chunks(execution, members, now, HEADER)
            break
        if links and _together(links[-1][0], members[0]):
            links[-1].append(members[0])
        else:
            links.append(members)
    signatures = [_link(execution, members, now) for members in links]
    if len(header) == 1:
        signatures += header
    elif header:
        signatures.append(chord(header, _signature(JOIN, [str(execution), head], stages[min(stages)][0].queue)))
    if not signatures:
        return
    _publish(signatures[0] if len(signatures) == 1 else chain(*signatures))


def join(execution: uuid.UUID, head: int, queue: str) -> None:
    """Have a canvas asked whether its stage has ended."""
    send(JOIN, [str(execution), head], queue=queue)


def queue_of(message: Any) -> str:
    """The queue that a message goes to."""
    return str(message.options["queue"])


def speaks_of_rows(message: Any) -> bool:
    """Whether a message is the engine's: about executions, or steps, whose rows a worker looks at anyway."""
    return message.task in (VISIT, JOIN, FIRE) or "time_limit" in message.options  # which links have


def _together(first: Sendable, step: Sendable) -> bool:
    return (
        step.queue == first.queue
        and not step_options.parse(step.options).alone
        and not step_options.parse(first.options).alone
    )


def _chunks(execution: uuid.UUID, steps: Sequence[Sendable], now: dt.datetime, kind: int = CHUNK) -> list[Any]:
    """Links for parallel steps: about two per worker slot, by queue; what is delayed or rate-limited goes alone."""
    horizon = now + dt.timedelta(seconds=settings.DURABLE_COUNTDOWN_HORIZON)
    alone: list[list[Sendable]] = []
    by_queue: dict[tuple[str, int], list[Sendable]] = {}
    for step in steps:
        if step.run_at is not None and step.run_at > horizon:
            continue  # a due row: the sweep sends it when its time is near
        if (step.run_at is not None and step.run_at > now) or step_options.parse(step.options).alone:
            alone.append([step])
        else:
            by_queue.setdefault((step.queue, step.priority), []).append(step)
    pieces = alone
    for members in by_queue.values():
        size = math.ceil(len(members) / (2 * settings.DURABLE_WORKER_SLOTS))
        pieces += [members[start : start + size] for start in range(0, len(members), size)]
    if len(pieces) == 1:
        kind = CHUNK if len(steps) > 1 else 0  # no chord: nobody else asks what follows
    return [_link(execution, members, now, chunk=kind) for members in pieces]


def _link(execution: uuid.UUID, steps: Sequence[Sendable], now: dt.datetime, *, chunk: int = 0) -> Any:
    first = steps[0]
    longest = max(step_options.parse(step.options).attempt_seconds() for step in steps)
    countdown = max(0.0, (first.run_at - now).total_seconds()) if first.run_at is not None else 0.0
    return _signature(
        _task_of(first.name),
        [str(execution), [step.seq for step in steps], chunk],
        first.queue,
        countdown or None,
        first.priority,
        time_limit=longest + settings.DURABLE_LINK_BUDGET + TIME_LIMIT_MARGIN,
    )


def _task_of(activity: str) -> str:
    """An activity's task has its name; those that a dynamic one takes share a task."""
    unknown = registry.find_activity(activity) is None
    return ANY_ACTIVITY if unknown and registry.takes_any_activity() else activity


def _signature(
    name: str,
    args: Sequence[Any],
    queue: str | None = None,
    countdown: float | None = None,
    priority: int = 0,
    *,
    expires: float | None = None,
    time_limit: float | None = None,
) -> Any:
    options: dict[str, Any] = {"queue": queue or settings.WORKFLOW_TASK_QUEUE}
    if countdown:
        options["countdown"] = countdown
    if priority:
        options["priority"] = _on_the_broker(priority)
    if expires is not None:
        options["expires"] = expires
    if time_limit is not None:
        options["time_limit"] = time_limit
    return current_app.signature(name, args=list(args), immutable=True, options=options)


def _on_the_broker(urgency: int) -> int:
    """A priority of ours (more is more urgent) as the broker counts. Redis serves 0 first, so that ordinary messages
    have a number there (`task_default_priority`); to RabbitMQ all above 4 are urgent."""
    ordinary: int | None = current_app.conf.task_default_priority
    return min(9, 4 + urgency) if ordinary is None else max(0, ordinary - urgency)


def _publish(signature: Any) -> bool:
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return False
    try:
        signature.apply_async()
    except (
        kombu.exceptions.KombuError,
        redis.exceptions.RedisError,
        amqp.exceptions.AMQPError,
        OSError,
        RuntimeError,
    ) as error:
        # (RuntimeError is what Celery makes of a result backend that is away, which a chord needs; AMQPError is what
        # RabbitMQ refuses: a password, a queue of another kind, a delay before a worker has set delays up.)
        # Nothing is lost: the row that this message speaks of is due, and a sweep publishes it again.
        _quiet_until = time.monotonic() + QUIET_SECONDS
        logger.warning("the broker did not take %s: %s; a sweep will send it", signature.get("task"), error)
        return False
    return True
