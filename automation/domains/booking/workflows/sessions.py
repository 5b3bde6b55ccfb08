"""One session from its confirmation to its survey: with attendance checked while it runs, or at its end."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID

from automation.domains.booking.workflows.base import BookingWorkflowBase, Session
from automation.domains.booking.workflows.no_shows import NoShowWorkflow
from automation.durable import workflow
from automation.durable.base import INTEGRATION_RETRY_POLICY, monitored_workflow
from automation.durable.exceptions import ActivityError

REMINDER = dt.timedelta(hours=48)
ROOM = dt.timedelta(minutes=15)
ATTENDANCE = dt.timedelta(minutes=15)
SURVEY = dt.timedelta(hours=24)
DAY_BEFORE = dt.timedelta(hours=24)
FEEDBACK = dt.timedelta(days=3)


class _SessionWorkflow(BookingWorkflowBase):
    async def _remind(self, booking_id: UUID, session: Session, before: dt.timedelta, kind: str) -> None:
        """A reminder in time, unless the session was booked later than that."""
        if session.start - before < workflow.now():
            return
        session = await self.until(booking_id, lambda it: it.start - before, "waiting for the reminder")
        if session.is_on:
            await self.tell(booking_id, kind, "invitee", "organizer")

    async def _no_show(self, booking_id: UUID) -> dict[str, Any]:
        """What the no-show flow, in a workflow of its own, comes to."""
        self.stage = "no-show"
        found: dict[str, Any] = await workflow.execute_child_workflow(
            NoShowWorkflow.run, args=[booking_id], id=f"{workflow.info().workflow_id}/no-show"
        )
        return found

    async def _try(self, activity: str, booking_id: UUID) -> dict[str, Any]:
        """Another domain's activity, which ends no session where it fails."""
        try:
            result: dict[str, Any] = await self.execute_activity(
                activity, str(booking_id), retry_policy=INTEGRATION_RETRY_POLICY
            )
        except ActivityError as error:
            self.logger.warning("%s failed: %s", activity, error)
            return {"status": "failed", "error": str(error.cause)}
        return result

    def _over(self, booking_id: UUID, session: Session) -> dict[str, Any]:
        """The session is not to be any more."""
        self.stage = session.status
        return {"booking_id": str(booking_id), "status": session.status}


@workflow.defn
@monitored_workflow(name="BookingWorkflow")
class BookingWorkflow(_SessionWorkflow):
    """Confirmation, reminder 48 h before, room 15 min before, attendance check 15 min after the start; then the no-show
    flow, or the end, earnings and, a day later, the survey."""

    @workflow.run
    async def run(self, booking_id: UUID) -> dict[str, Any]:
        """status "completed", with `earnings` and whether a `survey` went out; "no_show"; or what became of a booking
        that was not, or not any more, confirmed. It follows a session that is moved."""
        session = await self.look(booking_id)
        if not session.is_on:
            return self._over(booking_id, session)
        self.stage = "confirming"
        await self.tell(booking_id, "confirmation", "invitee", "organizer")

        await self._remind(booking_id, session, REMINDER, "reminder_48h")
        session = await self.until(booking_id, lambda it: it.start - ROOM, "waiting for the room")
        # Beside the session: what the provider takes longer for must not put the attendance check off.
        room = asyncio.create_task(self._try("create_room", booking_id)) if session.is_on else None
        session = await self.until(booking_id, lambda it: it.start + ATTENDANCE, "waiting for the attendance check")
        if not session.is_on and session.status != "completed":
            _url(room)
            return self._over(booking_id, session)

        if session.is_on and not await self.came(booking_id):
            missed = await self._no_show(booking_id)
            if missed["status"] != "recovered":
                return {**missed, "room": _url(room)}
        session = await self.until(booking_id, lambda it: it.end, "in session")
        if not session.is_on and session.status != "completed":
            _url(room)
            return self._over(booking_id, session)
        return {**await self._complete(booking_id), "room": _url(room)}

    async def _complete(self, booking_id: UUID) -> dict[str, Any]:
        self.stage = "completing"
        await self.execute_activity("complete_booking", booking_id)
        await self._try("complete_package_session", booking_id)
        earnings = await self._try("create_booking_earnings", booking_id)
        await self.note("session_completed", booking_id)
        self.stage = "waiting for the survey"
        await self.wait_for(lambda: self.feedback, SURVEY)
        session = await self.look(booking_id)
        survey = [] if session.has_feedback else await self.tell(booking_id, "survey")
        self.stage = "completed"
        return {"booking_id": str(booking_id), "status": "completed", "earnings": earnings, "survey": bool(survey)}


def _url(room: asyncio.Task[dict[str, Any]] | None) -> str:
    """The room's link; one that is not made yet is not needed any more."""
    if room is None or not room.done():
        if room is not None:
            room.cancel()
        return ""
    return str(room.result().get("url", ""))


@workflow.defn
@monitored_workflow(name="BookingLifecycleWorkflow")
class BookingLifecycleWorkflow(_SessionWorkflow):
    """Confirmation, reminder 24 h before; at the end completed, with a follow-up and, three days later, a reminder to
    give feedback; or the no-show flow."""

    @workflow.run
    async def run(self, booking_id: UUID) -> dict[str, Any]:
        """status "completed", with `feedback` and whether a `feedback_reminder` went out; "no_show"; or what became of
        a booking that was not, or not any more, confirmed."""
        session = await self.look(booking_id)
        if not session.is_on:
            return self._over(booking_id, session)
        self.stage = "confirming"
        await self.tell(booking_id, "confirmation", "invitee", "organizer")
        await self._remind(booking_id, session, DAY_BEFORE, "reminder_24h")
        session = await self.until(booking_id, lambda it: it.end, "waiting for the end")
        if not session.is_on and session.status != "completed":
            return self._over(booking_id, session)
        if session.is_on and not await self.came(booking_id):
            missed = await self._no_show(booking_id)
            if missed["status"] != "recovered":
                return missed
        return await self._follow_up(booking_id)

    async def _follow_up(self, booking_id: UUID) -> dict[str, Any]:
        self.stage = "following up"
        await self.execute_activity("complete_booking", booking_id)
        await self.note("session_completed", booking_id)
        await self.tell(booking_id, "follow_up")
        self.stage = "waiting for feedback"
        await self.wait_for(lambda: self.feedback, FEEDBACK)
        given = self.feedback or (await self.look(booking_id)).has_feedback
        reminded = [] if given else await self.tell(booking_id, "feedback_reminder")
        self.stage = "completed"
        return {
            "booking_id": str(booking_id),
            "status": "completed",
            "feedback": given,
            "feedback_reminder": bool(reminded),
        }
