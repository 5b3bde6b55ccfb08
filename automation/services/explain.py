"""Why did this workflow do, or not do, anything about this booking? Every workflow of the organizer is considered, and
what stopped each that did not act is said, down to the rule that did not hold and the value that it met.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from automation import clock
from automation.causes import MAX_DEPTH
from automation.errors import WeirError
from automation.models import (
    PLAN_CHANGED,
    Booking,
    BookingEvent,
    ExecutionStatus,
    Trigger,
    Workflow,
    WorkflowExecution,
)
from automation.rules.values import preview
from automation.services import executions, outcomes, travel, versions
from automation.services.meeting_plan import MEETING_TRIGGERS

MAX_EXECUTIONS = 500
"""The newest of the booking."""

_NOT_HAPPENED: dict[str, str] = {
    Trigger.BOOKING_CREATED: "The booking's making was not recorded as an event.",
    Trigger.BOOKING_CANCELLED: "The booking has not been cancelled.",
    Trigger.BOOKING_RESCHEDULED: "The booking has not been rescheduled.",
    Trigger.BOOKING_COMPLETED: "The booking has not been completed.",
    Trigger.BOOKING_NO_SHOW: "The invitee was not marked as a no-show.",
}


@dataclass(frozen=True)
class Reason:
    """`code` is for programs. `details`: of a rule that did not hold, its field, operator, expected and actual."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Explanation:
    """`verdict`: acted, failed (an action did), running, planned, stopped (it was started, or planned, and then was not
    to act) or not_started. `reasons` say why nothing, or not all, was done. `executions`: what there is of it."""

    workflow_id: UUID
    workflow_name: str
    trigger: str
    is_active: bool
    verdict: str
    reasons: list[Reason]
    executions: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "workflow_id": str(self.workflow_id)}


def explain(booking: Booking) -> dict[str, Any]:
    """Every workflow of the organizer, by name, and the booking's events: eight queries, however many there are.
    `booking` has its event type and organizer at hand."""
    workflows = list(Workflow.objects.filter(organizer=booking.organizer_id).order_by("name", "pk"))
    contents = dict(zip([workflow.pk for workflow in workflows], versions.snapshots(workflows), strict=True))
    rows = list(
        WorkflowExecution.objects.filter(booking=booking, workflow__isnull=False)
        .select_related("version")
        .defer("input", "result", "failure")
        .order_by("-id")[:MAX_EXECUTIONS]
    )
    logs = executions.execution_logs(rows)
    by_workflow: dict[UUID, list[WorkflowExecution]] = defaultdict(list)
    for row in rows:
        if row.workflow_id is not None:
            by_workflow[row.workflow_id].append(row)
    events = list(
        BookingEvent.objects.filter(booking=booking).select_related("caused_by").order_by("occurred_at", "pk")
    )
    now = clock.now()
    explained = [
        _explanation(workflow, contents[workflow.pk], booking, by_workflow[workflow.pk], logs, events, now)
        for workflow in workflows
    ]
    return {
        "booking_id": str(booking.pk),
        "booking_status": booking.status,
        "explained_at": now.isoformat(),
        "events": [_event(event) for event in events],
        "workflows": [one.as_dict() for one in explained],
    }


def _explanation(
    workflow: Workflow,
    content: Mapping[str, Any],
    booking: Booking,
    rows: Sequence[WorkflowExecution],
    logs: Mapping[UUID, Sequence[Mapping[str, Any]]],
    events: Sequence[BookingEvent],
    now: dt.datetime,
) -> Explanation:
    shown = [_execution(row, logs[row.pk]) for row in rows]
    if shown:
        verdict = _verdict([one["verdict"] for one in shown])
        reasons = [reason for one in shown for reason in one.pop("reasons")]
        if verdict in ("stopped", "not_started"):
            reasons += _switched_off(workflow)
    else:
        verdict, reasons = "not_started", list(_stops(workflow, content, booking, events, now))
    return Explanation(
        workflow.pk, workflow.name, workflow.trigger, workflow.is_active, verdict, _without_repeats(reasons), shown
    )


