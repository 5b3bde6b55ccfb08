"""What the workflows of booking share: following a session whose time may change while they sleep."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

from automation.durable import workflow
from automation.durable.base import INTEGRATION_RETRY_POLICY, BaseWorkflow
from automation.durable.exceptions import ActivityError, ApplicationError

Info = dict[str, Any]
MESSAGE_LIMIT = dt.timedelta(minutes=2)
ROLES = ("invitee", "organizer")
RECHECK = dt.timedelta(hours=24)
"""A sleeper looks at its booking at least this often: the signal of a change may be lost with the process that made
it."""


class Session:
    """A booking as it was when last looked at."""

    def __init__(self, found: Info) -> None:
        self.status: str = found["status"]
        self.start = dt.datetime.fromisoformat(found["start"])
        self.end = dt.datetime.fromisoformat(found["end"])
        self.invitee_came: bool = "invitee" in found["joined"]
        self.has_feedback: bool = found["feedback"]
        self.phone: str = found["phone"]
        self.timezone: str = found["timezone"]
        self.event_type: str = found["event_type"]

    @property
    def is_on(self) -> bool:
        return self.status == "confirmed"


class BookingWorkflowBase(BaseWorkflow):
    """Signals: `booking_changed`, that the booking is to be looked at again; `participant_joined`, with a role;
    `feedback_given`."""

    default_start_to_close_timeout = dt.timedelta(minutes=1)

    def __init__(self) -> None:
        self.changed = False
        self.joined: list[str] = []
        self.feedback = False
        self.stage = "starting"

    @workflow.signal
    def booking_changed(self) -> None:
        self.changed = True

    @workflow.signal
    def participant_joined(self, role: str = "invitee") -> None:
        if role in ROLES:
            self.joined.append(role)
        else:
            self.logger.warning("nobody is called %r: expected %s", role, " or ".join(ROLES))

    @workflow.signal
    def feedback_given(self) -> None:
        self.feedback = True

    @workflow.query
    def current_stage(self) -> str:
        """What it is doing or waiting for."""
        return self.stage

    async def look(self, booking_id: UUID) -> Session:
        """The booking as it is now. Raises ActivityError where there is none."""
        self.changed = False
        return Session(await self.execute_activity("load_booking", booking_id))

    async def until(self, booking_id: UUID, moment: Callable[[Session], dt.datetime], stage: str) -> Session:
        """Sleep until a moment of the session, which moves with the session, or until the session is not to be any
        more; the session as it is then. A moment that has passed is not waited for."""
        self.stage = stage
        while True:
            session = await self.look(booking_id)
            wait = moment(session) - workflow.now()
            if not session.is_on or wait <= dt.timedelta(0):
                return session
            await self.wait_for(lambda: self.changed, min(wait, RECHECK))

    async def wait_for(self, holds: Callable[[], bool], at_most: dt.timedelta) -> bool:
        """Whether it came to hold within the time."""
        try:
            await workflow.wait_condition(holds, timeout=at_most)
        except asyncio.TimeoutError:  # noqa: UP041  # what the SDK's code catches
            return False
        return True

    async def came(self, booking_id: UUID) -> bool:
        """Whether the invitee has joined, by what was signalled and by what the rows say."""
        for role in self.joined:
            await self.execute_activity("record_attendance", booking_id, role)
        self.joined = []
        return (await self.look(booking_id)).invitee_came

    async def tell(self, booking_id: UUID, kind: str, *roles: str) -> list[str]:
        """Send a message to the invitee, or to these roles: to whom it went. A message that cannot be delivered does
        not end the session."""
        told = []
        for role in roles or ("invitee",):
            try:
                result = await self.execute_activity(
                    "send_session_message",
                    booking_id,
                    kind,
                    role,
                    start_to_close_timeout=MESSAGE_LIMIT,
                    retry_policy=INTEGRATION_RETRY_POLICY,
                )
            except ActivityError as error:
                self.logger.warning("%s to the %s did not go out: %s", kind, role, error)
            else:
                told += [role] if result["status"] == "sent" else []
        return told

    async def note(self, event: str, booking_id: UUID, **data: Any) -> None:
        """An event and a figure; what is lost of these ends no session."""
        try:
            await self.execute_activity("log_event", event, {"booking_id": str(booking_id), **data})
            await self.execute_activity("update_analytics", event)
        except ActivityError as error:
            self.logger.warning("%s was not noted: %s", event, error)


def reason(error: ActivityError) -> str:
    """The type of what went wrong in an activity."""
    cause = error.cause
    return cause.type or "" if isinstance(cause, ApplicationError) else type(cause).__name__
