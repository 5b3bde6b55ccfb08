"""Rooms: making, mending, cleaning up; on the provider that is rows, and against Daily's emulator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from automation import clock
from automation.domains.room import workflows
from automation.domains.room.comparison import Difference, compare
from automation.domains.room.models import Room, RoomStatus
from automation.domains.room.workflows import RoomCleanupWorkflow, RoomCreationWorkflow, RoomMaintenanceWorkflow
from automation.durable.exceptions import ActivityError, ApplicationError, WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import Booking, BookingStatus, ProviderRecord
from automation.providers.video import VideoRoom, get_backend
from tests.automation.factories import make_booking
from tests.support.daily import DailyEmulator

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def env(db: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


@pytest.fixture
def daily(settings: Any) -> Iterator[DailyEmulator]:
    with DailyEmulator() as emulator:
        settings.VIDEO_BACKEND, settings.DAILY_API_KEY, settings.DAILY_API_URL = "daily", emulator.key, emulator.url
        yield emulator


def make_room(name: str, hours: float = 1, **fields: Any) -> Room:
    """A room that the provider has as well."""
    row = Room.objects.create(
        name=name, expires_at=clock.now() + dt.timedelta(hours=hours), **{"status": RoomStatus.ACTIVE, **fields}
    )
    from automation.providers.video import RoomSpec

    there = get_backend().create_room(RoomSpec(name=name, expires_at=row.expires_at), idempotency_key=name)
    Room.objects.filter(pk=row.pk).update(url=there.url, provider_id=there.id)
    row.refresh_from_db()
    return row


def cause(caught: pytest.ExceptionInfo[WorkflowFailureError]) -> BaseException:
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return error


# -- making ------------------------------------------------------------------------------------------------------------


def test_a_booking_gets_a_room_that_ends_an_hour_after_it(env: WorkflowEnvironment) -> None:
    booking = make_booking()
    made = env.run(RoomCreationWorkflow.run, str(booking.id))
    room = Room.objects.get(id=made["room_id"])
    assert (room.status, room.booking_id, room.expires_at) == (RoomStatus.ACTIVE, booking.id, booking.end_time + HOUR)
    booking.refresh_from_db()
    assert (booking.meeting_link, booking.meeting_id) == (room.url, room.name) == (made["url"], made["room_name"])
    there = get_backend().get_room(room.name)
    assert (there.expires_at, there.private) == (room.expires_at, False), "its link is all that an invitee has"


def test_a_booking_has_one_room_and_keeps_its_own_link(env: WorkflowEnvironment) -> None:
    booking = make_booking(meeting_link="https://meet.example/mine")
    first = env.run(RoomCreationWorkflow.run, str(booking.id))
    assert env.run(RoomCreationWorkflow.run, str(booking.id)) == first
    assert Room.objects.count() == 1
    assert Booking.objects.get().meeting_link == "https://meet.example/mine"


def test_a_room_follows_its_booking_to_another_time(env: WorkflowEnvironment) -> None:
    booking = make_booking()
    env.run(RoomCreationWorkflow.run, str(booking.id))
    booking.end_time += HOUR
    booking.save()
    made = env.run(RoomCreationWorkflow.run, str(booking.id))
    assert get_backend().get_room(made["room_name"]).expires_at == booking.end_time + HOUR


@pytest.mark.parametrize(
    ("change", "type"),
    [
        ({"status": BookingStatus.CANCELLED}, "BookingNotConfirmed"),
        ({"status": BookingStatus.RESCHEDULED}, "BookingNotConfirmed"),
    ],
)
def test_a_booking_that_is_off_gets_none(env: WorkflowEnvironment, change: dict[str, Any], type: str) -> None:
    booking = make_booking(**change)
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(RoomCreationWorkflow.run, str(booking.id))
    error = cause(caught)
    assert isinstance(error, ApplicationError)
    assert error.type == type
    assert not Room.objects.exists()


def test_a_booking_that_is_over_gets_none(env: WorkflowEnvironment) -> None:
    booking = make_booking()
    env.skip_to(booking.end_time + HOUR)
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(RoomCreationWorkflow.run, str(booking.id))
    assert "ended at" in str(cause(caught))


@pytest.mark.parametrize("id", ["nonsense", "01890000-0000-7000-8000-000000000000"])
def test_a_booking_that_there_is_not_is_named(env: WorkflowEnvironment, id: str) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(RoomCreationWorkflow.run, id)
    assert id in str(cause(caught))


def test_a_room_by_name_expires_after_its_minutes(env: WorkflowEnvironment) -> None:
    started = env.now
    made = env.run(RoomCreationWorkflow.run, "", "team-talk", 90, True, 12)
    room = Room.objects.get(name="weir-team-talk")
    assert made["room_id"] == room.pk
    assert room.expires_at == started + dt.timedelta(minutes=90)
    assert (room.recording, room.max_participants) == (True, 12)


def test_a_room_for_nothing_is_refused(env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError, match=r".*") as caught:
        env.run(RoomCreationWorkflow.run)
    assert "booking_id or name" in str(cause(caught))


def test_a_provider_that_is_busy_is_waited_for(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    daily.limit("POST /rooms", retry_after="20")
    daily.fail("POST /rooms", 503)
    started = env.now
    made = env.run(RoomCreationWorkflow.run, "", "talk")
    assert list(daily.rooms) == [made["room_name"]]
    assert env.now - started >= dt.timedelta(seconds=20)


def test_a_room_that_the_provider_refuses_says_why(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(RoomCreationWorkflow.run, "", "no spaces please")
    assert isinstance(caught.value.__cause__, ActivityError)
    room = Room.objects.get()
    assert room.status == RoomStatus.FAILED
    assert "may only contain" in room.problem


# -- mending -----------------------------------------------------------------------------------------------------------

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("row", "there", "difference"),
    [
        (None, None, None),
        (None, {"name": "somebody-elses"}, None),
        (None, {}, Difference.UNKNOWN),
        ({}, {}, None),
        ({}, None, Difference.MISSING),
        ({"expires_at": NOW - HOUR}, None, Difference.GONE),
        ({"url": "https://old.example/x"}, {}, Difference.MOVED),
        ({"provider_id": "another"}, {}, Difference.MOVED),
        ({}, {"expires_at": NOW + 2 * HOUR}, Difference.EXPIRY),
        ({}, {"expires_at": None}, Difference.EXPIRY),
        ({"expires_at": NOW + HOUR + dt.timedelta(milliseconds=300)}, {}, None),
        ({"status": RoomStatus.DELETED}, {}, Difference.LINGERING),
        ({"status": RoomStatus.DELETED}, None, None),
        ({"status": RoomStatus.PENDING}, None, None),
        ({"status": RoomStatus.PENDING, "created_at": NOW - HOUR}, None, Difference.UNFINISHED),
        ({"status": RoomStatus.PENDING, "created_at": NOW - HOUR}, {}, Difference.UNFINISHED),
        ({"status": RoomStatus.FAILED}, {}, Difference.LINGERING),
        ({"status": RoomStatus.FAILED}, None, None),
    ],
)
def test_what_differs(row: Any, there: Any, difference: Difference | None) -> None:
    same = {"url": "https://rooms.example/weir-x", "expires_at": NOW + HOUR}
    ours = None
    if row is not None:
        ours = Room(
            **{"name": "weir-x", "provider_id": "1", "status": RoomStatus.ACTIVE, "created_at": NOW, **same, **row}
        )
    theirs = VideoRoom(**{"id": "1", "name": "weir-x", **same, **there}) if there is not None else None
    assert compare(ours, theirs, NOW) == difference


def test_maintenance_mends_every_difference(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    rooms = {name: make_room(f"weir-{name}") for name in ("fine", "missing", "moved", "expiry", "lingering")}
    make_room("weir-unknown").delete()
    daily.rooms.pop("weir-missing")
    daily.rooms["weir-moved"]["url"] = "https://new.daily.co/weir-moved"
    daily.rooms["weir-expiry"]["config"]["exp"] = 1
    Room.objects.filter(name="weir-lingering").update(status=RoomStatus.DELETED)
    daily._create_room(call_to_create("not-ours"))

    report = env.run(RoomMaintenanceWorkflow.run)

    assert report == {
        "checked": 7,
        "failed": {},
        "mended": {f"weir-{name}": name for name in ("missing", "moved", "expiry", "lingering", "unknown")},
    }
    assert Room.objects.get(name="weir-moved").url == "https://new.daily.co/weir-moved"
    assert daily.rooms["weir-expiry"]["config"]["exp"] == int(rooms["expiry"].expires_at.timestamp())  # type: ignore[union-attr]
    assert set(daily.rooms) == {"weir-fine", "weir-missing", "weir-moved", "weir-expiry", "weir-unknown", "not-ours"}
    assert Room.objects.get(name="weir-unknown").status == RoomStatus.ACTIVE
    again = env.run(RoomMaintenanceWorkflow.run)
    assert (again["mended"], again["failed"]) == ({}, {})


def call_to_create(name: str) -> Any:
    from tests.support.daily import Call

    return Call("POST", "/rooms", {}, {}, {"name": name})


def test_maintenance_of_one_room(env: WorkflowEnvironment) -> None:
    room, other = make_room("weir-one"), make_room("weir-other")
    ProviderRecord.objects.filter(kind="room").delete()
    assert env.run(RoomMaintenanceWorkflow.run, room.pk)["mended"] == {"weir-one": "missing"}
    assert [there.name for there in get_backend().list_rooms()] == ["weir-one"]
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(RoomMaintenanceWorkflow.run, other.pk + 100)
    assert f"no room {other.pk + 100}" in str(cause(caught))


def test_what_cannot_be_mended_does_not_hold_up_the_others(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    for name in ("weir-a", "weir-b"):
        make_room(name)
        daily.rooms[name]["config"]["exp"] = 1
    daily.fail("POST /rooms/weir-a", 400)
    report = env.run(RoomMaintenanceWorkflow.run)
    assert report["mended"] == {"weir-b": "expiry"}
    assert "400" in report["failed"]["weir-a"]


# -- cleaning up -------------------------------------------------------------------------------------------------------


def test_what_has_expired_is_deleted_in_batches(env: WorkflowEnvironment) -> None:
    for number in range(7):
        make_room(f"weir-{number}", hours=1)
    make_room("weir-lasting", hours=48)
    env.skip(2 * HOUR)
    assert env.run(RoomCleanupWorkflow.run, 3) == {"deleted": 7, "batches": 3, "failed": {}}
    assert [room.name for room in get_backend().list_rooms()] == ["weir-lasting"]
    assert Room.objects.filter(status=RoomStatus.DELETED, deleted_at__isnull=False).count() == 7


def test_a_grace_is_kept(env: WorkflowEnvironment) -> None:
    make_room("weir-x", hours=1)
    env.skip(HOUR + dt.timedelta(minutes=20))
    assert env.run(RoomCleanupWorkflow.run, 10, 30)["deleted"] == 0
    env.skip(dt.timedelta(minutes=11))
    assert env.run(RoomCleanupWorkflow.run, 10, 30)["deleted"] == 1


def test_what_cannot_be_deleted_is_told_and_tried_next_time(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    for name in ("weir-a", "weir-b"):
        make_room(name)
    env.skip(2 * HOUR)
    daily.fail("DELETE /rooms/weir-a", 403)
    report = env.run(RoomCleanupWorkflow.run, 1)
    assert (report["deleted"], list(report["failed"])) == (1, ["weir-a"])
    assert env.run(RoomCleanupWorkflow.run, 1)["deleted"] == 1
    assert daily.rooms == {}


def test_a_long_clean_up_continues_as_new(env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflows, "BATCHES_PER_RUN", 2)
    for number in range(5):
        make_room(f"weir-{number}")
    env.skip(2 * HOUR)
    handle = env.start(RoomCleanupWorkflow.run, 1)
    assert handle.result() == {"deleted": 5, "batches": 5, "failed": {}}
    assert handle.execution.id != handle.run_id
