"""A meeting that is moved twice in a row is told of once.

A word of the earlier move reads the booking when it is sent, and so names the newest time, as the word of the newer one
does: whoever got both would get the same twice. Where the booking was replaced by another one, it would name a time
that is over. What has begun asks the same for each of its actions (`Invocation.no_longer_meant`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from automation.durable import control
from automation.durable.starts import NewExecution
from automation.models import Booking, ExecutionStatus, Trigger, WorkflowExecution

OVERTAKEN = "Overtaken: the meeting was moved again before this began, and the newer move has an execution of its own."

Key = tuple[UUID | None, UUID | None]
"""Workflow, booking."""


def split(
    new: Sequence[NewExecution], bookings: Mapping[UUID, Booking]
) -> tuple[list[NewExecution], list[tuple[NewExecution, str]]]:
    """Those that are to run, and those that a newer move of their booking has overtaken, each with the reason; what
    waits for an older move is cancelled. A query and a statement, however many there are; none where nothing moved.

    bookings: those of `new`, whose locks the caller holds. It writes both parts in the same transaction.
    """
    moves = [one for one in new if one.trigger == Trigger.BOOKING_RESCHEDULED]
    if not moves:
        return list(new), []
    replaced: set[Key] = {
        (one.workflow_id, bookings[one.booking_id].rescheduled_from_id) for one in moves if one.booking_id is not None
    }
    keys = {(one.workflow_id, one.booking_id) for one in moves} | replaced
    rows = WorkflowExecution.objects.filter(
        workflow_id__in={workflow for workflow, _ in keys},
        booking_id__in={booking for _, booking in keys if booking is not None},
        trigger=Trigger.BOOKING_RESCHEDULED,
        booking_sequence__isnull=False,
    )
    newest: dict[Key, int] = {}
    waiting: dict[UUID, tuple[Key, int]] = {}
    for id_, workflow, booking, sequence, status, began in rows.values_list(
        "id", "workflow_id", "booking_id", "booking_sequence", "status", "started_at"
    ):
        found, number = (workflow, booking), sequence or 0
        newest[found] = max(number, newest.get(found, 0))
        if status == ExecutionStatus.PENDING and began is None:
            waiting[id_] = found, number
    for one in moves:
        key = one.workflow_id, one.booking_id
        newest[key] = max(one.booking_sequence or 0, newest.get(key, 0))
    over = [id_ for id_, (key, number) in waiting.items() if key in replaced or (key in keys and number < newest[key])]
    if over:
        control.cancel_planned(WorkflowExecution.objects.filter(id__in=over), OVERTAKEN)
    late = [one for one in moves if (one.booking_sequence or 0) < newest[one.workflow_id, one.booking_id]]
    return [one for one in new if one not in late], [(one, OVERTAKEN) for one in late]
