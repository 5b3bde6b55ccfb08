"""On which of the last bookings would a draft have acted, and on which did the live version's rules?

Both are tried on the same bookings, as they are now, at the times at which their events happened. A status is the one
that the booking had when the workflow would have fired. Nothing is rendered and nothing is sent.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from automation import clock
from automation.actions.invocation import context_of
from automation.errors import WeirError
from automation.models import Booking, BookingEvent, BookingStatus, Trigger, Workflow
from automation.rules import conditions, plan
from automation.services import publishing, travel, versions
from automation.services.meeting_plan import MEETING_TRIGGERS

MAX_BOOKINGS = 1_000

_STATUS_AFTER: dict[str, str] = {
    Trigger.BOOKING_CREATED: BookingStatus.CONFIRMED,
    Trigger.BOOKING_RESCHEDULED: BookingStatus.CONFIRMED,
    Trigger.BOOKING_CANCELLED: BookingStatus.CANCELLED,
    Trigger.BOOKING_COMPLETED: BookingStatus.COMPLETED,
    Trigger.BOOKING_NO_SHOW: BookingStatus.NO_SHOW,
}
_ENDED_BY = {
    Trigger.BOOKING_CANCELLED: (BookingStatus.CANCELLED, "It was not cancelled."),
    Trigger.BOOKING_COMPLETED: (BookingStatus.COMPLETED, "It was not completed."),
    Trigger.BOOKING_NO_SHOW: (BookingStatus.NO_SHOW, "It was not marked as a no-show."),
}
Events = Mapping[str, dt.datetime]
"""When each kind of event last happened to a booking."""


@dataclass(frozen=True)
class Verdict:
    """`actions`: the names of those that would have run. `reason`: why nothing would have."""

    acts: bool
    actions: list[str] = field(default_factory=list)
    planned_for: dt.datetime | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "planned_for": self.planned_for.isoformat() if self.planned_for else None}


@dataclass(frozen=True)
class Comparison:
    """One booking: what the candidate and the live version would have done."""

    booking: Booking
    candidate: Verdict
    live: Verdict

    @property
    def differs(self) -> bool:
        return (self.candidate.actions, self.candidate.planned_for) != (self.live.actions, self.live.planned_for)

    def as_dict(self) -> dict[str, Any]:
        return {
            "booking_id": str(self.booking.pk),
            "invitee_name": self.booking.invitee_name,
            "event_type_name": self.booking.event_type.name,
            "start_time": self.booking.start_time.isoformat(),
            "candidate": self.candidate.as_dict(),
            "live": self.live.as_dict(),
            "differs": self.differs,
        }


@dataclass(frozen=True)
class Backtest:
    """`candidate_version` is None for the draft."""

    candidate_version: int | None
    live_version: int
    comparisons: list[Comparison]

    def as_dict(self, *, only_differences: bool = False) -> dict[str, Any]:
        pairs = [(one.candidate.acts, one.live.acts) for one in self.comparisons]
        candidate, live = sum(mine for mine, _ in pairs), sum(theirs for _, theirs in pairs)
        mine = "The draft" if self.candidate_version is None else f"Version {self.candidate_version}"
        return {
            "candidate_version": self.candidate_version,
            "live_version": self.live_version,
            "bookings": len(pairs),
            "candidate_acts": candidate,
            "live_acts": live,
            "both_act": pairs.count((True, True)),
            "only_candidate": pairs.count((True, False)),
            "only_live": pairs.count((False, True)),
            "differences": sum(one.differs for one in self.comparisons),
            "summary": f"{mine} would have acted on {candidate} of the last {len(pairs)} bookings, the live version on "
            f"{live}.",
            "results": [one.as_dict() for one in self.comparisons if one.differs or not only_differences],
        }


def backtest(workflow: Workflow, *, bookings: int = 200, version: int | None = None) -> Backtest:
    """Try the draft (or what is live, where there is none; or that `version`) and the live version on the organizer's
    newest bookings. Four queries and two, for any number. Raises NotFound for a version that there is not."""
    live = versions.snapshot(workflow)
    number: int | None = version
    if version is not None:
        candidate: Mapping[str, Any] = publishing.version_of(workflow, version).snapshot
    else:
        draft = publishing.draft_of(workflow)
        candidate, number = (draft.content, None) if draft is not None else (live, workflow.version)
    rows = list(
        Booking.objects.filter(organizer=workflow.organizer_id)
        .select_related("event_type", "organizer")
        .order_by("-created_at", "-pk")[: min(bookings, MAX_BOOKINGS)]
    )
    events = events_of([booking.pk for booking in rows])
    now = clock.now()
    found = []
    for booking in rows:
        theirs = verdict(live, booking, events[booking.pk], now)
        mine = theirs if candidate is live else verdict(candidate, booking, events[booking.pk], now)
        found.append(Comparison(booking, mine, theirs))
    return Backtest(number, workflow.version, found)


def events_of(booking_ids: Sequence[UUID]) -> dict[UUID, dict[str, dt.datetime]]:
    """When each kind of event last happened to these bookings, in one query."""
    found: dict[UUID, dict[str, dt.datetime]] = defaultdict(dict)
    rows = BookingEvent.objects.filter(booking_id__in=booking_ids).order_by("occurred_at", "pk")
    for booking_id, trigger, occurred_at in rows.values_list("booking_id", "trigger", "occurred_at"):
        found[booking_id][trigger] = occurred_at
    return found


def verdict(content: Mapping[str, Any], booking: Booking, events: Events, now: dt.datetime) -> Verdict:
    """What this snapshot would have done about a booking whose event type and organizer are at hand."""
    limited = content.get("event_types")
    if limited and str(booking.event_type_id) not in {str(id_) for id_ in limited}:
        return Verdict(False, reason=f"It is not for {booking.event_type.name!r}.")
    trigger = str(content["trigger"])
    happened = _happened(trigger, booking, events)
    if happened is None:
        return Verdict(False, reason=_ENDED_BY.get(Trigger(trigger), ("", "Its time was not changed."))[1])
    try:
        delay = int(content["delay_minutes"])
        planned = plan.planned_time(trigger, delay, booking.start_time, booking.end_time, happened)
    except WeirError as error:
        return Verdict(False, reason=error.message)
    then = copy(booking)
    then.status = _status_at(booking, events, planned)
    timing = travel.timing(content, then, now, happened)
    if timing.planned_for is None:
        return Verdict(False, reason=timing.reason)
    if reason := _stopped(trigger, then):
        return Verdict(False, reason=reason)
    context = context_of(then, timing.planned_for)
    active = [action for action in content.get("actions", ()) if action.get("is_active", True)]
    names = [str(action.get("name")) for action in active if conditions.holds(action.get("conditions") or [], context)]
    if not names:
        reason = "No action's conditions hold." if active else "It has no active action."
        return Verdict(False, planned_for=None, reason=reason)
    return Verdict(True, names, timing.planned_for)


def _happened(trigger: str, booking: Booking, events: Events) -> dt.datetime | None:
    """When the trigger's event happened; None where it did not."""
    if trigger in (Trigger.BOOKING_CREATED, *MEETING_TRIGGERS):
        return booking.created_at
    if trigger in events:
        return events[trigger]
    # Rows that came in without events: the status says that it happened, and the last change when.
    status, _ = _ENDED_BY.get(Trigger(trigger), ("", ""))
    return booking.updated_at if status and booking.status == status else None


def _status_at(booking: Booking, events: Events, at: dt.datetime) -> str:
    """The booking's status when its workflow fired."""
    if not any(trigger in _STATUS_AFTER for trigger in events):
        return booking.status
    before = [(when, trigger) for trigger, when in events.items() if when <= at and trigger in _STATUS_AFTER]
    return _STATUS_AFTER[max(before)[1]] if before else BookingStatus.CONFIRMED


def _stopped(trigger: str, booking: Booking) -> str:
    """Why what this trigger began is not sent for a booking of this status (`Invocation.no_longer_meant`)."""
    if booking.status == BookingStatus.CANCELLED and trigger != Trigger.BOOKING_CANCELLED:
        return "It was cancelled before its time had come."
    if booking.status == BookingStatus.RESCHEDULED and trigger not in (
        Trigger.BOOKING_RESCHEDULED,
        Trigger.BOOKING_CANCELLED,
    ):
        return "It was replaced by another booking before its time had come."
    return ""
