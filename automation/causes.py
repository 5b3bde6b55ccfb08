"""Why a booking is being changed: who or what is at work in this context.

`Booking.save()` reads `current_cause()` and writes it into the event that it records, so that a workflow's own change
does not trigger that workflow again, and a loop between workflows is cut. Whoever changes a booking says so:

    with caused_by("api"):
        booking.save()

The cause lives in a `ContextVar`: each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


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
_current: ContextVar[Cause] = ContextVar("weir_cause", default=_CODE)


def current_cause() -> Cause:
    """The innermost `caused_by` around the caller, else plain code at depth 0."""
    return _current.get()


@contextmanager
def caused_by(
    source: str, *, execution_id: UUID | None = None, workflow_id: UUID | None = None, depth: int = 0
) -> Iterator[Cause]:
    """Changes made inside the block happen for this cause."""
    cause = Cause(source, execution_id, workflow_id, depth)
    token = _current.set(cause)
    try:
        yield cause
    finally:
        _current.reset(token)
