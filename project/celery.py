"""The Celery app: transport options, queues, routing. Run with `celery -A project worker`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("weir")


def _configure() -> dict[str, Any]:
    from django.conf import settings

    transport = {
        "visibility_timeout": settings.CELERY_VISIBILITY_TIMEOUT,
        "global_keyprefix": settings.CELERY_KEY_PREFIX,
        # Without a timeout, publishing to a broker that hangs blocks for ever.
        "socket_timeout": 3,
        "socket_connect_timeout": 3,
        "retry_on_timeout": False,
        "unacked_restore_interval": 5,
    }
    return {
        "broker_url": settings.CELERY_BROKER_URL,
        "broker_transport_options": transport,
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        "result_backend": settings.CELERY_RESULT_BACKEND,
        "result_backend_transport_options": {
            "visibility_timeout": settings.CELERY_VISIBILITY_TIMEOUT,
            "global_keyprefix": settings.CELERY_KEY_PREFIX,
        },
        "visibility_timeout": settings.CELERY_VISIBILITY_TIMEOUT,
        "redis_socket_timeout": 3,
        "redis_socket_connect_timeout": 3,
        "result_expires": 3600,
        "task_ignore_result": True,
        # Rows are the truth: a message is acknowledged as soon as it is read, and a sweep replaces a lost one.
        "task_acks_late": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_prefetch_multiplier": 8,
        "task_default_queue": settings.WORKFLOW_TASK_QUEUE,
        "task_publish_retry": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        "beat_scheduler": "tasks.beat.LeasedScheduler",
        "beat_max_loop_interval": 1,
        "worker_hijack_root_logger": False,
        "worker_consumer": "tasks.consumer.Consumer",
        # Celery's Django fixup closes the database connection around every task; this keeps it open
        # (a stale one is noticed and replaced by automation.durable.statements).
        "CELERY_DB_REUSE_MAX": 2**31,
    }


app.add_defaults(_configure)  # lazily: reading the settings at import would make `project` unimportable in them
app.autodiscover_tasks(["tasks"], related_name="registry")
