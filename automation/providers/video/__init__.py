"""Video rooms: `settings.VIDEO_BACKEND` names the backend, "memory", "daily", or a dotted path.

with calling():
    room = get_backend().create_room(RoomSpec(name="talk", expires_at=end), idempotency_key=key)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from automation.durable.exceptions import ApplicationError
from automation.providers.video.base import (
    AccessLink,
    RecordingStatus,
    RoomSpec,
    TokenSpec,
    VideoBackend,
    VideoError,
    VideoFailed,
    VideoNotFound,
    VideoRecording,
    VideoRefused,
    VideoRoom,
    VideoRoomEmpty,
)

SHORT_NAMES = {
    "memory": "automation.providers.video.memory.MemoryBackend",
    "daily": "automation.providers.video.daily.DailyBackend",
}


@lru_cache(maxsize=8)
def _backend(path: str) -> VideoBackend:
    try:
        cls = import_string(SHORT_NAMES.get(path, path))
    except ImportError as error:
        raise ImproperlyConfigured(
            f"VIDEO_BACKEND={path!r} cannot be imported: {error}; expected {', '.join(SHORT_NAMES)}, or a dotted path"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, VideoBackend)):
        raise ImproperlyConfigured(
            f"VIDEO_BACKEND={path!r} is not a subclass of {VideoBackend.__module__}.VideoBackend"
        )
    return cls()


def get_backend(path: str | None = None) -> VideoBackend:
    """The backend that settings name, one instance per process. Raises ImproperlyConfigured."""
    return _backend(path or settings.VIDEO_BACKEND)


_KINDS = (VideoNotFound, VideoRefused, VideoRoomEmpty, VideoFailed)


@contextmanager
def calling() -> Iterator[None]:
    """Turn the provider's errors into what an activity raises: refused is final, failed is tried again, and after as
    long as the provider asked for."""
    try:
        yield
    except VideoError as error:
        raise ApplicationError(
            error.message,
            type=next(cls.__name__ for cls in _KINDS if isinstance(error, cls)),
            non_retryable=isinstance(error, VideoRefused),
            next_retry_delay=error.retry_after,
        ) from error


@receiver(setting_changed)
def _forget(**_: object) -> None:
    _backend.cache_clear()


__all__ = [
    "AccessLink",
    "RecordingStatus",
    "RoomSpec",
    "TokenSpec",
    "VideoBackend",
    "VideoError",
    "VideoFailed",
    "VideoNotFound",
    "VideoRecording",
    "VideoRefused",
    "VideoRoom",
    "VideoRoomEmpty",
    "calling",
    "get_backend",
]
