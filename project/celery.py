"""The Celery app: transport options, queues, routing. Run with `celery -A project worker`."""

from __future__ import annotations

import math
import os
from typing import Any

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")


class App(Celery):  # type: ignore[misc]
    """Celery, which for a task that is known by name only asks the settings, too, whether its result is wanted and how
    urgent it is, and which delays no message on RabbitMQ by less than was asked for."""

    def send_task(self, *args: Any, **options: Any) -> Any:
        # Left alone, each such message subscribes to its result first, and waits 19 s for a Redis that is away.
        options.setdefault("ignore_result", self.conf.task_ignore_result)
        if options.get("priority") is None:
            options["priority"] = self.conf.task_default_priority
        if self.conf.task_default_queue_type == "quorum" and options.get("countdown"):
            # RabbitMQ delays by whole seconds. Celery cuts the rest off, and refuses what is less than one; a message
            # that comes before its time does nothing.
            options["countdown"] = math.ceil(options["countdown"])
        return super().send_task(*args, **options)


BACKGROUND_TASKS = (
    "cleanup_old_workflow_executions",
    "clean_up_outside",
    "monitor_workflow_performance",
    "validate_all_workflow_configurations",
    "start_scheduled_workflow",
)
"""What beat sends into the background queue of its own namespace; its rows are those of all namespaces."""

ORDINARY = 3
"""The priority of ordinary messages on Redis, which serves 0 first."""
_AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
"""One more attempt to connect, and no more."""

TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "project.transport:Transport"))
app = App("weir")


def _configure() -> dict[str, Any]:
    from django.conf import settings

    # Namespaces on one broker see nothing of each other.
    namespace = "" if settings.WORKFLOW_NAMESPACE == "default" else f"{settings.WORKFLOW_NAMESPACE}:"
    prefix = settings.CELERY_KEY_PREFIX + namespace
    queues = [
        settings.WORKFLOW_TASK_QUEUE,
        settings.WORKFLOW_CRITICAL_QUEUE,
        settings.WORKFLOW_BACKGROUND_QUEUE,
    ]
    config: dict[str, Any] = {
        "broker_url": settings.CELERY_BROKER_URL,
        # None is for ever.
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": _redis(settings.CELERY_VISIBILITY_TIMEOUT, prefix),
        "result_backend": settings.CELERY_RESULT_BACKEND,
        "result_backend_transport_options": {
            "visibility_timeout": settings.CELERY_VISIBILITY_TIMEOUT,
            "global_keyprefix": prefix,
        },
        # The third place that reads it: applications that share a broker get the shortest.
        "visibility_timeout": settings.CELERY_VISIBILITY_TIMEOUT,
        "redis_socket_timeout": 3,
        "redis_socket_connect_timeout": 3,
        "result_expires": 3600,
        "task_ignore_result": True,
        "task_default_priority": ORDINARY,
        "task_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        "task_default_queue": settings.WORKFLOW_TASK_QUEUE,
        # What a worker consumes that is not told its queues. The domains' queues are made as they are named.
        "task_queues": [_queue(name) for name in dict.fromkeys(queues)],
        "task_create_missing_queues": True,
        "task_routes": {name: {"queue": settings.WORKFLOW_BACKGROUND_QUEUE} for name in BACKGROUND_TASKS},
        # A publish that fails is not repeated: the row is there, and a sweep publishes again.
        "task_publish_retry": False,
        # Rows are the truth: a message is acknowledged as soon as it is read, and a sweep replaces a lost one.
        "task_acks_late": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Messages that a worker holds for each of its processes. What waits behind a long step here is published again
        # for others after DURABLE_REPUBLISH_MIN; more than a few would gain no throughput, as a message carries many
        # steps.
        "worker_prefetch_multiplier": 4,
        "worker_hijack_root_logger": False,
        "worker_consumer": "tasks.consumer:Consumer",
        "beat_scheduler": "tasks.beat:LeasedScheduler",
        "beat_max_loop_interval": 1,
        # Each tick is written down at once: whoever takes over from a dead beat goes on from there.
        "beat_sync_every": 1,
        # Celery's Django fixup closes the database connection around every task; this keeps it open
        # (a stale one is noticed and replaced by automation.durable.statements).
        "CELERY_DB_REUSE_MAX": 2**31,
    }
    if settings.CELERY_BROKER_URL.startswith(("amqp", "pyamqp")):
        config |= _rabbitmq(queues)
    return config


def _queue(name: str, **options: Any) -> Any:
    from kombu.entity import Queue

    return Queue(name, routing_key=name, **options)  # type: ignore[no-untyped-call]


def _redis(visibility_timeout: int, prefix: str) -> dict[str, Any]:
    return {
        "visibility_timeout": visibility_timeout,
        "global_keyprefix": prefix,
        "priority_steps": list(range(ORDINARY + 1)),
        # A publish to a broker that is away fails at once, and to one that hangs in 6 s; without these, after 4 s, and
        # never.
        **_AT_ONCE,
        "socket_timeout": 3,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "retry_on_timeout": False,
        # Messages of a dead worker come back within 5 s of the visibility timeout; by default within 100 s.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    }


def _rabbitmq(queues: list[str]) -> dict[str, Any]:
    """Quorum queues: replicated, and with a native delay for countdowns, which needs topic exchanges."""
    from kombu.entity import Exchange

    def quorum(name: str) -> Any:
        exchange = Exchange(name, type="topic")  # type: ignore[no-untyped-call]
        return _queue(name, exchange=exchange, queue_arguments={"x-queue-type": "quorum"})

    return {
        "broker_transport_options": {"confirm_publish": True, "connect_timeout": 3, "write_timeout": 3, **_AT_ONCE},
        "task_default_priority": None,  # there, what has none is ordinary
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "task_create_missing_queue_type": "quorum",  # the domains'
        "task_create_missing_queue_exchange_type": "topic",
        "task_queues": [quorum(name) for name in dict.fromkeys(queues)],
        "worker_detect_quorum_queues": True,
        # What waits in a worker behind an activity of half an hour has the channel closed (`consumer_timeout`).
        "broker_channel_error_retry": True,
    }


app.add_defaults(_configure)  # lazily: reading the settings at import would make `project` unimportable in them
app.autodiscover_tasks(["tasks"], related_name="registry")
app.steps["worker"].add("tasks.heartbeat:Heartbeat")
