"""Both video backends by one contract, Daily's over HTTP; then what only Daily can do wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from automation.durable.exceptions import ApplicationError
from automation.providers.video import (
    RecordingStatus,
    RoomSpec,
    TokenSpec,
    VideoBackend,
    VideoFailed,
    VideoNotFound,
    VideoRefused,
    calling,
    get_backend,
)
from tests.support.daily import DailyEmulator

END = datetime(2035, 5, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def daily(settings: Any) -> Iterator[DailyEmulator]:
    with DailyEmulator() as emulator:
        settings.VIDEO_BACKEND = "daily"
        settings.DAILY_API_KEY = emulator.key
        settings.DAILY_API_URL = emulator.url
        yield emulator


@pytest.fixture(params=["memory", "daily"])
def video(request: pytest.FixtureRequest, db: None, settings: Any) -> VideoBackend:
    if request.param == "daily":
        request.getfixturevalue("daily")
    settings.VIDEO_BACKEND = request.param
    return get_backend()


def call_begins(request: pytest.FixtureRequest, room: str) -> None:
    """Daily records only what somebody takes part in."""
    if "daily" in request.fixturenames or request.node.callspec.params.get("video") == "daily":
        request.getfixturevalue("daily").join(room)


# -- the contract ------------------------------------------------------------------------------------------------------


def test_a_room_is_made_once_found_and_listed(video: VideoBackend) -> None:
    room = video.create_room(RoomSpec(name="talk", expires_at=END), idempotency_key="1:1")
    again = video.create_room(RoomSpec(name="talk", expires_at=END), idempotency_key="1:1")
    assert again == room == video.get_room("talk")
    assert (room.name, room.private, room.expires_at) == ("talk", True, END)
    assert room.url.endswith("/talk")
    assert list(video.list_rooms()) == [room]


def test_a_room_ends_when_it_is_told(video: VideoBackend) -> None:
    video.create_room(RoomSpec(name="talk", expires_at=END), idempotency_key="1:1")
    later = END + timedelta(hours=1)
    assert video.update_room("talk", expires_at=later, idempotency_key="1:2").expires_at == later
    assert video.update_room("talk", expires_at=None, idempotency_key="1:3").expires_at is None
    assert video.get_room("talk").expires_at is None


def test_a_room_is_deleted_once(video: VideoBackend) -> None:
    video.create_room(RoomSpec(name="talk"), idempotency_key="1:1")
    assert video.delete_room("talk", idempotency_key="1:2") is True
    assert video.delete_room("talk", idempotency_key="1:2") is False
    assert list(video.list_rooms()) == []


def test_what_is_not_there_is_not_found(video: VideoBackend) -> None:
    with pytest.raises(VideoNotFound, match="nowhere"):
        video.get_room("nowhere")
    with pytest.raises(VideoNotFound, match="nowhere"):
        video.update_room("nowhere", expires_at=END, idempotency_key="1:1")
    with pytest.raises(VideoNotFound, match="nothing"):
        video.access_link("nothing", timedelta(hours=1))


def test_tokens_differ_by_person(video: VideoBackend) -> None:
    video.create_room(RoomSpec(name="talk"), idempotency_key="1:1")
    tokens = {
        video.create_token(
            TokenSpec(room_name="talk", expires_at=END, user_name=name, is_owner=name == "Ada"),
            idempotency_key="1:2",
        )
        for name in ("Ada", "Ben")
    }
    assert len(tokens) == 2


def test_a_recording_runs_ends_and_is_fetched(request: pytest.FixtureRequest, video: VideoBackend) -> None:
    video.create_room(RoomSpec(name="talk", recording=True), idempotency_key="1:1")
    call_begins(request, "talk")
    recording = video.start_recording("talk", idempotency_key="1:2")
    assert recording.status == RecordingStatus.IN_PROGRESS
    assert video.start_recording("talk", idempotency_key="1:2").id == recording.id, "started once"
    with pytest.raises(VideoRefused, match="in-progress"):
        video.access_link(recording.id, timedelta(hours=1))
    assert video.stop_recording("talk", idempotency_key="1:3") is True
    assert video.stop_recording("talk", idempotency_key="1:3") is False
    [found] = video.list_recordings("talk")
    assert (found.id, found.status) == (recording.id, RecordingStatus.FINISHED)
    assert found.duration is not None
    link = video.access_link(found.id, timedelta(hours=1))
    assert found.id in link.url
    assert list(video.list_recordings("another")) == []


def test_deleting_a_room_ends_its_recording(request: pytest.FixtureRequest, video: VideoBackend) -> None:
    video.create_room(RoomSpec(name="talk", recording=True), idempotency_key="1:1")
    call_begins(request, "talk")
    video.start_recording("talk", idempotency_key="1:2")
    video.delete_room("talk", idempotency_key="1:3")
    [recording] = video.list_recordings("talk")
    assert recording.status == RecordingStatus.FINISHED


# -- Daily -------------------------------------------------------------------------------------------------------------


def test_what_daily_is_told(daily: DailyEmulator) -> None:
    get_backend().create_room(
        RoomSpec(name="talk", expires_at=END, max_participants=4, recording=True), idempotency_key="x:7"
    )
    [call] = daily.to("POST", "/rooms")
    assert call.headers["authorization"] == f"Bearer {daily.key}"
    assert call.headers["idempotency-key"] == "x:7"
    assert call.body == {
        "name": "talk",
        "privacy": "private",
        "properties": {
            "eject_at_room_exp": True,
            "exp": int(END.timestamp()),
            "max_participants": 4,
            "enable_recording": "cloud",
        },
    }


def test_lists_are_fetched_page_by_page(daily: DailyEmulator) -> None:
    names = [f"room-{number}" for number in range(205)]
    for name in names:
        daily._create_room(call_to_create(name))
    assert [room.name for room in get_backend().list_rooms()] == names[::-1]
    assert len(daily.to("GET", "/rooms")) == 3


def call_to_create(name: str) -> Any:
    from tests.support.daily import Call

    return Call("POST", "/rooms", {}, {}, {"name": name})


@pytest.mark.parametrize("trouble", ["lose_answer", "repeat"])
def test_a_room_whose_making_was_not_heard_of_is_found(daily: DailyEmulator, trouble: str) -> None:
    getattr(daily, trouble)("POST /rooms")
    try:
        room = get_backend().create_room(RoomSpec(name="talk"), idempotency_key="1:1")
    except VideoFailed:  # the answer was lost: the step's next attempt asks again
        room = get_backend().create_room(RoomSpec(name="talk"), idempotency_key="1:1")
    assert [room.id] == [one["id"] for one in daily.rooms.values()]


def test_a_recording_whose_start_was_not_heard_of_runs_once(daily: DailyEmulator) -> None:
    video = get_backend()
    video.create_room(RoomSpec(name="talk", recording=True), idempotency_key="1:1")
    daily.join("talk")
    daily.repeat("POST /rooms/talk/recordings/start")
    recording = video.start_recording("talk", idempotency_key="1:2")
    assert [recording.id] == list(daily.recordings)


def test_nobody_in_the_room_is_waited_for(daily: DailyEmulator) -> None:
    video = get_backend()
    video.create_room(RoomSpec(name="talk", recording=True), idempotency_key="1:1")
    with pytest.raises(ApplicationError, match="hosting a call") as caught, calling():
        video.start_recording("talk", idempotency_key="1:2")
    assert (caught.value.type, caught.value.non_retryable) == ("VideoRoomEmpty", False)


def test_a_room_that_may_not_be_recorded_is_refused(daily: DailyEmulator) -> None:
    video = get_backend()
    video.create_room(RoomSpec(name="talk"), idempotency_key="1:1")
    daily.join("talk")
    with pytest.raises(VideoRefused, match="not enabled"):
        video.start_recording("talk", idempotency_key="1:2")


@pytest.mark.parametrize(("value", "wait"), [("7", timedelta(seconds=7)), ("", None), ("soon", None)])
def test_it_waits_as_long_as_it_is_told(daily: DailyEmulator, value: str, wait: timedelta | None) -> None:
    daily.limit("GET /rooms/talk", retry_after=value)
    with pytest.raises(ApplicationError) as caught, calling():
        get_backend().get_room("talk")
    assert (caught.value.type, caught.value.non_retryable, caught.value.next_retry_delay) == (
        "VideoFailed",
        False,
        wait,
    )


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_a_broken_provider_is_tried_again(daily: DailyEmulator, status: int) -> None:
    daily.fail("DELETE /rooms/talk", status)
    with pytest.raises(ApplicationError, match=str(status)) as caught, calling():
        get_backend().delete_room("talk", idempotency_key="1:1")
    assert not caught.value.non_retryable


def test_a_stalling_provider_is_tried_again(daily: DailyEmulator, settings: Any) -> None:
    settings.WEBHOOK_TIMEOUT = 0.3
    daily.stall("GET /rooms/talk")
    with pytest.raises(VideoFailed, match="did not answer"):
        get_backend().get_room("talk")


def test_what_daily_refuses_is_not_tried_again(daily: DailyEmulator) -> None:
    with pytest.raises(ApplicationError, match="may only contain") as caught, calling():
        get_backend().create_room(RoomSpec(name="not a name"), idempotency_key="1:1")
    assert (caught.value.type, caught.value.non_retryable) == ("VideoRefused", True)
    with pytest.raises(ApplicationError) as caught, calling():
        get_backend().get_room("nowhere")
    assert (caught.value.type, caught.value.non_retryable) == ("VideoNotFound", True)


def test_a_wrong_key_is_named(daily: DailyEmulator, settings: Any) -> None:
    settings.DAILY_API_KEY = "another"
    with pytest.raises(VideoRefused, match="DAILY_API_KEY"):
        get_backend().get_room("talk")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": "x"}'])
def test_an_answer_that_is_none_is_tried_again(daily: DailyEmulator, body: bytes) -> None:
    daily.fail("GET /rooms/talk", 200, body=body)
    with pytest.raises(VideoFailed):
        get_backend().get_room("talk")


def test_a_link_that_is_an_error_is_refused(daily: DailyEmulator) -> None:
    daily.fail("GET /recordings/r/access-link", 200, body=b'{"download_link": "access denied", "expires": 0}')
    with pytest.raises(VideoRefused, match="access denied"):
        get_backend().access_link("r", timedelta(hours=1))


def test_an_address_that_nobody_serves_is_tried_again(settings: Any) -> None:
    with DailyEmulator() as emulator:
        settings.VIDEO_BACKEND, settings.DAILY_API_KEY, settings.DAILY_API_URL = "daily", emulator.key, emulator.url
    with pytest.raises(VideoFailed):
        get_backend().get_room("talk")


# -- settings ----------------------------------------------------------------------------------------------------------


def test_daily_without_a_key_is_a_bad_setting(settings: Any) -> None:
    settings.VIDEO_BACKEND, settings.DAILY_API_KEY = "daily", ""
    with pytest.raises(ImproperlyConfigured, match="DAILY_API_KEY"):
        get_backend()


@pytest.mark.parametrize("path", ["zoom", "automation.errors.WeirError"])
def test_a_backend_that_is_none_is_a_bad_setting(settings: Any, path: str) -> None:
    settings.VIDEO_BACKEND = path
    with pytest.raises(ImproperlyConfigured, match="VIDEO_BACKEND"):
        get_backend()
