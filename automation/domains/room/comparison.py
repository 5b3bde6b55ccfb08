"""What a room is, and what the provider says it is: pure."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

from automation.domains.room.models import Room, RoomStatus
from automation.providers.video import VideoRoom

PREFIX = "weir-"
"""The names of our rooms begin with it; a room of another name is nobody's business of ours."""

UNFINISHED = dt.timedelta(minutes=15)
"""After this long nobody is still making a room."""


class Difference(StrEnum):
    """How a row and the provider's room can differ, and what mends it."""

    MISSING = "missing"  # active, and the provider has none: made again
    GONE = "gone"  # expired, and the provider has none: noted as deleted
    MOVED = "moved"  # another id or URL: the provider is right
    EXPIRY = "expiry"  # another end: the row is right
    LINGERING = "lingering"  # deleted, and still there: deleted
    UNFINISHED = "unfinished"  # never heard of again after it was to be made: made, or noted as it is there
    UNKNOWN = "unknown"  # named like ours, and no row: a row is written, so that it will be deleted when it expires


def compare(row: Room | None, there: VideoRoom | None, now: dt.datetime) -> Difference | None:
    """The difference between a row and the provider's room of that name; None where there is none."""
    if row is None:
        return Difference.UNKNOWN if there is not None and there.name.startswith(PREFIX) else None
    expired = row.expires_at is not None and row.expires_at <= now
    match row.status:
        case RoomStatus.DELETED:
            return Difference.LINGERING if there is not None else None
        case RoomStatus.ACTIVE if there is None:
            return Difference.GONE if expired else Difference.MISSING
        case RoomStatus.ACTIVE if there is not None:
            if (row.url, row.provider_id) != (there.url, there.id):
                return Difference.MOVED
            return None if same_second(row.expires_at, there.expires_at) else Difference.EXPIRY
        case RoomStatus.PENDING if now - row.created_at > UNFINISHED and not expired:
            return Difference.UNFINISHED
        case _ if there is not None:  # it was given up or forgotten while being made
            return Difference.LINGERING if expired or row.status == RoomStatus.FAILED else None
    return None


def same_second(one: dt.datetime | None, other: dt.datetime | None) -> bool:
    """Whether two times are the same to a provider, which counts in seconds."""
    if one is None or other is None:
        return one is other
    return int(one.timestamp()) == int(other.timestamp())
