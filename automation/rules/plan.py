"""From rows to a plan: which actions run together, after which delays, and when a trigger fires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

from automation.errors import InvalidInput


class Trigger(StrEnum):
    BOOKING_CREATED = "booking_created"
    BOOKING_CANCELLED = "booking_cancelled"
    BOOKING_COMPLETED = "booking_completed"
    BOOKING_RESCHEDULED = "booking_rescheduled"
    BOOKING_NO_SHOW = "booking_no_show"
    BEFORE_MEETING = "before_meeting"
    AFTER_MEETING = "after_meeting"


class PlanError(InvalidInput):
    """The snapshot or the trigger says something that cannot be planned."""

    code = "invalid_plan"


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """One action of a stage. `delay_minutes` is waited before it, counted from the end of the stage before."""

    id: str
    name: str
    action_type: str
    order: int
    delay_minutes: int
    stops_on_failure: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """Actions of one `order`: they run side by side, and the next stage waits for all of them.

    `delay_minutes` is what every action of the stage waits at least: a stage whose actions agree on a delay waits
    once and then starts them together. Where they differ, `wait_of` says how much longer each waits for itself.
    """

    delay_minutes: int
    actions: tuple[PlannedAction, ...]

    @property
    def is_parallel(self) -> bool:
        return len(self.actions) > 1

    def wait_of(self, action: PlannedAction) -> int:
        """Minutes that `action` waits beyond the stage's own delay."""
        return action.delay_minutes - self.delay_minutes


def stages(actions: Iterable[Mapping[str, Any]]) -> list[Stage]:
    """The active actions of a workflow's snapshot, in the order in which they run.

    Each mapping has `id`, `name`, `action_type` and optionally `order` (0), `delay_minutes` (0), `on_failure`
    (`continue` or `stop`) and `is_active` (true). Actions of one order keep the snapshot's sequence.
    Raises `PlanError` for a negative or non-integer order or delay and for an unknown on_failure.
    """
    planned = [_action(index, row) for index, row in enumerate(actions) if row.get("is_active", True)]
    planned.sort(key=lambda action: action.order)
    return [
        Stage(min(action.delay_minutes for action in group), group)
        for group in (tuple(members) for _, members in groupby(planned, key=lambda action: action.order))
    ]


def planned_time(
    trigger: Trigger | str, delay_minutes: int, start: datetime, end: datetime, event_time: datetime
) -> datetime:
    """The instant, in UTC, at which a workflow is to fire for a booking.

    `before_meeting`: start − delay; `after_meeting`: end + delay; every other trigger: the event + delay. The
    arithmetic is on instants, so 60 minutes before a meeting are 60 minutes across a daylight-saving change.
    Raises `PlanError` for an unknown trigger, a naive datetime or a delay that leaves the calendar.
    """
    try:
        kind = Trigger(trigger)
    except ValueError:
        known = ", ".join(t.value for t in Trigger)
        raise PlanError(f"There is no trigger {trigger!r}; expected one of {known}") from None
    anchor, sign = {
        Trigger.BEFORE_MEETING: (start, -1),
        Trigger.AFTER_MEETING: (end, 1),
    }.get(kind, (event_time, 1))
    if anchor.tzinfo is None:
        raise PlanError(f"{anchor.isoformat()} names no instant: it has no time zone")
    try:
        return anchor.astimezone(UTC) + sign * timedelta(minutes=delay_minutes)
    except OverflowError:
        raise PlanError(f"A delay of {delay_minutes} minutes leaves the calendar") from None


def _action(index: int, row: Mapping[str, Any]) -> PlannedAction:
    on_failure = row.get("on_failure", "continue")
    if on_failure not in ("continue", "stop"):
        raise PlanError(f"actions[{index}].on_failure is {on_failure!r}; expected 'continue' or 'stop'")
    return PlannedAction(
        id=str(row["id"]),
        name=str(row["name"]),
        action_type=str(row["action_type"]),
        order=_count(index, row, "order"),
        delay_minutes=_count(index, row, "delay_minutes"),
        stops_on_failure=on_failure == "stop",
    )


def _count(index: int, row: Mapping[str, Any], name: str) -> int:
    value = row.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PlanError(f"actions[{index}].{name} is {value!r}; expected a whole number, 0 or more")
    return value
