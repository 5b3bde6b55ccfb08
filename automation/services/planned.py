"""What a person does about a booking's planned messages: skip them, send them now, or move them.

Of an execution that has not begun, all actions together; a time that a person has set stays until the meeting itself is
moved. Of one that has begun, the actions that wait for their time: one of them, or all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from automation import clock
from automation.actions import deliveries, invocation
from automation.actions.report import Report
from automation.durable import control, interventions
from automation.errors import Conflict, InvalidInput, NotFound, WeirError
from automation.models import Booking, BookingAuditLog, ExecutionStep, StepStatus, Trigger, WorkflowExecution
from automation.services import outcomes, timeline

FARTHEST = dt.timedelta(days=5 * 366)


def skip(booking: Booking, execution_id: UUID, *, by: str, reason: str = "", action_id: UUID | None = None) -> None:
    """Have a planned execution not run, or waiting actions of one that has begun. A meeting that is moved plans anew.

    Raises NotFound, Conflict where nothing waits any more, and InvalidInput for one action of an execution that has not
    begun.
    """
    text = f"Skipped by {by}." + (f" {reason}" if reason else "")
    with transaction.atomic():
        execution = _locked(booking, execution_id)
        if timeline.is_planned(execution):
            _refuse_one(action_id)
            if not control.cancel_planned(WorkflowExecution.objects.filter(pk=execution.pk), text):
                raise _over(execution)
            _audit(booking, execution, "message_skipped", by, {"reason": reason})
            return
        for step in _waiting(execution, action_id):
            interventions.settle(execution.pk, step.seq, Report().skipped(text))
            deliveries.withdraw_step(execution.pk, step.seq, text)
            values = {"action": _name(execution, step), "reason": reason}
            _audit(booking, execution, "message_skipped", by, values)


def send_now(booking: Booking, execution_id: UUID, *, by: str, action_id: UUID | None = None) -> None:
    """Have a planned execution, or waiting actions, run at once. Raises as `skip` does."""
    _set_time(booking, execution_id, clock.now(), by, "message_sent_now", action_id)


def move(booking: Booking, execution_id: UUID, at: dt.datetime, *, by: str, action_id: UUID | None = None) -> None:
    """Have a planned execution, or waiting actions, run at another time. Raises as `skip` does, and InvalidInput for a
    time that has passed, or one after the meeting's start for what runs before it."""
    now = clock.now()
    problem = ""
    if at <= now:
        problem = f"{at.isoformat()} has passed; send-now runs it at once."
    elif at > now + FARTHEST:
        problem = f"{at.isoformat()} lies more than five years ahead."
    if problem:
        raise InvalidInput("It cannot be moved there.", {"at": [problem]})
    _set_time(booking, execution_id, at, by, "message_moved", action_id)


def _set_time(
    booking: Booking, execution_id: UUID, at: dt.datetime, by: str, action: str, action_id: UUID | None
) -> None:
    with transaction.atomic():
        execution = _locked(booking, execution_id)
        meeting = Booking.objects.get(pk=booking.pk)  # as it is under the lock: it may have been moved meanwhile
        if not timeline.is_planned(execution):
            for step in _waiting(execution, action_id):
                planned = invocation.planned_for(execution, outcomes.action_id_of(step)) or step.run_at
                # Where the plan itself leads past the start, after the start is when it is meant.
                if planned is None or planned < meeting.start_time:
                    _refuse_after_start(execution, meeting, at)
                interventions.move(execution.pk, step.seq, at)
                values = {"action": _name(execution, step), **_times(step.run_at, at)}
                _audit(booking, execution, action, by, values)
            return
        _refuse_one(action_id)
        _refuse_after_start(execution, meeting, at)
        if execution.booking_sequence is None:
            raise Conflict("It was started by hand, and runs as soon as there is a worker.")
        before = execution.scheduled_for
        WorkflowExecution.objects.filter(pk=execution.pk).update(fixed_sequence=execution.booking_sequence)
        if not control.move_planned([(execution.pk, at, execution.booking_sequence)]):
            raise _over(execution)
        _audit(booking, execution, action, by, _times(before, at))


