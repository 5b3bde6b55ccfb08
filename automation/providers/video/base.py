"""What every video backend is: rooms, the tokens that let people in, recordings; and the two ways it can go wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from automation.errors import WeirError


class VideoError(WeirError):
    """Base of the errors below. `retry_after` is how long the provider asked to wait, if it did."""

    code: ClassVar[str] = "video"
    status: ClassVar[int] = 502

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VideoFailed(VideoError):
    """The provider did not do it this time: unreachable, too slow, too busy, broken. May pass later."""

    code: ClassVar[str] = "video_failed"


class VideoRefused(VideoError):
    """The provider refuses this call for good: a bad value, a bad key."""

    code: ClassVar[str] = "video_refused"
    status: ClassVar[int] = 400


class VideoNotFound(VideoRefused):
    """The provider has no such room or recording."""

    code: ClassVar[str] = "video_not_found"
    status: ClassVar[int] = 404


class VideoRoomEmpty(VideoFailed):
    """Nobody is in the room yet, so there is nothing to record."""

    code: ClassVar[str] = "video_room_empty"
    status: ClassVar[int] = 409


class RecordingStatus(StrEnum):
    """`CANCELED` is spelled as Daily spells it."""

    IN_PROGRESS = "in-progress"
    FINISHED = "finished"
    CANCELED = "canceled"


@dataclass(frozen=True, kw_only=True)
class RoomSpec:
    """A room to make. Times are aware; nobody gets in before `not_before` or after `expires_at`.

    `name`: up to 128 letters, digits, - and _. `private`: a token is needed to get in.
    """

    name: str
    expires_at: datetime | None = None
    not_before: datetime | None = None
    private: bool = True
    max_participants: int | None = None
    recording: bool = False


@dataclass(frozen=True, kw_only=True)
class VideoRoom:
    """A room as the provider knows it."""

    id: str
    name: str
    url: str
    private: bool = True
    expires_at: datetime | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """A token for one person and one room. An owner may record and remove people."""

    room_name: str
    expires_at: datetime
    user_name: str = ""
    user_id: str = ""
    is_owner: bool = False


@dataclass(frozen=True, kw_only=True)
class VideoRecording:
    """`duration` in seconds, None while it is in progress."""

    id: str
    room_name: str
    status: RecordingStatus
    started_at: datetime
    duration: int | None = None


@dataclass(frozen=True)
class AccessLink:
    """A link to download a recording, and when it ends."""

    url: str
    expires_at: datetime


class VideoBackend(ABC):
    """A provider of video rooms. Made once per process; its methods may be called by several threads.

    Every call that changes something may be repeated with the same `idempotency_key`, and changes it once. All raise
    VideoFailed and VideoRefused; those that name a room or a recording raise VideoNotFound where there is none.
    """

    @abstractmethod
    def create_room(self, spec: RoomSpec, *, idempotency_key: str) -> VideoRoom:
        """The room of that name: a new one, or the one that is there."""

    @abstractmethod
    def update_room(self, name: str, *, expires_at: datetime | None, idempotency_key: str) -> VideoRoom:
        """Change when a room ends."""

    @abstractmethod
    def get_room(self, name: str) -> VideoRoom: ...

    @abstractmethod
    def list_rooms(self) -> Iterator[VideoRoom]:
        """Every room of the account, newest first, fetched page by page."""

    @abstractmethod
    def delete_room(self, name: str, *, idempotency_key: str) -> bool:
        """End the room and whatever runs in it; False where there was none."""

    @abstractmethod
    def create_token(self, spec: TokenSpec, *, idempotency_key: str) -> str: ...

    @abstractmethod
    def start_recording(self, room_name: str, *, idempotency_key: str) -> VideoRecording:
        """Record the call that runs in a room; the recording that is in progress, where one is. Raises VideoRoomEmpty
        where nobody is there."""

    @abstractmethod
    def stop_recording(self, room_name: str, *, idempotency_key: str) -> bool:
        """End the recording in progress; False where there was none."""

    @abstractmethod
    def list_recordings(self, room_name: str = "") -> Iterator[VideoRecording]:
        """The recordings of a room, or of all, newest first."""

    @abstractmethod
    def access_link(self, recording_id: str, valid_for: timedelta) -> AccessLink:
        """A link to a finished recording. Raises VideoRefused while it is in progress."""
