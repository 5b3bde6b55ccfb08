"""An invitee who is not there."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from automation.domains.booking.workflows.base import BookingWorkflowBase, Session
from automation.durable import workflow
from automation.durable.base import INTEGRATION_RETRY_POLICY, monitored_workflow
from automation.durable.exceptions import ActivityError

GRACE = dt.timedelta(minutes=5)


@workflow.defn
@monitored_workflow(name="NoShowWorkflow")
class NoShowWorkflow(BookingWorkflowBase):
    """A message, five minutes, another look: recovered, or a no-show with an offer to reschedule."""

    @workflow.run
    async def run(self, booking_id: UUID) -> dict[str, Any]:
        """status "recovered"; "no_show", with whether the `offer` went out; or what has become of the booking
        meanwhile."""
        session = await self.look(booking_id)
        if not session.is_on:
            return {"booking_id": str(booking_id), "status": session.status}
        self.stage = "asking where they are"
        await self.tell(booking_id, "no_show_check")
        if session.phone:
            await self._text(booking_id, session)
        self.stage = "waiting for them"
        await self.wait_for(lambda: "invitee" in self.joined, GRACE)
        if await self.came(booking_id):
            self.stage = "recovered"
            return {"booking_id": str(booking_id), "status": "recovered"}
        session = await self.look(booking_id)
        if not session.is_on:
            return {"booking_id": str(booking_id), "status": session.status}
        await self.execute_activity("mark_no_show", booking_id)
        await self.note("session_no_show", booking_id)
        offer = await self.tell(booking_id, "no_show")
        self.stage = "no_show"
        return {"booking_id": str(booking_id), "status": "no_show", "offer": bool(offer)}

    async def _text(self, booking_id: UUID, session: Session) -> None:
        """A text message as well: who is not there may not read mail."""
        text = f"{session.event_type} has begun, and we are waiting for you."
        try:
            await self.execute_activity(
                "send_sms", session.phone, text, session.timezone, retry_policy=INTEGRATION_RETRY_POLICY
            )
        except ActivityError as error:
            self.logger.warning("no text message about %s: %s", booking_id, error)
