"""The workflows of streams."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from automation.domains.stream import activities
from automation.durable import workflow
from automation.durable.base import BaseWorkflow, monitored_workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError
from automation.durable.policies import INTEGRATION_RETRY_POLICY

LIMIT = dt.timedelta(minutes=2)
WAITING_FOR_PEOPLE = RetryPolicy(initial_interval=dt.timedelta(seconds=30), backoff_coefficient=1.0)
POLLS_AFTER_STOP = 120
"""Polls that a stopped recording may take to be written."""


@workflow.defn
@monitored_workflow(name="StreamSetupWorkflow")
class StreamSetupWorkflow(BaseWorkflow):
    """Makes a stream ready: a room, then a token for everybody. What fails on the way deletes the room again."""

    @workflow.run
    async def run(self, stream_id: int, config: dict[str, Any] | None = None) -> dict[str, Any]:
        """`status` ("ready"), `room_name`, `url`, `tokens` (how many).

        config: `quality` (SD, HD, FHD), `recording` (bool), `max_participants`. Raises ActivityError.
        """
        prepared = await self.execute_activity(
            activities.prepare_stream, stream_id, config, start_to_close_timeout=LIMIT
        )
        room: dict[str, Any] | None = None
        try:
            room = await self.execute_activity(
                "provision_room",
                prepared["room"],
                start_to_close_timeout=LIMIT,
                retry_policy=INTEGRATION_RETRY_POLICY,
            )
            await workflow.group(
                *(
                    workflow.step(
                        activities.create_stream_token,
                        participant,
                        room["room_name"],
                        start_to_close_timeout=LIMIT,
                        retry_policy=INTEGRATION_RETRY_POLICY,
                    )
                    for participant in prepared["participants"]
                )
            )
            await self.execute_activity(
                activities.mark_stream_ready, stream_id, room["room_name"], room["url"], start_to_close_timeout=LIMIT
            )
        except ActivityError as error:
            if room is not None:
                await self.execute_activity(
                    "delete_room",
                    room["room_name"],
                    start_to_close_timeout=LIMIT,
                    retry_policy=INTEGRATION_RETRY_POLICY,
                )
            reason = str(error.cause or error)
            await self.execute_activity(activities.mark_stream_failed, stream_id, reason, start_to_close_timeout=LIMIT)
            raise
        return {
            "stream_id": stream_id,
            "status": "ready",
            "room_name": room["room_name"],
            "url": room["url"],
            "tokens": len(prepared["participants"]),
        }


@workflow.defn
@monitored_workflow(name="StreamRecordingWorkflow")
class StreamRecordingWorkflow(BaseWorkflow):
    """Records a stream: starts when somebody is there, polls, stops at its end (or by the signal `stop`), and stores
    the link."""

    def __init__(self) -> None:
        self._stop = False
        self._state: dict[str, Any] = {"status": "starting", "polls": 0}

    @workflow.run
    async def run(self, stream_id: int, poll_seconds: float = 60, max_minutes: int | None = None) -> dict[str, Any]:
        """`status`: "stored" (with `recording_id`, `duration` in seconds, `link`), "canceled" by the provider, or
        "not_recorded" with its `reason` when nobody came.

        max_minutes: when to stop; the stream's end by default. Raises ActivityError, and ApplicationError of type
        RecordingNotFinished when it is not written long after it was stopped.
        """
        times = await self.execute_activity(activities.stream_times, stream_id, start_to_close_timeout=LIMIT)
        end = dt.datetime.fromisoformat(times["ends_at"])
        try:
            recording = await self.execute_activity(
                activities.start_stream_recording,
                stream_id,
                start_to_close_timeout=LIMIT,
                schedule_to_close_timeout=max(end - workflow.now(), dt.timedelta(minutes=1)),
                retry_policy=WAITING_FOR_PEOPLE,
            )
        except ActivityError as error:
            if not _nobody_came(error):
                raise
            self._state["status"] = "not_recorded"
            return {"stream_id": stream_id, "status": "not_recorded", "reason": "nobody came"}
        if max_minutes is not None:
            end = min(end, workflow.now() + dt.timedelta(minutes=max_minutes))
        recording = await self._until_written(stream_id, recording, end, poll_seconds)
        if recording["status"] == "canceled":
            return {"stream_id": stream_id, "status": "canceled", "recording_id": recording["recording_id"]}
        stored: dict[str, Any] = await self.execute_activity(
            activities.store_recording_link,
            recording["recording_id"],
            start_to_close_timeout=LIMIT,
            retry_policy=INTEGRATION_RETRY_POLICY,
        )
        self._state["status"] = "stored"
        return {**stored, "stream_id": stream_id, "status": "stored"}

    async def _until_written(
        self, stream_id: int, recording: dict[str, Any], end: dt.datetime, poll_seconds: float
    ) -> dict[str, Any]:
        """Poll until the recording is finished or canceled, stopping it at `end` or when told."""
        left = POLLS_AFTER_STOP
        stopped = False
        while recording["status"] == "in-progress":
            self._state["status"] = "stopping" if stopped else "recording"
            if not stopped and (self._stop or workflow.now() >= end):
                await self.execute_activity(
                    activities.stop_stream_recording,
                    stream_id,
                    start_to_close_timeout=LIMIT,
                    retry_policy=INTEGRATION_RETRY_POLICY,
                )
                stopped = True
            else:
                await self._pause(poll_seconds if stopped else min(poll_seconds, _seconds_to(end)), stopped)
            recording = await self.execute_activity(
                activities.poll_stream_recording,
                stream_id,
                recording["recording_id"],
                start_to_close_timeout=LIMIT,
                retry_policy=INTEGRATION_RETRY_POLICY,
            )
            self._state["polls"] += 1
            left -= stopped
            if left < 0:
                raise ApplicationError(
                    f"recording {recording['recording_id']} was stopped {POLLS_AFTER_STOP} polls ago and is still "
                    f"{recording['status']}",
                    type="RecordingNotFinished",
                    non_retryable=True,
                )
        return recording

    async def _pause(self, seconds: float, stopped: bool) -> None:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._stop and not stopped, timeout=dt.timedelta(seconds=max(1.0, seconds))
            )

    @workflow.signal
    def stop(self) -> None:
        """Stop recording before the stream's end."""
        self._stop = True

    @workflow.query
    def status(self) -> dict[str, Any]:
        """`status` (starting, recording, stopping, stored, not_recorded) and `polls`."""
        return dict(self._state)


