"""Steps in Flower: one message carries several, and each is reported under its activity's name.

A worker that was started with `-E` sends Celery's task events for every step that a message carries beyond the one it
is named after. Without `-E` nothing is sent and nothing is paid.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import kombu.exceptions
import redis.exceptions
from celery import current_task, signals

from automation import clock
from automation.durable import hooks
from automation.durable.runner import Ran
from project.celery import app

logger = logging.getLogger(__name__)


@signals.celeryd_after_setup.connect
def report_steps(instance: Any = None, **_: Any) -> None:
    """In the worker's main process, before its children are forked."""
    if getattr(instance, "task_events", False):
        hooks.on_step(run_and_report)


def run_and_report(name: str, execution: uuid.UUID, seq: int, run: Callable[[], Ran]) -> Ran:
    """Run an attempt between the events of a task of its own, with the id '<execution>:<step>'."""
    task = current_task._get_current_object() if current_task else None
    if task is not None and task.name == name and seq == task.request.args[1][0]:
        return run()  # Celery reports the message itself
    id_ = f"{execution}:{seq}"
    arguments = repr((str(execution), seq))
    _send("task-received", uuid=id_, name=name, args=arguments, kwargs="{}", root_id=str(execution))
    _send("task-started", uuid=id_)
    began = clock.timestamp()
    ran = run()
    runtime = clock.timestamp() - began
    if ran.retry_at is not None:
        _send("task-retried", uuid=id_, exception=ran.failure[:500], traceback="")
    elif ran.outcome is not None and ran.outcome.status != "completed":
        _send("task-failed", uuid=id_, exception=ran.failure[:500], traceback="")
    else:
        result = ran.outcome.output[:500] if ran.outcome is not None else ""
        _send("task-succeeded", uuid=id_, result=result, runtime=runtime)
    return ran


def _send(event: str, **fields: Any) -> None:
    hostname = current_task.request.hostname if current_task else None
    try:
        with app.events.default_dispatcher(hostname=hostname) as dispatcher:
            dispatcher.send(event, **fields)
    except (kombu.exceptions.KombuError, redis.exceptions.RedisError, OSError) as error:
        logger.debug("event %s was not sent: %s", event, error)  # Flower misses a line; the row has it
