"""A booking's messages, past and planned, beside its changes, and what can be done about them (`services.planned`).

Planned are executions that have not begun, with all of their actions; and of one that has begun, the actions whose turn
has come and that wait for their time: a delay, quiet hours, another attempt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from automation import clock
from automation.actions.invocation import context_of
from automation.errors import WeirError
from automation.models import (
    Booking,
    BookingAuditLog,
    ExecutionStatus,
    ExecutionStep,
    NotificationLog,
    StepStatus,
    WorkflowExecution,
)
from automation.rules import plan
from automation.services import outcomes, trials

CONTROLS = ("skip", "send_now", "move")
MAX_ENTRIES = 500
"""The newest of each kind."""


@dataclass
class Entry:
    """One line. `kind`: change (of the booking), message (sent, or tried), not_sent (an execution that was cancelled;
    `reason` says why) or planned. `status`: of a message its own, of what is planned what it would come to as things
    are (`trials.ActionTrial`). `controls`: what can be done about its execution, with all of its actions; where that
    `has_begun`, about this action."""

    kind: str
    at: dt.datetime
    status: str = ""
    workflow_id: UUID | None = None
    workflow_name: str = ""
    execution_id: UUID | None = None
    action_id: str = ""
    action: str = ""
    action_type: str = ""
    channel: str = ""
    recipients: list[str] = field(default_factory=list)
    subject: str = ""
    reason: str = ""
    actor: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    set_by_hand: bool = False
    has_begun: bool = False
    controls: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "at": self.at.isoformat(),
            "workflow_id": str(self.workflow_id) if self.workflow_id else None,
            "execution_id": str(self.execution_id) if self.execution_id else None,
        }


def timeline(booking: Booking) -> list[Entry]:
    """What happened and what is planned, by time: five queries. `booking` has its event type and organizer at hand."""
    executions = list(
        WorkflowExecution.objects.filter(booking=booking, workflow__isnull=False)
        .select_related("workflow", "version")
        .defer("input", "result", "failure")
        .order_by("-id")[:MAX_ENTRIES]
    )
    messages = NotificationLog.objects.filter(execution__in=[row.pk for row in executions]).order_by("-id")
    waiting = waiting_steps([row.pk for row in executions if row.status == ExecutionStatus.RUNNING])
    context = context_of(booking, clock.now())
    by_id = {row.pk: row for row in executions}
    entries = [
        *(_change(row) for row in BookingAuditLog.objects.filter(booking=booking).order_by("-id")[:MAX_ENTRIES]),
        *(_message(row, by_id) for row in messages[:MAX_ENTRIES]),
        *(_not_sent(row) for row in executions if row.status == ExecutionStatus.CANCELLED and row.started_at is None),
        *(entry for row in executions if is_planned(row) for entry in _planned(row, context)),
        *_still_waiting(waiting, by_id, context),
    ]
    return sorted(entries, key=lambda entry: entry.at)


def waiting_steps(executions: Sequence[UUID]) -> QuerySet[ExecutionStep]:
    """The actions of executions that have begun, whose turn has come and that wait for their time."""
    return ExecutionStep.objects.filter(
        execution__in=executions,
        kind__in=outcomes.ACTION_KINDS,
        status=StepStatus.PENDING,
        run_at__isnull=False,
        due__isnull=False,
    ).order_by("run_at", "seq")


def is_planned(execution: WorkflowExecution) -> bool:
    return execution.status == ExecutionStatus.PENDING and execution.started_at is None


def _change(row: BookingAuditLog) -> Entry:
    names = sorted({*row.old_values, *row.new_values})
    changes = {name: {"old": row.old_values.get(name), "new": row.new_values.get(name)} for name in names}
    return Entry(
        "change", row.created_at, status=row.action, actor=row.actor, changes=changes, execution_id=row.execution_id
    )


def _message(row: NotificationLog, executions: Mapping[UUID, WorkflowExecution]) -> Entry:
    execution = executions[row.execution_id] if row.execution_id is not None else None
    return Entry(
        "message",
        row.sent_at or row.created_at,
        status=row.status,
        channel=row.channel,
        recipients=[row.recipient],
        subject=row.subject,
        reason=row.error,
        **_of(execution),
    )


def _not_sent(row: WorkflowExecution) -> Entry:
    at = row.scheduled_for or row.completed_at or row.created_at
    return Entry("not_sent", at, status=row.status, reason=row.error_message, **_of(row))


def _planned(row: WorkflowExecution, context: Mapping[str, Any]) -> Iterator[Entry]:
    """One entry for each action of an execution that has not begun, at the earliest time at which it can run."""
    snapshot: Mapping[str, Any] = row.version.snapshot if row.version is not None else {}
    actions = {str(action["id"]): action for action in snapshot.get("actions", ())}
    begins = row.scheduled_for or row.created_at
    set_by_hand = row.fixed_sequence is not None and row.fixed_sequence == row.booking_sequence
    controls = list(CONTROLS) if row.booking_sequence is not None else ["skip"]
    try:
        stages = plan.stages(snapshot.get("actions", ()))
    except WeirError:
        stages = []
    for stage in stages:
        ends = begins
        for action in stage.actions:
            at = begins + dt.timedelta(minutes=action.delay_minutes)
            ends = max(ends, at)
            yield _of_action(at, actions[action.id], row, context, controls, set_by_hand)
        begins = ends


def _still_waiting(
    steps: Iterable[ExecutionStep], executions: Mapping[UUID, WorkflowExecution], context: Mapping[str, Any]
) -> Iterator[Entry]:
    for step in steps:
        row = executions[step.execution_id]
        snapshot: Mapping[str, Any] = row.version.snapshot if row.version is not None else {}
        actions = {str(action["id"]): action for action in snapshot.get("actions", ())}
        action = actions.get(outcomes.action_id_of(step))
        if action is not None and step.run_at is not None:
            controls = CONTROLS if row.paused_at is None else ()
            yield replace(_of_action(step.run_at, action, row, context, controls, False), has_begun=True)


def _of_action(
    at: dt.datetime,
    action: Mapping[str, Any],
    row: WorkflowExecution,
    context: Mapping[str, Any],
    controls: Sequence[str],
    set_by_hand: bool,
) -> Entry:
    trial = trials.try_action(action, context)
    problems = [problem["message"] for problem in trial.problems if problem["severity"] == "error"]
    return Entry(
        "planned",
        at,
        status=trial.status,
        action_id=trial.action_id,
        action=trial.name,
        action_type=trial.action_type,
        recipients=trial.recipients,
        subject=str(trial.rendered.get("subject", "")),
        reason=" ".join(problems) if trial.status == trials.FAILS else "",
        set_by_hand=set_by_hand,
        controls=list(controls),
        **_of(row),
    )


def _of(row: WorkflowExecution | None) -> dict[str, Any]:
    if row is None:
        return {}
    name = row.workflow.name if row.workflow is not None else row.definition
    return {"execution_id": row.pk, "workflow_id": row.workflow_id, "workflow_name": name}
