"""Travelling in time: what a workflow would plan for a booking, when it would fire, and which action comes when.

Nothing is read from the clock and nothing is written; `meeting_plan` decides, as it does when bookings come in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from automation.errors import WeirError
from automation.models import Booking, Trigger
from automation.rules import plan
from automation.services.meeting_plan import MEETING_TRIGGERS, NOT_PLANNED, Act, Meeting, Plan, decide

State = Literal["waits", "fires", "skipped"]

_EVENTS: dict[str, str] = {
    Trigger.BOOKING_CREATED: "",
    Trigger.BOOKING_CANCELLED: "cancelled",
    Trigger.BOOKING_COMPLETED: "completed",
    Trigger.BOOKING_NO_SHOW: "no_show",
}


@dataclass(frozen=True)
class ActionTime:
    """When an action would run, at the earliest: earlier stages take no time here. `state`: waits or fires."""

    action_id: str
    name: str
    at: dt.datetime
    state: State


@dataclass(frozen=True)
class Timing:
    """`at`: the moment that was travelled to. `event_at`: when the trigger's event happened; for what runs before and
    after meetings, when the booking was made. `planned_for`: when it fires, None where it never does. `state`: waits
    (its time is ahead), fires (it has come), skipped (`reason` says why)."""

    at: dt.datetime
    trigger: str
    event_at: dt.datetime
    planned_for: dt.datetime | None
    state: State
    reason: str = ""
    actions: list[ActionTime] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "trigger": self.trigger,
            "event_at": self.event_at.isoformat(),
            "planned_for": self.planned_for.isoformat() if self.planned_for else None,
            "state": self.state,
            "reason": self.reason,
            "actions": [
                {"action_id": one.action_id, "name": one.name, "at": one.at.isoformat(), "state": one.state}
                for one in self.actions
            ],
        }


def timing(
    content: Mapping[str, Any], booking: Booking, at: dt.datetime, event_at: dt.datetime | None = None
) -> Timing:
    """What this snapshot would do about this booking, seen from the moment `at`.

    event_at: when the event happened that the trigger waits for. Without it, the booking's making for a new booking
    and for what runs around meetings, and `at` itself for all else.
    """
    trigger, delay = str(content["trigger"]), int(content["delay_minutes"])
    made = min(booking.created_at, at)
    happened = event_at or (made if trigger in (Trigger.BOOKING_CREATED, *MEETING_TRIGGERS) else at)
    try:
        if trigger in MEETING_TRIGGERS:
            planned, reason = _around_meeting(content, booking, happened)
        else:
            planned = plan.planned_time(trigger, delay, booking.start_time, booking.end_time, happened)
            reason = ""
    except WeirError as error:
        planned, reason = None, error.message
    if planned is None:
        return Timing(at, trigger, happened, None, "skipped", reason)
    state: State = "fires" if planned <= at else "waits"
    return Timing(at, trigger, happened, planned, state, reason, _actions(content, planned, at))


def _around_meeting(content: Mapping[str, Any], booking: Booking, now: dt.datetime) -> tuple[dt.datetime | None, str]:
    """The time that would be planned at `now`, when the booking came in, and the reason where there is none."""
    wish = Plan(str(content["trigger"]), int(content["delay_minutes"]), str(content["late_policy"]))
    meeting = Meeting(booking.status, booking.start_time, booking.end_time, booking.sequence)
    for decision in decide(wish, meeting, [], now):
        if decision.act is Act.START:
            late = decision.at == now
            return decision.at, "Its time had passed when the booking was made, so it runs at once." if late else ""
        if decision.act is Act.RECORD:
            return None, sentence(decision.reason)
    return None, sentence(NOT_PLANNED + f"the booking is {booking.get_status_display().lower()}.")


def sentence(reason: str) -> str:
    """A reason of planning, for people."""
    text = reason.removeprefix(NOT_PLANNED)
    return text[:1].upper() + text[1:]


def _actions(content: Mapping[str, Any], begins: dt.datetime, at: dt.datetime) -> list[ActionTime]:
    times: list[ActionTime] = []
    try:
        stages = plan.stages(content.get("actions", ()))
    except WeirError:
        return []
    for stage in stages:
        ends = begins
        for action in stage.actions:
            moment = begins + dt.timedelta(minutes=action.delay_minutes)
            times.append(ActionTime(action.id, action.name, moment, "fires" if moment <= at else "waits"))
            ends = max(ends, moment)
        begins = ends
    return times
