"""The engine's Celery tasks: thin doors from messages to visits.

Besides those below, every activity has a task under its own name: a link, which carries steps of one execution.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from celery import Task, shared_task
from django.conf import settings

from automation.durable import canvas, limits, registry
from automation.durable.options import DEFAULT_START_TO_CLOSE
from automation.durable.visits import Visit
from project.celery import app

VISIT_LIMIT = DEFAULT_START_TO_CLOSE + canvas.TIME_LIMIT_MARGIN
"""Seconds after which Celery ends a visit's process; a step that could take longer gets a message of its own."""

_DELAY = re.compile(r"^(?:[01]\.){28}")
"""What the queue's name follows in the routing key of a message that RabbitMQ has delayed: for how many seconds."""


@shared_task(name=canvas.VISIT, bind=True, time_limit=VISIT_LIMIT)
def execute_workflow(self: Task, executions: list[tuple[str, int | None]]) -> str:
    """Advance executions: [(id, epoch or null), …]."""
    taken = _visit(self, VISIT_LIMIT).executions([(uuid.UUID(id_), epoch) for id_, epoch in executions])
    return f"{taken} advanced"


@shared_task(name=canvas.JOIN, bind=True, time_limit=VISIT_LIMIT)
def join_steps(self: Task, execution: str, head: int) -> str:
    """The body of a chord: what follows is decided by rows."""
    _visit(self, VISIT_LIMIT).join(uuid.UUID(execution), head)
    return "asked"


@shared_task(name=canvas.FIRE, bind=True, time_limit=VISIT_LIMIT)
def fire_timers(self: Task, timers: list[tuple[str, int]]) -> str:
    """Timers whose time has come: [(execution id, seq), …]."""
    fired = _visit(self, VISIT_LIMIT).fire([(uuid.UUID(id_), seq) for id_, seq in timers])
    return f"{fired} fired"


def _run_link(self: Task, execution: str, seqs: list[int], chunk: int = 0) -> str:
    """Run steps of an execution one after the other; what is left when the time budget is used up goes on in a message
    that takes this one's place in its chain or chord."""
    limit = (self.request.timelimit or [None])[0] or VISIT_LIMIT
    budget = settings.DURABLE_CHUNK_BUDGET if chunk else settings.DURABLE_LINK_BUDGET
    visit = _visit(self, limit, budget)
    visit.chained = bool(self.request.chain)
    rest = visit.link(uuid.UUID(execution), seqs, parallel=bool(chunk), asks=chunk != canvas.HEADER)
    if rest:
        again = self.signature(args=[execution, rest, chunk], immutable=True, queue=_queue(self), time_limit=limit)
        raise self.replace(again)
    return "done"


def _visit(task: Task, limit: float, budget: float | None = None) -> Visit:
    return limits.visit(_queue(task), limit, budget)


def _queue(task: Task) -> str:
    delivery: dict[str, Any] = task.request.delivery_info or {}
    return _DELAY.sub("", delivery.get("routing_key") or settings.WORKFLOW_TASK_QUEUE)


def register_activities() -> None:
    """Give every activity its task. A name that another Celery task has already is refused."""
    for definition in registry.activities():
        known = app.tasks.get(definition.name)
        if known is not None and not getattr(known, "is_activity", False):
            raise registry.DuplicateName(
                f"activity {definition.name!r} ({definition.place}) has the name of a Celery task ({known!r}); "
                "rename one"
            )
        app.task(_run_link, name=definition.name, bind=True, rate_limit=definition.rate_limit, is_activity=True)
    app.task(_run_link, name=canvas.ANY_ACTIVITY, bind=True, is_activity=True)
