"""Streams: set up, recorded, cleaned up; on the provider that is rows, and against Daily's emulator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from automation import clock
from automation.domains.stream.models import Stream, StreamParticipant, StreamRecording, StreamStatus
from automation.domains.stream.workflows import StreamCleanupWorkflow, StreamRecordingWorkflow, StreamSetupWorkflow
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import ExecutionStep, ProviderRecord
from automation.providers.video import get_backend
from tests.automation.factories import make_organizer
from tests.domains.handles import ask, tell
from tests.support.daily import DailyEmulator

MINUTE = dt.timedelta(minutes=1)
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


@pytest.fixture
def stream(env: WorkflowEnvironment) -> Stream:
    """In an hour, for an hour, with two guests."""
    row = Stream.objects.create(
        title="Morning yoga",
        host=make_organizer(),
        starts_at=clock.now() + HOUR,
        ends_at=clock.now() + 2 * HOUR,
        config={"recording": True},
    )
    for name in ("Ada", "Ben"):
        StreamParticipant.objects.create(stream=row, name=name, email=f"{name.lower()}@example.com")
    return row


def cause(caught: pytest.ExceptionInfo[WorkflowFailureError]) -> BaseException:
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return error


# -- setting up --------------------------------------------------------------------------------------------------------


def test_a_stream_gets_a_room_and_everybody_a_token(env: WorkflowEnvironment, stream: Stream) -> None:
    result = env.run(StreamSetupWorkflow.run, stream.pk, {"quality": "HD"})
    stream.refresh_from_db()
    assert result == {
        "stream_id": stream.pk,
        "status": "ready",
        "room_name": f"weir-stream-{stream.pk}",
        "url": stream.room_url,
        "tokens": 3,
    }
    assert (stream.status, stream.config) == (StreamStatus.READY, {"quality": "HD", "recording": True})
    assert get_backend().get_room(stream.room_name).expires_at == stream.ends_at + HOUR
    people = list(stream.participants.all())
    assert len({person.token for person in people} - {""}) == 3
    assert [person.email for person in people if person.is_host] == [stream.host.email]
    assert people[0].join_url == f"{stream.room_url}?t={people[0].token}"


def test_tokens_stay_out_of_rows_and_histories(env: WorkflowEnvironment, stream: Stream) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    person = stream.participants.get(name="Ada")
    assert person.token.startswith("memory-")
    assert person.token not in person.token_encrypted
    assert not ExecutionStep.objects.filter(output__contains=person.token).exists()


def test_setting_up_again_changes_nothing(env: WorkflowEnvironment, stream: Stream) -> None:
    first = env.run(StreamSetupWorkflow.run, stream.pk)
    assert env.run(StreamSetupWorkflow.run, stream.pk) == first
    assert ProviderRecord.objects.filter(kind="room").count() == 1


def test_a_token_that_cannot_be_had_deletes_the_room_again(
    env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator
) -> None:
    daily.fail("POST /meeting-tokens", 403)
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(StreamSetupWorkflow.run, stream.pk)
    assert "403" in str(cause(caught))
    stream.refresh_from_db()
    assert (stream.status, stream.room_name) == (StreamStatus.FAILED, "")
    assert "403" in stream.problem
    assert daily.rooms == {}
    assert not stream.participants.exclude(token_encrypted="").exists()
    assert env.run(StreamSetupWorkflow.run, stream.pk)["status"] == "ready", "and it can be set up later"


def test_a_room_that_cannot_be_had_fails_the_stream(
    env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator
) -> None:
    daily.fail("POST /rooms", 401)
    with pytest.raises(WorkflowFailureError):
        env.run(StreamSetupWorkflow.run, stream.pk)
    stream.refresh_from_db()
    assert stream.status == StreamStatus.FAILED
    assert "DAILY_API_KEY" in stream.problem


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"bitrate": 1}, "it takes: quality, recording, max_participants"),
        ({"quality": "8K"}, "SD, HD, FHD"),
        ({"recording": "yes"}, "must be bool"),
        ({"max_participants": True}, "must be int"),
        ({"max_participants": 0}, "at least 1"),
    ],
)
def test_a_bad_configuration_is_named(
    env: WorkflowEnvironment, stream: Stream, config: dict[str, Any], problem: str
) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(StreamSetupWorkflow.run, stream.pk, config)
    assert problem in str(cause(caught))
    assert not ProviderRecord.objects.exists()


def test_a_stream_that_is_over_or_unknown_is_refused(env: WorkflowEnvironment, stream: Stream) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(StreamSetupWorkflow.run, stream.pk + 1)
    assert f"no stream {stream.pk + 1}" in str(cause(caught))
    env.skip(3 * HOUR)
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(StreamSetupWorkflow.run, stream.pk)
    assert "is over" in str(cause(caught))


# -- recording ---------------------------------------------------------------------------------------------------------


def test_a_recording_stops_at_the_end_and_its_link_is_stored(env: WorkflowEnvironment, stream: Stream) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    env.skip_to(stream.starts_at)
    handle = env.start(StreamRecordingWorkflow.run, stream.pk)
    result = handle.result()
    row = StreamRecording.objects.get()
    assert env.now >= stream.ends_at
    assert result == {
        "stream_id": stream.pk,
        "status": "stored",
        "recording_id": row.provider_id,
        "duration": 3600,
        "link": row.link,
    }
    assert row.link_expires_at is not None
    assert row.link_expires_at > env.now
    polls = [name for name, _ in handle.activities() if name == "poll_stream_recording"]
    assert len(polls) == 61, "once a minute, and once after it was stopped"


def test_a_recording_stops_after_its_minutes(env: WorkflowEnvironment, stream: Stream) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    result = env.run(StreamRecordingWorkflow.run, stream.pk, 60, 10)
    assert result["duration"] == 600


def test_a_recording_is_stopped_by_a_signal_and_tells_how_it_is(env: WorkflowEnvironment, stream: Stream) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    handle = env.start(StreamRecordingWorkflow.run, stream.pk)
    env.skip(5 * MINUTE)
    assert ask(handle, "status") == {"status": "recording", "polls": 5}
    tell(env, handle, "stop")
    result = handle.result()
    assert (result["status"], result["duration"]) == ("stored", 300)
    assert ask(handle, "status")["status"] == "stored"


def test_a_recording_that_ends_by_itself_is_stored(
    env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator
) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    daily.join(f"weir-stream-{stream.pk}")
    handle = env.start(StreamRecordingWorkflow.run, stream.pk)
    env.skip(5 * MINUTE)
    [recording] = daily.recordings
    daily.finish_recording(recording, 240)
    assert handle.result()["duration"] == 240
    assert daily.to("POST", f"/rooms/weir-stream-{stream.pk}/recordings/stop") == []


def test_it_waits_for_somebody_to_come(env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    handle = env.start(StreamRecordingWorkflow.run, stream.pk)
    env.skip(20 * MINUTE)
    assert daily.recordings == {}
    daily.join(f"weir-stream-{stream.pk}")
    env.skip(MINUTE)
    assert len(daily.recordings) == 1
    assert handle.result()["status"] == "stored"


def test_nobody_came_is_an_answer(env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    result = env.run(StreamRecordingWorkflow.run, stream.pk)
    assert (result["status"], result["reason"]) == ("not_recorded", "nobody came")
    assert env.now <= stream.ends_at


def test_a_canceled_recording_is_told(env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    daily.join(f"weir-stream-{stream.pk}")
    handle = env.start(StreamRecordingWorkflow.run, stream.pk)
    for recording in daily.recordings.values():
        recording["status"] = "canceled"
    assert handle.result()["status"] == "canceled"


def test_a_recording_that_is_never_written_fails(
    env: WorkflowEnvironment, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    monkeypatch.setattr(type(get_backend()), "stop_recording", lambda *_args, **_options: True)
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(StreamRecordingWorkflow.run, stream.pk, 60, 1)
    assert "still in-progress" in str(cause(caught))


def test_a_stream_without_a_room_is_not_recorded(env: WorkflowEnvironment, stream: Stream) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(StreamRecordingWorkflow.run, stream.pk)
    assert "StreamSetupWorkflow" in str(cause(caught))


# -- cleaning up -------------------------------------------------------------------------------------------------------


def test_cleaning_up_ends_closes_and_archives(env: WorkflowEnvironment, stream: Stream) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    recording = env.start(StreamRecordingWorkflow.run, stream.pk)
    env.skip(10 * MINUTE)
    result = env.run(StreamCleanupWorkflow.run, stream.pk)
    stream.refresh_from_db()
    row = StreamRecording.objects.get()
    assert result == {
        "stream_id": stream.pk,
        "status": "archived",
        "room_deleted": True,
        "participants": 3,
        "recordings": [row.provider_id],
        "recorded_seconds": 600,
    }
    assert stream.status == StreamStatus.ARCHIVED
    assert None not in (stream.ended_at, stream.archived_at)
    assert not stream.participants.exclude(token_encrypted="").exists()
    assert not ProviderRecord.objects.filter(kind="room").exists()
    assert recording.result()["status"] == "stored", "what was being recorded is still fetched"


def test_cleaning_up_twice_changes_nothing(env: WorkflowEnvironment, stream: Stream) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    env.run(StreamCleanupWorkflow.run, stream.pk)
    first = Stream.objects.values().get()
    again = env.run(StreamCleanupWorkflow.run, stream.pk)
    assert (again["status"], again["room_deleted"]) == ("archived", False)
    assert Stream.objects.values().get() == first


def test_a_stream_that_never_was_is_archived_too(env: WorkflowEnvironment, stream: Stream) -> None:
    assert env.run(StreamCleanupWorkflow.run, stream.pk)["room_deleted"] is False


def test_a_provider_that_is_away_is_waited_for(env: WorkflowEnvironment, stream: Stream, daily: DailyEmulator) -> None:
    env.run(StreamSetupWorkflow.run, stream.pk)
    daily.fail(f"DELETE /rooms/weir-stream-{stream.pk}", 502, times=4)
    assert env.run(StreamCleanupWorkflow.run, stream.pk)["room_deleted"] is True
    assert daily.rooms == {}
