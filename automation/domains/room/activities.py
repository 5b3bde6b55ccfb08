"""What the workflows of rooms do. `create_room` and `delete_room` are called by other domains, by name."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from automation import clock
from automation.domains.room.comparison import PREFIX, Difference, compare
from automation.domains.room.models import Room, RoomStatus
from automation.durable import activity
from automation.durable.exceptions import ApplicationError
from automation.models import Booking, BookingStatus
from automation.providers.video import RoomSpec, VideoNotFound, VideoRoom, calling, get_backend

LINGER = dt.timedelta(hours=1)
"""How long after its meeting a room can still be entered."""

MOST_DIFFERENCES = 500
"""Differences that one comparison reports; the next one finds the others."""

Info = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class RoomRequest:
    """A room to make. `name` begins with "weir-"; what it is without is put behind it."""

    name: str
    expires_at: dt.datetime
    purpose: str = ""
    private: bool = True
    recording: bool = False
    max_participants: int | None = None
    booking_id: str | None = None


@activity.defn(name="create_room")
def create_room(booking_id: str) -> Info:
    """The room of a booking, made once: `room_id`, `room_name`, `url`, `expires_at`. The booking gets its link, unless
    it has one. It ends an hour after the meeting, and is open to whoever has the link.

    Raises ApplicationError, not to be retried: BookingNotFound, BookingNotConfirmed, BookingOver.
    """
    booking = _booking(booking_id)
    if booking.status in (BookingStatus.CANCELLED, BookingStatus.RESCHEDULED):
        raise _refusal(f"booking {booking_id} is {booking.get_status_display().lower()}", "BookingNotConfirmed")
    if booking.end_time + LINGER <= clock.now():
        raise _refusal(f"the meeting of booking {booking_id} ended at {booking.end_time:%F %T} UTC", "BookingOver")
    made = provision_room(
        RoomRequest(
            name=f"{PREFIX}{booking.id.hex}",
            expires_at=booking.end_time + LINGER,
            purpose="booking",
            private=False,  # the link that the invitee gets is all that they need
            booking_id=str(booking.id),
        )
    )
    Booking.objects.filter(id=booking.id, meeting_link="").update(
        meeting_link=made["url"], meeting_id=made["room_name"]
    )
    return made


@activity.defn(name="provision_room")
def provision_room(request: RoomRequest) -> Info:
    """A room for whatever purpose, made once, or given another expiry: what `create_room` returns."""
    name = request.name if request.name.startswith(PREFIX) else f"{PREFIX}{request.name}"
    if request.expires_at <= clock.now():
        raise _refusal(f"room {name} would have expired at {request.expires_at:%F %T} UTC already", "RoomExpired")
    row, created = Room.objects.get_or_create(
        name=name,
        defaults={
            "booking_id": request.booking_id,
            "purpose": request.purpose,
            "private": request.private,
            "recording": request.recording,
            "max_participants": request.max_participants,
            "expires_at": request.expires_at,
        },
    )
    if not created and (row.status in (RoomStatus.DELETED, RoomStatus.FAILED) or row.expires_at != request.expires_at):
        row.expires_at = request.expires_at
        if row.status != RoomStatus.ACTIVE:
            row.status, row.created_at, row.deleted_at = RoomStatus.PENDING, clock.now(), None
        row.save(update_fields=["status", "expires_at", "created_at", "deleted_at"])
    _make(row)
    return _described(row)


@activity.defn(name="delete_room")
def delete_room(room_name: str) -> Info:
    """End a room at the provider, and note it: `room_name`, `deleted` (False where the provider had none)."""
    with calling():
        deleted = get_backend().delete_room(room_name, idempotency_key=activity.info().idempotency_key)
    _note_deleted(room_name)
    return {"room_name": room_name, "deleted": deleted}


@activity.defn(name="fail_room")
def fail_room(room_name: str, reason: str) -> Info:
    """Note that a room could not be made."""
    updated = Room.objects.filter(name=room_name, status=RoomStatus.PENDING).update(
        status=RoomStatus.FAILED, problem=reason
    )
    return {"room_name": room_name, "failed": bool(updated)}


@activity.defn(name="expired_rooms")
def expired_rooms(after_id: int, limit: int, grace_minutes: int = 0) -> list[dict[str, Any]]:
    """At most `limit` active rooms that expired `grace_minutes` ago or before, behind `after_id`: `id` and `name`."""
    before = clock.now() - dt.timedelta(minutes=grace_minutes)
    rows = Room.objects.filter(status=RoomStatus.ACTIVE, expires_at__lte=before, id__gt=after_id)
    return [{"id": id, "name": name} for id, name in rows.order_by("id").values_list("id", "name")[:limit]]


@activity.defn(name="compare_rooms")
def compare_rooms(room_id: int | None = None) -> Info:
    """Hold every room, or one, against the provider's: `checked`, and `differences` (`room_name`, `difference`).

    Raises ApplicationError of type RoomNotFound, not to be retried, where there is no room of that id.
    """
    now = clock.now()
    if room_id is not None:
        row = Room.objects.filter(id=room_id).first()
        if row is None:
            raise _refusal(f"there is no room {room_id}", "RoomNotFound")
        found = [(row.name, compare(row, _at_provider(row.name), now))]
    else:
        there: dict[str, VideoRoom] = {}
        with calling():
            for number, room in enumerate(get_backend().list_rooms()):
                there[room.name] = room
                if number % 100 == 0:
                    activity.heartbeat(number)
        # A room that was deleted long ago is asked about only where the provider still has it.
        rows = {row.name: row for row in Room.objects.exclude(status=RoomStatus.DELETED).iterator()}
        names = [name for name in there if name not in rows]
        for start in range(0, len(names), 500):
            rows |= {row.name: row for row in Room.objects.filter(name__in=names[start : start + 500])}
        every = sorted(rows.keys() | there.keys())
        found = [(name, compare(rows.get(name), there.get(name), now)) for name in every]
    for start in range(0, len(found), 500):
        Room.objects.filter(name__in=[name for name, _ in found[start : start + 500]]).update(checked_at=now)
    differences = [{"room_name": name, "difference": str(difference)} for name, difference in found if difference]
    return {"checked": len(found), "differences": differences[:MOST_DIFFERENCES]}


@activity.defn(name="mend_room")
def mend_room(room_name: str) -> Info:
    """Mend what differs by now: `room_name`, `mended` (a `Difference`; empty where nothing differs any more)."""
    row, there = Room.objects.filter(name=room_name).first(), _at_provider(room_name)
    difference = compare(row, there, clock.now())
    if difference is not None:
        _mending()[difference](room_name, row, there)
        Room.objects.filter(name=room_name).update(checked_at=clock.now(), problem=f"mended: {difference}")
    return {"room_name": room_name, "mended": str(difference or "")}


# -- mending -----------------------------------------------------------------------------------------------------------

Mend = Callable[[str, Room | None, VideoRoom | None], None]


def _mending() -> dict[Difference, Mend]:
    return {
        Difference.MISSING: lambda name, row, there: _make(_there(row)),
        Difference.UNFINISHED: lambda name, row, there: _make(_there(row)),
        Difference.GONE: lambda name, row, there: _note_deleted(name),
        Difference.MOVED: lambda name, row, there: _note_made(_there(row), _there(there)),
        Difference.EXPIRY: lambda name, row, there: _keep_expiry(_there(row)),
        Difference.LINGERING: lambda name, row, there: _delete_there(name),
        Difference.UNKNOWN: lambda name, row, there: _adopt(_there(there)),
    }


def _make(row: Room) -> None:
    """Have the provider make the room, or find it, and note it."""
    spec = RoomSpec(
        name=row.name,
        expires_at=row.expires_at,
        private=row.private,
        max_participants=row.max_participants,
        recording=row.recording,
    )
    key = activity.info().idempotency_key
    with calling():
        room = get_backend().create_room(spec, idempotency_key=key)
        if compare(Room(**_as_made(row, room)), room, clock.now()) == Difference.EXPIRY:
            room = get_backend().update_room(row.name, expires_at=row.expires_at, idempotency_key=key)
    _note_made(row, room)


def _as_made(row: Room, room: VideoRoom) -> dict[str, Any]:
    return {
        "name": row.name,
        "status": RoomStatus.ACTIVE,
        "url": room.url,
        "provider_id": room.id,
        "expires_at": row.expires_at,
    }


def _note_made(row: Room, room: VideoRoom) -> None:
    row.status, row.url, row.provider_id, row.problem = RoomStatus.ACTIVE, room.url, room.id, ""
    row.deleted_at = None
    row.save(update_fields=["status", "url", "provider_id", "problem", "deleted_at"])


def _note_deleted(name: str) -> None:
    Room.objects.filter(name=name).exclude(status=RoomStatus.DELETED).update(
        status=RoomStatus.DELETED, deleted_at=clock.now()
    )


def _keep_expiry(row: Room) -> None:
    with calling():
        get_backend().update_room(row.name, expires_at=row.expires_at, idempotency_key=activity.info().idempotency_key)


def _delete_there(name: str) -> None:
    with calling():
        get_backend().delete_room(name, idempotency_key=activity.info().idempotency_key)
    _note_deleted(name)


def _adopt(room: VideoRoom) -> None:
    Room.objects.get_or_create(
        name=room.name,
        defaults={
            "status": RoomStatus.ACTIVE,
            "purpose": "found at the provider",
            "provider_id": room.id,
            "url": room.url,
            "private": room.private,
            "expires_at": room.expires_at,
        },
    )


def _at_provider(name: str) -> VideoRoom | None:
    with calling():
        try:
            return get_backend().get_room(name)
        except VideoNotFound:
            return None


def _there(value: T | None) -> T:
    assert value is not None, "a difference of this kind has both"
    return value


def _described(row: Room) -> Info:
    return {
        "room_id": row.pk,
        "room_name": row.name,
        "url": row.url,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
    }


def _booking(booking_id: str) -> Booking:
    try:
        found = Booking.objects.filter(id=uuid.UUID(str(booking_id))).first()
    except ValueError:
        raise _refusal(f"{booking_id!r} is no booking's id: expected a UUID", "BookingNotFound") from None
    if found is None:
        raise _refusal(f"there is no booking {booking_id}", "BookingNotFound")
    return found


def _refusal(message: str, type: str) -> ApplicationError:
    return ApplicationError(message, type=type, non_retryable=True)


ACTIVITIES: list[Callable[..., Any]] = [
    create_room,
    provision_room,
    delete_room,
    fail_room,
    expired_rooms,
    compare_rooms,
    mend_room,
]
