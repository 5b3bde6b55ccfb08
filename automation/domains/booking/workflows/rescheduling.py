"""A session moved to another time, or left where it was."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from automation.domains.booking.workflows.base import BookingWorkflowBase, reason
from automation.durable import workflow
from automation.durable.base import monitored_workflow
from automation.durable.exceptions import ActivityError


@workflow.defn
@monitored_workflow(name="ReschedulingWorkflow")
class ReschedulingWorkflow(BookingWorkflowBase):
    """Cancels the old booking, makes the new one, and tells both; if the new one cannot be made, the old one is
    reinstated."""

    @workflow.run
    async def run(self, booking_id: UUID, new_start: dt.datetime, new_end: dt.datetime | None = None) -> dict[str, Any]:
        """status "rescheduled" with `new_booking_id`; "reinstated" with `error`, after a compensation; "refused" with
        `error` for a booking that is not confirmed. Without an end, the session keeps its length."""
        try:
            await self.execute_activity("give_up_booking", booking_id)
        except ActivityError as error:
            if reason(error) != "BookingNotOpen":
                raise
            return {"booking_id": str(booking_id), "status": "refused", "error": str(error.cause)}
        try:
            new = await self.execute_activity("create_replacement", booking_id, new_start, new_end)
        except ActivityError as error:
            await self.execute_activity("reinstate_booking", booking_id)
            await self.tell(booking_id, "reschedule_failed", "invitee", "organizer")
            return {"booking_id": str(booking_id), "status": "reinstated", "error": str(error.cause)}
        told = await self.tell(UUID(new["booking_id"]), "rescheduled", "invitee", "organizer")
        await self.note("session_rescheduled", booking_id, to=new["booking_id"])
        return {
            "booking_id": str(booking_id),
            "status": "rescheduled",
            "new_booking_id": new["booking_id"],
            "start": new["start"],
            "end": new["end"],
            "told": told,
        }