def _without_repeats(reasons: Sequence[Reason]) -> list[Reason]:
    return list({(reason.code, reason.message): reason for reason in reasons}.values())


_ORDER = ("running", "planned", "failed", "acted", "stopped")


def _verdict(verdicts: Sequence[str]) -> str:
    """What holds for the workflow as a whole: what is going on counts before what is over."""
    return next(verdict for verdict in _ORDER if verdict in verdicts)


# -- What was started --------------------------------------------------------------------------------------------------


def _execution(row: WorkflowExecution, log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    actions = [_action(entry) for entry in log]
    reasons = [Reason(**reason) for action in actions for reason in action["reasons"]]
    if row.error_message and row.status in (ExecutionStatus.CANCELLED, ExecutionStatus.TERMINATED):
        reasons.insert(0, Reason("cancelled", travel.sentence(row.error_message)))
    elif row.error_message and not reasons:
        reasons.append(Reason(row.status, row.error_message))
    if row.paused_at is not None:
        reasons.append(Reason("paused", f"It was paused at {_when(row.paused_at)}."))
    statuses = {action["status"] for action in actions}
    match row.status:
        case ExecutionStatus.PENDING if row.started_at is None:
            verdict = "planned"
        case ExecutionStatus.PENDING | ExecutionStatus.RUNNING:
            verdict = "running"
        case _ if outcomes.FAILED in statuses or row.status in _BROKEN:
            verdict = "failed"
        case _:
            verdict = "acted" if outcomes.SUCCESS in statuses else "stopped"
    return {
        "id": str(row.pk),
        "status": row.status,
        "verdict": verdict,
        "trigger": row.trigger,
        "version": row.version.number if row.version is not None else None,
        "by_hand": row.booking_sequence is None,
        "scheduled_for": row.scheduled_for.isoformat() if row.scheduled_for else None,
        "started_at": row.started_at.isoformat() if row.started_at else None,
        "completed_at": row.completed_at.isoformat() if row.completed_at else None,
        "actions": actions,
        "reasons": reasons,
    }


_BROKEN = (
    ExecutionStatus.FAILED,
    ExecutionStatus.TIMED_OUT,
    ExecutionStatus.PARKED,
    ExecutionStatus.DEAD_LETTER,
)


def _action(entry: Mapping[str, Any]) -> dict[str, Any]:
    reasons: list[Reason] = []
    name = entry["action"]
    match entry["status"]:
        case outcomes.SKIPPED_CONDITIONS:
            reasons = [
                Reason("conditions", f"{name}: {broken['message']}", broken["details"])
                for broken in broken_rules(entry["conditions"] or [])
            ]
        case outcomes.FAILED:
            reasons = [Reason("failed", f"{name}: {entry['error']}")]
        case outcomes.SKIPPED:
            notes = entry["notes"] or [entry["error"] or "An action before it failed, and stopped what follows."]
            reasons = [Reason("skipped", f"{name}: {note}") for note in notes]
        case outcomes.PENDING if entry["error"]:
            tried = "once" if entry["attempts"] == 1 else f"{entry['attempts']} times"
            reasons = [Reason("retrying", f"{name} failed {tried} and is tried again: {entry['error']}")]
        case _:
            reasons = [
                Reason("recipient", f"{name}: {one.get('recipient', '')}: {one.get('detail') or one['status']}")
                for one in entry["recipients"]
                if isinstance(one, Mapping) and one.get("status") in ("suppressed", "missing", "refused", "failed")
            ]
    return {
        "action_id": entry["action_id"],
        "name": name,
        "action_type": entry["action_type"],
        "status": entry["status"],
        "completed_at": entry["completed_at"],
        "reasons": [asdict(reason) for reason in reasons],
    }


def broken_rules(trace: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rules because of which a conditions' trace is false, each with a `message` and its `details`."""
    for entry in trace:
        if entry.get("result"):
            continue
        if "rules" in entry:
            yield from broken_rules(entry["rules"])
            continue
        details = {name: entry.get(name) for name in ("field", "operator", "expected", "actual", "reason")}
        expected = entry.get("expected")
        value = "" if expected is None else f" {preview(expected)}"
        why = f" ({entry['reason']})" if entry.get("reason") else ""
        rule = f"{entry.get('field')} {str(entry.get('operator')).replace('_', ' ')}{value}"
        yield {"message": f"{rule} does not hold: it is {preview(entry.get('actual'))}{why}.", "details": details}


# -- What was not started ----------------------------------------------------------------------------------------------


def _stops(
    workflow: Workflow, content: Mapping[str, Any], booking: Booking, events: Sequence[BookingEvent], now: dt.datetime
) -> Iterator[Reason]:
    """Everything that keeps the workflow from this booking, or has kept it."""
    reasons = _switched_off(workflow)
    if content["event_types"] and str(booking.event_type_id) not in content["event_types"]:
        reasons.append(Reason("event_type", f"It is not for {booking.event_type.name!r}."))
    if problem := _problem(content):
        reasons.append(Reason("cannot_run", f"It cannot run: {problem}"))
    yield from reasons
    if workflow.trigger in MEETING_TRIGGERS:
        yield from _around_meeting(workflow, content, booking, events, now)
        return
    for reason in _by_event(workflow, [event for event in events if event.trigger == workflow.trigger]):
        if not (reasons and reason.code == _UNKNOWN):  # a guess, where there is nothing better to say
            yield reason


def _switched_off(workflow: Workflow) -> list[Reason]:
    return [] if workflow.is_active else [Reason("switched_off", "It is switched off.")]


def _problem(content: Mapping[str, Any]) -> str:
    try:
        return "" if versions.input_of(content).stages else "it has no active action."
    except WeirError as error:
        return error.message


def _around_meeting(
    workflow: Workflow, content: Mapping[str, Any], booking: Booking, events: Sequence[BookingEvent], now: dt.datetime
) -> Iterator[Reason]:
    timing = travel.timing(content, booking, now, now)
    if timing.planned_for is None:
        yield Reason("not_planned", timing.reason)
    elif any(event.processed_at is None for event in events):
        yield Reason("not_processed", "The booking's latest event waits to be processed; then it is planned.")
    elif workflow.is_active:
        yield Reason("plan_due", f"It is not planned yet; it will be, for {_when(timing.planned_for)}.")


_UNKNOWN = "cleaned_up"


def _by_event(workflow: Workflow, events: Sequence[BookingEvent]) -> Iterator[Reason]:
    if not events:
        yield Reason("not_happened", _NOT_HAPPENED[workflow.trigger])
        return
    event = events[-1]
    if event.processed_at is None:
        note = f" {event.note}" if event.note else ""
        yield Reason("not_processed", f"The event of {_when(event.occurred_at)} waits to be processed.{note}")
    elif event.caused_by is not None and event.caused_by.workflow_id == workflow.pk:
        yield Reason("own_change", "It made this change itself, and is not triggered by it.")
    elif event.depth >= MAX_DEPTH:
        yield Reason("loop", f"{event.depth} workflows had led to this event, and no more may.")
    elif workflow.created_at > event.processed_at:
        yield Reason("made_later", f"It was made after the event, which was at {_when(event.occurred_at)}.")
    elif workflow.updated_at > event.processed_at:
        yield Reason(
            "edited_later",
            f"It was edited at {_when(workflow.updated_at)}; at the event, {_when(event.occurred_at)}, it was off, or "
            "not for this.",
        )
    else:
        yield Reason(_UNKNOWN, "Its execution has been deleted, or the event was processed without it.")


def _event(event: BookingEvent) -> dict[str, Any]:
    return {
        "trigger": event.trigger,
        "occurred_at": event.occurred_at.isoformat(),
        "source": event.source,
        "processed_at": event.processed_at.isoformat() if event.processed_at else None,
        "note": "" if event.trigger == PLAN_CHANGED else event.note,
    }


def _when(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
