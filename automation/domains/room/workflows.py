"""The workflows of rooms."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import Any

from automation.domains.room import activities
from automation.domains.room.activities import RoomRequest
from automation.domains.room.comparison import PREFIX
from automation.durable import workflow
from automation.durable.base import BaseWorkflow, monitored_workflow
from automation.durable.exceptions import ActivityError, ApplicationError
from automation.durable.policies import INTEGRATION_RETRY_POLICY, STANDARD_RETRY_POLICY

LIMIT = dt.timedelta(minutes=2)
COMPARING = dt.timedelta(minutes=30)
MENDED_AT_ONCE = 50
BATCHES_PER_RUN = 20
"""Batches of a clean-up after which it continues as new, so that its history stays short."""


@workflow.defn
@monitored_workflow(name="RoomCreationWorkflow")
class RoomCreationWorkflow(BaseWorkflow):
    """Makes a video room, for a booking or for a name and a number of minutes; it expires."""

    @workflow.run
    async def run(
        self,
        booking_id: str = "",
        name: str = "",
        minutes: int = 60,
        recording: bool = False,
        max_participants: int | None = None,
        private: bool = False,
    ) -> dict[str, Any]:
        """`room_id`, `room_name`, `url`, `expires_at`. Raises ActivityError when the provider refuses it; the room's
        row then says why."""
        if bool(booking_id) == bool(name):
            raise ApplicationError(
                "give either booking_id or name: what the room is for", type="BadInput", non_retryable=True
            )
        if minutes < 1:
            raise ApplicationError(f"minutes must be at least 1, not {minutes}", type="BadInput", non_retryable=True)
        room_name = f"{PREFIX}{booking_id.replace('-', '').lower()}" if booking_id else _with_prefix(name)
        try:
            if booking_id:
                made: dict[str, Any] = await self.execute_activity(
                    activities.create_room,
                    booking_id,
                    start_to_close_timeout=LIMIT,
                    retry_policy=INTEGRATION_RETRY_POLICY,
                )
                return made
            request = RoomRequest(
                name=room_name,
                expires_at=workflow.now() + dt.timedelta(minutes=minutes),
                purpose="by name",
                private=private,
                recording=recording,
                max_participants=max_participants,
            )
            made = await self.execute_activity(
                activities.provision_room,
                request,
                start_to_close_timeout=LIMIT,
                retry_policy=INTEGRATION_RETRY_POLICY,
            )
        except ActivityError as error:
            reason = str(error.cause or error)
            await self.execute_activity(activities.fail_room, room_name, reason, start_to_close_timeout=LIMIT)
            raise
        return made


@workflow.defn
@monitored_workflow(name="RoomMaintenanceWorkflow")
class RoomMaintenanceWorkflow(BaseWorkflow):
    """Finds the rooms whose state differs from the provider's, all of them or one, and mends them."""

    @workflow.run
    async def run(self, room_id: int | None = None) -> dict[str, Any]:
        """`checked`; `mended`: what was found by room; `failed`: what could not be mended, and why."""
        compared = await self.execute_activity(
            activities.compare_rooms,
            room_id,
            start_to_close_timeout=COMPARING,
            heartbeat_timeout=dt.timedelta(minutes=5),
            retry_policy=INTEGRATION_RETRY_POLICY,
        )
        differing = [found["room_name"] for found in compared["differences"]]
        mended: dict[str, str] = {}
        failed: dict[str, str] = {}
        for start in range(0, len(differing), MENDED_AT_ONCE):
            names = differing[start : start + MENDED_AT_ONCE]
            results = await workflow.group(
                *(
                    workflow.step(
                        activities.mend_room, name, start_to_close_timeout=LIMIT, retry_policy=STANDARD_RETRY_POLICY
                    )
                    for name in names
                ),
                return_exceptions=True,
            )
            for name, result in zip(names, results, strict=True):
                if isinstance(result, BaseException):
                    failed[name] = str(result.__cause__ or result)
                elif result["mended"]:
                    mended[name] = result["mended"]
        return {"checked": compared["checked"], "mended": mended, "failed": failed}


@dataclass(frozen=True)
class CleanupProgress:
    """What a clean-up has done so far. `after_id`: the last room that it tried."""

    after_id: int = 0
    deleted: int = 0
    batches: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@workflow.defn
@monitored_workflow(name="RoomCleanupWorkflow")
class RoomCleanupWorkflow(BaseWorkflow):
    """Deletes the rooms that have expired, in batches; one that cannot be deleted does not hold up the others."""

    @workflow.run
    async def run(
        self, batch_size: int = 50, grace_minutes: int = 0, progress: CleanupProgress | None = None
    ) -> dict[str, Any]:
        """`deleted`, `batches`, and `failed`: the reason by room. What failed is tried again by the next clean-up."""
        if batch_size < 1:
            raise ApplicationError(
                f"batch_size must be at least 1, not {batch_size}", type="BadInput", non_retryable=True
            )
        so_far = progress or CleanupProgress()
        before = so_far.batches
        while True:
            if so_far.batches - before == BATCHES_PER_RUN:
                workflow.continue_as_new(args=[batch_size, grace_minutes, so_far])
            rooms = await self.execute_activity(
                activities.expired_rooms,
                so_far.after_id,
                batch_size,
                grace_minutes,
                start_to_close_timeout=LIMIT,
            )
            if not rooms:
                return {"deleted": so_far.deleted, "batches": so_far.batches, "failed": so_far.failed}
            results = await workflow.group(
                *(
                    workflow.step(
                        activities.delete_room,
                        room["name"],
                        start_to_close_timeout=LIMIT,
                        retry_policy=STANDARD_RETRY_POLICY,
                    )
                    for room in rooms
                ),
                return_exceptions=True,
            )
            failed = {
                room["name"]: str(result.__cause__ or result)
                for room, result in zip(rooms, results, strict=True)
                if isinstance(result, BaseException)
            }
            so_far = replace(
                so_far,
                after_id=rooms[-1]["id"],
                deleted=so_far.deleted + len(rooms) - len(failed),
                batches=so_far.batches + 1,
                failed={**so_far.failed, **failed},
            )


def _with_prefix(name: str) -> str:
    return name if name.startswith(PREFIX) else f"{PREFIX}{name}"


WORKFLOWS: list[type] = [RoomCreationWorkflow, RoomMaintenanceWorkflow, RoomCleanupWorkflow]
