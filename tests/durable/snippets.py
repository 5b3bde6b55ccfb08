"""Running a piece of workflow code on a carrier."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection

from automation.models import WorkflowExecution
from tests.flows.workflows import snippet
from tests.support.carrier import Carrier, result, row

__all__ = ["begun", "ended", "outcome", "snippet", "somebody_waits", "steps"]


def begun(carrier: Carrier, function: Any, data: Any = None) -> uuid.UUID:
    """An execution of this code, with what can be delivered delivered."""
    snippet(function)
    execution = carrier.start("flows_snippet", function.__name__, data)
    carrier.drain()
    return execution


def ended(carrier: Carrier, function: Any, data: Any = None) -> WorkflowExecution:
    """The same, at its end."""
    execution = begun(carrier, function, data)
    carrier.finish(execution)
    return row(execution)


def outcome(carrier: Carrier, function: Any, data: Any = None) -> Any:
    """The result of this code."""
    return result(ended(carrier, function, data).id)


def steps(execution: uuid.UUID) -> list[tuple[int, str, str]]:
    """(seq, name, status) of its steps."""
    return list(row(execution).steps.order_by("seq").values_list("seq", "name", "status"))


def somebody_waits() -> bool:
    """Whether a session of PostgreSQL waits for another one's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