def _locked(booking: Booking, execution_id: UUID) -> WorkflowExecution:
    """The execution, under its booking's lock and its own, in the order in which planning takes them."""
    Booking.objects.select_for_update().get(pk=booking.pk)
    execution = (
        WorkflowExecution.objects.filter(pk=execution_id, booking=booking, workflow__isnull=False)
        .select_for_update(of=("self",))
        .select_related("workflow", "version")
        .first()
    )
    if execution is None:
        raise NotFound(f"There is no execution {execution_id} of this booking.")
    return execution


def _waiting(execution: WorkflowExecution, action_id: UUID | None) -> Sequence[ExecutionStep]:
    """The actions that wait: that one, or all."""
    if execution.paused_at is not None:
        raise Conflict(f"Execution {execution.pk} is paused: resume it first.")
    steps = [
        step
        for step in timeline.waiting_steps([execution.pk])
        if action_id is None or outcomes.action_id_of(step) == str(action_id)
    ]
    if not steps:
        raise _over(execution) if action_id is None else _not_waiting(execution, action_id)
    return steps


def _not_waiting(execution: WorkflowExecution, action_id: UUID) -> WeirError:
    """Why that action does not wait for its time."""
    names = _names(execution)
    name = names.get(str(action_id))
    if name is None:
        known = ", ".join(f"{id_} ({name!r})" for id_, name in list(names.items())[:10])
        problem = f"{action_id} is no action of this execution; it has {known}."
        return InvalidInput(problem, {"action_id": [problem]})
    steps = ExecutionStep.objects.filter(execution=execution, kind__in=outcomes.ACTION_KINDS, status=StepStatus.PENDING)
    if any(outcomes.action_id_of(step) == str(action_id) for step in steps.filter(due=None)):
        return Conflict(
            f"The turn of {name!r} has not come: what is before it has to end first. Act on that, or cancel the "
            "execution, which stops all that is left of it."
        )
    return _over(execution)


def _refuse_one(action_id: UUID | None) -> None:
    if action_id is not None:
        problem = "The execution has not begun, so that its actions move together: leave action_id out."
        raise InvalidInput(problem, {"action_id": [problem]})


def _refuse_after_start(execution: WorkflowExecution, meeting: Booking, at: dt.datetime) -> None:
    if execution.trigger == Trigger.BEFORE_MEETING and at >= meeting.start_time:
        start = meeting.start_time.isoformat()
        raise InvalidInput("It cannot run then.", {"at": [f"It runs before the meeting, which starts at {start}."]})


def _over(execution: WorkflowExecution) -> Conflict:
    return Conflict(
        f"Execution {execution.pk} is {execution.status}, and what was asked for does not wait for its time any more: "
        "it runs, or has ended."
    )


def _name(execution: WorkflowExecution, step: ExecutionStep) -> str:
    return _names(execution).get(outcomes.action_id_of(step), step.name)


def _names(execution: WorkflowExecution) -> dict[str, str]:
    """The names of its version's actions, by their ids."""
    snapshot: Mapping[str, Any] = execution.version.snapshot if execution.version is not None else {}
    return {str(action["id"]): str(action["name"]) for action in snapshot.get("actions", ())}


def _times(before: dt.datetime | None, at: dt.datetime) -> dict[str, Any]:
    return {"from": before.isoformat() if before else None, "to": at.isoformat()}


def _audit(booking: Booking, execution: WorkflowExecution, action: str, by: str, values: Mapping[str, Any]) -> None:
    workflow = execution.workflow.name if execution.workflow is not None else ""
    BookingAuditLog.objects.create(
        booking=booking,
        action=action,
        actor=by[:254],
        execution=execution,
        new_values={"workflow": workflow, **values},
    )
