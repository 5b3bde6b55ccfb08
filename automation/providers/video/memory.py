"""A provider that is rows of ours (`ProviderRecord`): deterministic, offline, visible in the admin.

It has no calls and no people: a room can be recorded at any time, and a recording ends when it is stopped or when its
room is deleted or expires.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from automation import clock
from automation.models import ProviderRecord
from automation.providers.video.base import (
    AccessLink,
    RecordingStatus,
    RoomSpec,
    TokenSpec,
    VideoBackend,
    VideoNotFound,
    VideoRecording,
    VideoRefused,
    VideoRoom,
)

URL = "https://rooms.example"


class MemoryBackend(VideoBackend):
    def create_room(self, spec: RoomSpec, *, idempotency_key: str) -> VideoRoom:
        data = {"expires_at": _text(spec.expires_at), "private": spec.private, "recording": spec.recording}
        row, _ = ProviderRecord.objects.get_or_create(
            provider="video", kind="room", key=spec.name, defaults={"data": data}
        )
        return _room(row)

    def update_room(self, name: str, *, expires_at: datetime | None, idempotency_key: str) -> VideoRoom:
        row = _find("room", name)
        row.data = {**row.data, "expires_at": _text(expires_at)}
        row.updated_at = clock.now()
        row.save(update_fields=["data", "updated_at"])
        return _room(row)

    def get_room(self, name: str) -> VideoRoom:
        return _room(_find("room", name))

    def list_rooms(self) -> Iterator[VideoRoom]:
        return map(_room, _rows("room").iterator())

    def delete_room(self, name: str, *, idempotency_key: str) -> bool:
        self.stop_recording(name, idempotency_key=idempotency_key)
        return bool(_rows("room").filter(key=name).delete()[0])

    def create_token(self, spec: TokenSpec, *, idempotency_key: str) -> str:
        text = f"{idempotency_key}\n{spec}"
        return f"memory-{hashlib.sha256(text.encode()).hexdigest()}"

    def start_recording(self, room_name: str, *, idempotency_key: str) -> VideoRecording:
        _find("room", room_name)
        for recording in self.list_recordings(room_name):
            if recording.status == RecordingStatus.IN_PROGRESS:
                return recording
        key = hashlib.sha256(f"recording {idempotency_key}".encode()).hexdigest()[:32]
        row, _ = ProviderRecord.objects.get_or_create(
            provider="video",
            kind="recording",
            key=key,
            defaults={"data": {"room_name": room_name, "status": RecordingStatus.IN_PROGRESS}},
        )
        return _recording(row)

    def stop_recording(self, room_name: str, *, idempotency_key: str) -> bool:
        stopped = False
        for row in _rows("recording").filter(data__room_name=room_name, data__status=RecordingStatus.IN_PROGRESS):
            duration = max(0, int((clock.now() - row.created_at).total_seconds()))
            row.data = {**row.data, "status": RecordingStatus.FINISHED, "duration": duration}
            row.updated_at = clock.now()
            row.save(update_fields=["data", "updated_at"])
            stopped = True
        return stopped

    def list_recordings(self, room_name: str = "") -> Iterator[VideoRecording]:
        rows = _rows("recording")
        return map(_recording, (rows.filter(data__room_name=room_name) if room_name else rows).iterator())

    def access_link(self, recording_id: str, valid_for: timedelta) -> AccessLink:
        row = _find("recording", recording_id)
        if row.data["status"] != RecordingStatus.FINISHED:
            raise VideoRefused(f"The recording {recording_id} is {row.data['status']}; stop it first.")
        expires = clock.now() + valid_for
        return AccessLink(f"{URL}/recordings/{recording_id}.mp4?expires={int(expires.timestamp())}", expires)


def _rows(kind: str) -> Any:
    return ProviderRecord.objects.filter(provider="video", kind=kind).order_by("-id")


def _find(kind: str, key: str) -> ProviderRecord:
    row: ProviderRecord | None = _rows(kind).filter(key=key).first()
    if row is None:
        raise VideoNotFound(f"There is no {kind} {key!r}.")
    return row


def _room(row: ProviderRecord) -> VideoRoom:
    return VideoRoom(
        id=f"memory-{row.pk}",
        name=row.key,
        url=f"{URL}/{row.key}",
        private=row.data.get("private", True),
        expires_at=_time(row.data.get("expires_at")),
        created_at=row.created_at,
    )


def _recording(row: ProviderRecord) -> VideoRecording:
    return VideoRecording(
        id=row.key,
        room_name=row.data["room_name"],
        status=RecordingStatus(row.data["status"]),
        started_at=row.created_at,
        duration=row.data.get("duration"),
    )


def _text(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
