"""The test workflows' app. In workers it makes trouble that a test asks for by the environment."""

from __future__ import annotations

import os
from typing import Any

from django.apps import AppConfig


class FlowsConfig(AppConfig):
    name = "tests.flows"

    def ready(self) -> None:
        if os.environ.get("WEIR_TEST_DOUBLE_MESSAGES"):
            double_messages()


def double_messages() -> None:
    """Have every task message sent twice, as it is: the same id, the same place in its chain or chord."""
    from project.celery import app

    send = app.amqp.send_task_message

    def twice(*args: Any, **options: Any) -> Any:
        send(*args, **options)
        return send(*args, **options)

    app.amqp.send_task_message = twice
