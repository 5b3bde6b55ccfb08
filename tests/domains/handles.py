"""Signals and queries for what a test environment runs."""

from __future__ import annotations

from typing import Any

from automation.durable import inbox, payloads, queries
from automation.durable.testing import WorkflowEnvironment
from automation.durable.testing.handles import EnvironmentHandle


def tell(env: WorkflowEnvironment, handle: EnvironmentHandle, signal: str, *args: Any) -> None:
    """Send a signal, and let what follows happen."""
    delivered = inbox.signal(handle.execution.id, signal, payloads.encode(list(args)))
    assert delivered is not None, "the execution has ended"
    env.settle()


def ask(handle: EnvironmentHandle, query: str, *args: Any) -> Any:
    """What a query answers."""
    return payloads.decode(queries.ask(handle.execution.id, query, payloads.encode(list(args))))
