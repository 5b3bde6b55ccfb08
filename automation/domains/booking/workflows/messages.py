"""What follows a booking's creation, and reminders: of one session, and of all in a window."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from automation.domains.booking.workflows.base import MESSAGE_LIMIT, BookingWorkflowBase, Session
from automation.durable import workflow
from automation.durable.base import INTEGRATION_RETRY_POLICY, BaseWorkflow, monitored_workflow

AT_ONCE = 500
"""Sessions of one chord."""


@workflow.defn
@monitored_workflow(name="BookingCreatedWorkflow")
class BookingCreatedWorkflow(BookingWorkflowBase):
    """What follows a booking's creation: confirmation to both, calendar data, figures."""

    @workflow.run
    async def run(self, booking_id: UUID) -> dict[str, Any]:
        """`confirmed` are those to whom a confirmation went; `calendar` is an iCalendar file's text."""
        session = await self.look(booking_id)
        if not session.is_on:
            return {"booking_id": str(booking_id), "status": session.status, "confirmed": [], "calendar": ""}
        confirmed = await self.tell(booking_id, "confirmation", "invitee", "organizer")
        calendar = await self.execute_activity("make_calendar", booking_id)
        await self.note("booking_created", booking_id, calendar=calendar["filename"])
        return {
            "booking_id": str(booking_id),
            "status": "processed",
            "confirmed": confirmed,
            "calendar": calendar["calendar"],
        }


@workflow.defn
@monitored_workflow(name="BookingReminderWorkflow")
class BookingReminderWorkflow(BookingWorkflowBase):
    """Reminders of one session, at given times before it, each in the recipient's time zone."""

    @workflow.run
    async def run(
        self, booking_id: UUID, offsets_minutes: list[int] | None = None, to_organizer: bool = True
    ) -> dict[str, Any]:
        """`sent` are the offsets, in minutes before the start, at which a reminder went out; `skipped` the others:
        their time had passed, or the session was off. A day and an hour before where none are given."""
        offsets = sorted({1440, 60} if offsets_minutes is None else set(offsets_minutes), reverse=True)
        roles = ("invitee", "organizer") if to_organizer else ("invitee",)
        sent: list[int] = []
        skipped: list[int] = []
        for minutes in offsets:
            moment = _before(minutes)
            session = await self.look(booking_id)
            if not session.is_on or moment(session) < workflow.now():
                skipped.append(minutes)
                continue
            session = await self.until(booking_id, moment, f"waiting for the reminder {minutes} minutes before")
            told = await self.tell(booking_id, f"reminder_{minutes}m", *roles) if session.is_on else []
            (sent if told else skipped).append(minutes)
        return {"booking_id": str(booking_id), "sent": sent, "skipped": skipped}


def _before(minutes: int) -> Callable[[Session], dt.datetime]:
    return lambda session: session.start - dt.timedelta(minutes=minutes)


@workflow.defn
@monitored_workflow(name="BatchReminderWorkflow")
class BatchReminderWorkflow(BaseWorkflow):
    """Reminders of all sessions in a window, as one chord."""

    default_start_to_close_timeout = dt.timedelta(minutes=1)

    @workflow.run
    async def run(
        self, hours: float = 24.0, start: dt.datetime | None = None, kind: str = "reminder_batch"
    ) -> dict[str, Any]:
        """Counts of the sessions that begin within `hours` from `start` (now, unless it is given): `total`, and of
        these `sent`, `failed` and `skipped` (reminded before, or off). More than 500 take several chords."""
        begin = start or workflow.now()
        end = begin + dt.timedelta(hours=hours)
        counts: Counter[str] = Counter()
        after = ""
        while True:
            found = await self.execute_activity("find_sessions", begin, end, after, AT_ONCE)
            results = await workflow.group(
                *(
                    workflow.step(
                        "send_session_message",
                        one,
                        kind,
                        start_to_close_timeout=MESSAGE_LIMIT,
                        retry_policy=INTEGRATION_RETRY_POLICY,
                    )
                    for one in found
                ),
                return_exceptions=True,
            )
            counts.update("failed" if isinstance(one, BaseException) else one["status"] for one in results)
            if len(found) < AT_ONCE:
                break
            after = found[-1]
        return {"total": counts.total(), **{name: counts[name] for name in ("sent", "failed", "skipped")}}