@workflow.defn
@monitored_workflow(name="StreamCleanupWorkflow")
class StreamCleanupWorkflow(BaseWorkflow):
    """Ends a stream and its recording, closes its room, and archives what there is of it."""

    @workflow.run
    async def run(self, stream_id: int) -> dict[str, Any]:
        """`status` ("archived"), `room_deleted`, `participants`, `recordings` (ids), `recorded_seconds`. Running it
        again changes nothing."""
        ended = await self.execute_activity(activities.end_stream, stream_id, start_to_close_timeout=LIMIT)
        await self.execute_activity(
            activities.stop_stream_recording,
            stream_id,
            start_to_close_timeout=LIMIT,
            retry_policy=INTEGRATION_RETRY_POLICY,
        )
        closed = {"deleted": False}
        if ended["room_name"]:
            closed = await self.execute_activity(
                "delete_room",
                ended["room_name"],
                start_to_close_timeout=LIMIT,
                retry_policy=INTEGRATION_RETRY_POLICY,
            )
        archived: dict[str, Any] = await self.execute_activity(
            activities.archive_stream,
            stream_id,
            start_to_close_timeout=LIMIT,
            retry_policy=INTEGRATION_RETRY_POLICY,
        )
        return {**archived, "status": "archived", "room_deleted": closed["deleted"]}


def _nobody_came(error: ActivityError) -> bool:
    return isinstance(error.cause, ApplicationError) and error.cause.type == "VideoRoomEmpty"


def _seconds_to(moment: dt.datetime) -> float:
    return (moment - workflow.now()).total_seconds()


WORKFLOWS: list[type] = [StreamSetupWorkflow, StreamRecordingWorkflow, StreamCleanupWorkflow]
