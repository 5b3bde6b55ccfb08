"""Why a booking is being changed: who or what is at work in this context.

`Booking.save()` reads `current_cause()` and writes it into the event that it records, so that a workflow's own change
does not trigger that workflow again, and a loop between workflows is cut. Whoever changes a booking says so:

    with caused_by("api"):
        booking.save()

The cause lives in a `ContextVar`: each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

MAX_DEPTH = 5
"""A chain of workflows that cause each other ends here."""


@dataclass(frozen=True)
class Cause:
    """`source` is the way in (`BookingEvent.source`: api, admin, code, workflow, cal.com …).

    For a change by a workflow's action, `execution_id` and `workflow_id` name it, and `depth` is the depth that the
    event gets and that executions it starts inherit: 0 for a change by a person, the causing execution's depth + 1
    for a change by a workflow.
    """

    source: str = "code"
    execution_id: UUID | None = None
    workflow_id: UUID | None = None
    depth: int = 0


_CODE = Cause()
_current: ContextVar[Cause | None] = ContextVar("weir_cause", default=None)
_resolvers: list[Callable[[], Cause | None]] = []


def resolve_with(resolver: Callable[[], Cause | None]) -> None:
    """Ask this one where no `caused_by` is in effect: an activity that changes a booking need not say who it is."""
    _resolvers[:] = [resolver]


def current_cause() -> Cause:
    """The innermost `caused_by` around the caller, else the activity that runs, else plain code at depth 0."""
    return _current.get() or next((found for resolver in _resolvers if (found := resolver())), _CODE)


@contextmanager
def caused_by(
    source: str, *, execution_id: UUID | None = None, workflow_id: UUID | None = None, depth: int = 0
) -> Iterator[Cause]:
    """Changes made inside the block happen for this cause.

    Whoever does not name a workflow takes over what is known of the cause around: a service that names its way in does
    not make a workflow's change a person's, and nobody makes a chain of causes shorter than it is.
    """
    if workflow_id is None:
        around = current_cause()
        execution_id = execution_id or around.execution_id
        workflow_id, depth = around.workflow_id, max(depth, around.depth)
    token = _current.set(cause := Cause(source, execution_id, workflow_id, depth))
    try:
        yield cause
    finally:
        _current.reset(token)
