"""A booking's messages, past and planned, beside its changes, and what can be done about them (`services.planned`).

Planned are executions that have not begun, with all of their actions; and of one that has begun, what is left of it:
actions that wait for their time (a delay, quiet hours, another attempt), and those whose turn has not come.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from automation import clock
from automation.actions.invocation import context_of
from automation.durable.options import parse
from automation.errors import WeirError
from automation.models import (
    ENDED_STEP_STATUSES,
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
MINUTE = dt.timedelta(minutes=1)


@dataclass
class Entry:
    """One line. `kind`: change (of the booking), message (sent, or tried), not_sent (an execution that was cancelled;
    `reason` says why) or planned. `status`: of a message its own, of what is planned what it would come to as things
    are (`trials.ActionTrial`). Of what is planned, `at` is the earliest time, and `after` names the actions that have
    to end first. `controls`: what can be done about its execution, with all of its actions; where that `has_begun`,
    about this action. `controls_note` says what cannot be done, and why."""

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
    after: list[str] = field(default_factory=list)
    controls: list[str] = field(default_factory=list)
    controls_note: str = ""

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
    begun = [row for row in executions if row.status == ExecutionStatus.RUNNING]
    steps = _steps_of(executions)
    now = clock.now()
    context = context_of(booking, now)
    by_id = {row.pk: row for row in executions}
    entries = [
        *(_change(row) for row in BookingAuditLog.objects.filter(booking=booking).order_by("-id")[:MAX_ENTRIES]),
        *(_message(row, by_id, steps) for row in messages[:MAX_ENTRIES]),
        *(_not_sent(row) for row in executions if row.status == ExecutionStatus.CANCELLED and row.started_at is None),
        *(entry for row in executions if is_planned(row) for entry in _planned(row, context)),
        *(entry for row in begun for entry in _left(row, steps.get(row.pk, {}), context, now)),
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


def _message(
    row: NotificationLog,
    executions: Mapping[UUID, WorkflowExecution],
    steps: Mapping[UUID, Mapping[str, ExecutionStep]],
) -> Entry:
    execution = executions[row.execution_id] if row.execution_id is not None else None
    mine = steps.get(execution.pk, {}) if execution is not None else {}
    action_id = next((id_ for id_, step in mine.items() if step.seq == row.step_seq), "")
    action = _actions_of(execution).get(action_id, {}) if execution is not None else {}
    return Entry(
        "message",
        row.sent_at or row.created_at,
        status=row.status,
        action_id=action_id,
        action=str(action.get("name", "")),
        action_type=str(action.get("action_type", "")),
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
    begins = row.scheduled_for or row.created_at
    set_by_hand = row.fixed_sequence is not None and row.fixed_sequence == row.booking_sequence
    by_hand = row.booking_sequence is None
    controls, note = (["skip"], _BY_HAND) if by_hand else (list(CONTROLS), "")
    before: list[str] = []
    for stage in _stages(row):
        ends = begins
        for planned, action in stage:
            at = begins + dt.timedelta(minutes=planned.delay_minutes)
            ends = max(ends, at)
            entry = _of_action(at, action, row, context, controls, set_by_hand)
            yield replace(entry, after=list(before), controls_note=note)
        begins, before = ends, [planned.name for planned, _ in stage]


def _left(
    row: WorkflowExecution, steps: Mapping[str, ExecutionStep], context: Mapping[str, Any], now: dt.datetime
) -> Iterator[Entry]:
    """One entry for each action of an execution that has begun, but for those that run or have ended."""
    begins = row.started_at or row.created_at
    before: list[str] = []
    for stage in _stages(row):
        ends, unfinished = begins, []
        for planned, action in stage:
            step = steps.get(planned.id)
            if step is not None and step.status in ENDED_STEP_STATUSES:
                ends = max(ends, step.completed_at or begins)
                continue
            unfinished.append(planned.name)
            at, controls, note = _turn(row, planned, step, before, begins)
            if step is None or step.status == StepStatus.PENDING:
                entry = _of_action(at, action, row, context, controls, False)
                yield replace(entry, has_begun=True, after=list(before), controls_note=note)
            ends = max(ends, at, now)
        begins, before = ends, unfinished


def _turn(
    row: WorkflowExecution,
    action: plan.PlannedAction,
    step: ExecutionStep | None,
    before: list[str],
    begins: dt.datetime,
) -> tuple[dt.datetime, Sequence[str], str]:
    """The earliest time at which an action can run whose stage begins then; what can be done about it; what not."""
    if step is not None and step.due is not None and step.run_at is not None:
        return step.run_at, *((CONTROLS, "") if row.paused_at is None else ((), _PAUSED))
    delay = dt.timedelta(minutes=action.delay_minutes)
    if step is not None:  # a test that runs without delays has others than its version
        delay = dt.timedelta(seconds=parse(step.options).start_delay)
    if not before:
        return begins + delay, (), _PAUSED if row.paused_at is not None else _AT_ONCE
    names = " and ".join(repr(name) for name in before)
    then = f"it waits {delay / MINUTE:g} min, and can be skipped, sent now or moved" if delay else "it runs"
    note = f"Its turn comes after {names}; then {then}. Cancelling the execution stops all that is left of it."
    return begins + delay, (), note


_BY_HAND = "It was started by hand and runs as soon as there is a worker: it has no time to be moved from."
_PAUSED = "The execution is paused: resume it first."
_AT_ONCE = "It is about to run."


def _stages(row: WorkflowExecution) -> list[list[tuple[plan.PlannedAction, Mapping[str, Any]]]]:
    """The actions of the execution's version, in the order in which they run, each with what the snapshot has of it."""
    actions = _actions_of(row)
    try:
        stages = plan.stages(actions.values())
    except WeirError:
        return []
    return [[(action, actions[action.id]) for action in stage.actions] for stage in stages]


def _actions_of(row: WorkflowExecution) -> dict[str, Mapping[str, Any]]:
    """By their ids: the actions of the execution's version."""
    snapshot: Mapping[str, Any] = row.version.snapshot if row.version is not None else {}
    return {str(action["id"]): action for action in snapshot.get("actions", ())}


def _steps_of(executions: Sequence[WorkflowExecution]) -> dict[UUID, dict[str, ExecutionStep]]:
    """By execution and action: the steps that run the actions, in one query."""
    found: dict[UUID, dict[str, ExecutionStep]] = defaultdict(dict)
    begun = [row.pk for row in executions if row.started_at is not None]
    rows = ExecutionStep.objects.filter(execution__in=begun, kind__in=outcomes.ACTION_KINDS)
    for step in rows.defer("output", "failure"):
        found[step.execution_id][outcomes.action_id_of(step)] = step
    return found


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
