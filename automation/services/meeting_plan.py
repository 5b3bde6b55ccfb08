"""What is to be planned around a meeting: a decision from facts, with no database and no clock in it.

A workflow that runs before or after meetings has at most one execution for each of a booking's sequences. Planning
brings the executions there are in line with the booking and the workflow as they are now; asked again, it decides
nothing. So it does not matter which event came first, or how often.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from automation.models import BookingStatus, ExecutionStatus, LatePolicy, Trigger
from automation.rules.plan import planned_time

MEETING_TRIGGERS = (Trigger.BEFORE_MEETING, Trigger.AFTER_MEETING)

NOT_PLANNED = "Not planned: "
"""How every reason of planning begins. What planning has cancelled, planning may plan again; what a person has
cancelled stays cancelled."""

_WANTED: dict[str, tuple[str, ...]] = {
    BookingStatus.CONFIRMED: MEETING_TRIGGERS,
    BookingStatus.COMPLETED: (Trigger.AFTER_MEETING,),
}
_OVER: dict[str, str] = {
    BookingStatus.CANCELLED: "the booking was cancelled.",
    BookingStatus.RESCHEDULED: "the booking was replaced by another one.",
    BookingStatus.COMPLETED: "the meeting is over.",
    BookingStatus.NO_SHOW: "the invitee did not show up.",
}
SWITCHED_OFF = NOT_PLANNED + "the workflow was switched off."
TRIGGER_CHANGED = NOT_PLANNED + "the workflow no longer has this trigger."
OTHER_EVENT_TYPE = NOT_PLANNED + "the workflow is not for this event type."
OTHER_ORGANIZER = NOT_PLANNED + "the booking is another organizer's now."
MOVED = NOT_PLANNED + "another execution stands for the meeting's new time."


@dataclass(frozen=True)
class Meeting:
    """The booking as it is now."""

    status: str
    start: dt.datetime
    end: dt.datetime
    sequence: int


@dataclass(frozen=True)
class Plan:
    """The workflow as it is now. `refused` says why it is not for this booking: it is off, say."""

    trigger: str
    delay_minutes: int
    late_policy: str
    refused: str = ""


@dataclass(frozen=True)
class Existing:
    """An execution of the workflow for the booking, by a meeting trigger. `began`: its first advance has begun.
    `fixed`: a person has set its time, for this sequence of the booking. `organizer_id`: whose booking it was."""

    id: UUID
    trigger: str
    sequence: int
    status: str
    scheduled_for: dt.datetime | None
    began: bool
    reason: str = ""
    fixed: bool = False
    organizer_id: int | None = None

    @property
    def waits(self) -> bool:
        return self.status == ExecutionStatus.PENDING

    @property
    def can_be_revived(self) -> bool:
        return self.status == ExecutionStatus.CANCELLED and not self.began and self.reason.startswith(NOT_PLANNED)


class Act(enum.Enum):
    START = "start"  # a new execution, at `at`
    RECORD = "record"  # a new execution, planned for `at` and cancelled with `reason`
    MOVE = "move"  # the pending execution to `at` and the current sequence
    REVIVE = "revive"  # the cancelled execution, pending again at `at`
    CANCEL = "cancel"  # the pending execution, with `reason`
    FOLLOW = "follow"  # the execution that has begun goes along to the current sequence: its time is still right


@dataclass(frozen=True)
class Decision:
    act: Act
    execution_id: UUID | None = None
    at: dt.datetime | None = None
    reason: str = ""


def decide(plan: Plan, meeting: Meeting, existing: Sequence[Existing], now: dt.datetime) -> list[Decision]:
    """What to do about the executions of one workflow for one booking; empty when all is as it should be."""
    waiting = [execution for execution in existing if execution.waits]
    refused = plan.refused
    if not refused and plan.trigger not in MEETING_TRIGGERS:
        refused = TRIGGER_CHANGED
    if not refused and plan.trigger not in _WANTED.get(meeting.status, ()):
        refused = NOT_PLANNED + _OVER[meeting.status]
    if refused:
        return [_cancel(execution, refused) for execution in waiting]

    decisions = [_cancel(execution, TRIGGER_CHANGED) for execution in waiting if execution.trigger != plan.trigger]
    same = [execution for execution in existing if execution.trigger == plan.trigger]
    at = planned_time(plan.trigger, plan.delay_minutes, meeting.start, meeting.end, now)
    present = next((execution for execution in same if execution.sequence == meeting.sequence), None)
    older = [execution for execution in same if execution.waits and execution is not present]
    candidate = present
    if present is None and older:
        candidate, older = older[0], older[1:]  # the one that waits goes along with the meeting
    decisions += [_cancel(execution, MOVED) for execution in older]
    ran = next((execution for execution in same if execution.began and execution.scheduled_for == at), None)
    if candidate is None and ran is not None:
        return [*decisions, Decision(Act.FOLLOW, ran.id)]
    decision = _place(plan, meeting, candidate, at, now)
    if decision is None or _is_known(decision, same):
        return decisions
    return [*decisions, decision]


def _is_known(decision: Decision, existing: Sequence[Existing]) -> bool:
    """Whether what is to be recorded stands there already: on the execution that was to move to this time."""
    return decision.act is Act.RECORD and any(execution.reason == decision.reason for execution in existing)


def _place(
    plan: Plan, meeting: Meeting, candidate: Existing | None, at: dt.datetime, now: dt.datetime
) -> Decision | None:
    if candidate is not None and candidate.waits and candidate.fixed and candidate.sequence == meeting.sequence:
        return None  # whoever set its time knew the meeting's
    if at <= now:
        return _late(plan, meeting, candidate, at, now)
    if candidate is None:
        return Decision(Act.START, at=at)
    if candidate.waits:
        in_place = candidate.scheduled_for == at and candidate.sequence == meeting.sequence
        return None if in_place else Decision(Act.MOVE, candidate.id, at)
    return Decision(Act.REVIVE, candidate.id, at) if candidate.can_be_revived else None


def _late(
    plan: Plan, meeting: Meeting, candidate: Existing | None, at: dt.datetime, now: dt.datetime
) -> Decision | None:
    """The planned time has passed. An execution that was planned for just that time is left to run; one that planning
    had cancelled follows the late policy, as if it came in now."""
    if candidate is not None and candidate.waits:
        due = candidate.scheduled_for is not None and candidate.scheduled_for <= now
        if due and candidate.sequence == meeting.sequence:
            return None
    reason = _too_late(plan, meeting, at, now)
    if candidate is None:
        return Decision(Act.RECORD, at=at, reason=reason) if reason else Decision(Act.START, at=now)
    if candidate.waits:
        return _cancel(candidate, reason) if reason else Decision(Act.MOVE, candidate.id, now)
    return Decision(Act.REVIVE, candidate.id, now) if candidate.can_be_revived and not reason else None


def _too_late(plan: Plan, meeting: Meeting, at: dt.datetime, now: dt.datetime) -> str:
    """Why a time that has passed is not made up for, or the empty string."""
    if plan.late_policy != LatePolicy.RUN_NOW:
        return f"{NOT_PLANNED}its time, {at:%Y-%m-%d %H:%M} UTC, had already passed."
    if plan.trigger == Trigger.BEFORE_MEETING and meeting.start <= now:
        return f"{NOT_PLANNED}the meeting had already begun at {meeting.start:%Y-%m-%d %H:%M} UTC."
    return ""


def _cancel(execution: Existing, reason: str) -> Decision:
    return Decision(Act.CANCEL, execution.id, reason=reason)
