"""What the workflows of streams do. Their rooms are made and deleted by the room domain's activities, by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from automation import clock, secrets
from automation.domains.stream.models import Stream, StreamParticipant, StreamRecording, StreamStatus
from automation.durable import activity
from automation.durable.exceptions import ApplicationError
from automation.providers.video import TokenSpec, VideoNotFound, VideoRecording, calling, get_backend

LINGER = dt.timedelta(hours=1)
"""How long after its end a stream's room can still be entered."""

LINK_LASTS = dt.timedelta(hours=12)
"""The longest that Daily gives."""

QUALITIES = ("SD", "HD", "FHD")
CONFIG: Mapping[str, type] = {"quality": str, "recording": bool, "max_participants": int}

Info = dict[str, Any]


@activity.defn(name="prepare_stream")
def prepare_stream(stream_id: int, config: dict[str, Any] | None = None) -> Info:
    """Check a stream and its configuration, and keep it: `room` (a request for `provision_room`), and `participants`,
    ids, the host among them.

    Raises ApplicationError, not to be retried: StreamNotFound, StreamOver, BadConfiguration.
    """
    stream = _stream(stream_id)
    if stream.status in (StreamStatus.ENDED, StreamStatus.ARCHIVED) or stream.ends_at <= clock.now():
        raise _refusal(f"stream {stream_id} is over: it ended at {stream.ends_at:%F %T} UTC", "StreamOver")
    wanted = {**stream.config, **(config or {})}
    _check(wanted)
    Stream.objects.filter(id=stream.pk).update(config=wanted, problem="")
    StreamParticipant.objects.update_or_create(
        stream=stream,
        email=stream.host.email,
        defaults={"name": stream.host.get_full_name() or stream.host.email, "is_host": True},
    )
    return {
        "room": {
            "name": f"weir-stream-{stream.pk}",
            "expires_at": (stream.ends_at + LINGER).isoformat(),
            "purpose": f"stream {stream.pk}",
            "recording": wanted.get("recording", False),
            "max_participants": wanted.get("max_participants"),
        },
        "participants": list(stream.participants.order_by("id").values_list("id", flat=True)),
    }


@activity.defn(name="create_stream_token")
def create_stream_token(participant_id: int, room_name: str) -> Info:
    """Give a participant the token that lets them in, encrypted in their row: `participant_id`, `expires_at`. The host
    may record and remove people."""
    participant = StreamParticipant.objects.select_related("stream").filter(id=participant_id).first()
    if participant is None:
        raise _refusal(f"there is no participant {participant_id}", "ParticipantNotFound")
    spec = TokenSpec(
        room_name=room_name,
        expires_at=participant.stream.ends_at + LINGER,
        user_name=participant.name,
        user_id=str(participant.pk),
        is_owner=participant.is_host,
    )
    with calling():
        token = get_backend().create_token(spec, idempotency_key=activity.info().idempotency_key)
    # The token itself stays out of the history.
    StreamParticipant.objects.filter(id=participant.pk).update(
        token_encrypted=secrets.encrypt(token), token_expires_at=spec.expires_at
    )
    return {"participant_id": participant.pk, "expires_at": spec.expires_at.isoformat()}


@activity.defn(name="mark_stream_ready")
def mark_stream_ready(stream_id: int, room_name: str, url: str) -> Info:
    """Note the room of a stream, which can begin: `stream_id`, `status`."""
    Stream.objects.filter(id=stream_id, status__in=(StreamStatus.SCHEDULED, StreamStatus.FAILED)).update(
        status=StreamStatus.READY, ready_at=clock.now()
    )
    Stream.objects.filter(id=stream_id).update(room_name=room_name, room_url=url, problem="")
    return {"stream_id": stream_id, "status": _stream(stream_id).status}


@activity.defn(name="mark_stream_failed")
def mark_stream_failed(stream_id: int, reason: str) -> Info:
    """Note that a stream could not be set up. Its tokens are for a room that is gone, and go."""
    StreamParticipant.objects.filter(stream_id=stream_id).update(token_encrypted="", token_expires_at=None)
    Stream.objects.filter(id=stream_id, status__in=(StreamStatus.SCHEDULED, StreamStatus.READY)).update(
        status=StreamStatus.FAILED, problem=reason, room_name="", room_url=""
    )
    return {"stream_id": stream_id, "status": _stream(stream_id).status}


# -- recordings --------------------------------------------------------------------------------------------------------


@activity.defn(name="stream_times")
def stream_times(stream_id: int) -> Info:
    """`starts_at` and `ends_at`. Raises StreamNotFound, and StreamNotReady where it has no room."""
    stream = _ready(stream_id)
    return {"starts_at": stream.starts_at.isoformat(), "ends_at": stream.ends_at.isoformat()}


@activity.defn(name="start_stream_recording")
def start_stream_recording(stream_id: int) -> Info:
    """Begin to record what goes on in a stream's room, or find what is being recorded: see `_described`.

    Raises VideoRoomEmpty, to be retried, while nobody is there.
    """
    stream = _ready(stream_id)
    with calling():
        recording = get_backend().start_recording(stream.room_name, idempotency_key=activity.info().idempotency_key)
    return _described(_keep(stream, recording))


@activity.defn(name="poll_stream_recording")
def poll_stream_recording(stream_id: int, provider_id: str) -> Info:
    """How a recording is by now: see `_described`. Raises RecordingNotFound."""
    stream = _stream(stream_id)
    with calling():
        for recording in get_backend().list_recordings(stream.room_name):
            if recording.id == provider_id:
                return _described(_keep(stream, recording))
    raise _refusal(f"the provider has no recording {provider_id} of stream {stream_id}", "RecordingNotFound")


@activity.defn(name="stop_stream_recording")
def stop_stream_recording(stream_id: int) -> Info:
    """End the recording in progress: `stopped`, False where there was none (or no room)."""
    stream = _stream(stream_id)
    stopped = False
    if stream.room_name:
        with calling():
            try:
                stopped = get_backend().stop_recording(
                    stream.room_name, idempotency_key=activity.info().idempotency_key
                )
            except VideoNotFound:  # the room has been deleted, and its recording ended with it
                stopped = False
    return {"stream_id": stream_id, "stopped": stopped}


@activity.defn(name="store_recording_link")
def store_recording_link(provider_id: str) -> Info:
    """Fetch the link to a finished recording, and keep it: see `_described`."""
    row = StreamRecording.objects.filter(provider_id=provider_id).first()
    if row is None:
        raise _refusal(f"there is no recording {provider_id}", "RecordingNotFound")
    with calling():
        link = get_backend().access_link(provider_id, LINK_LASTS)
    row.link, row.link_expires_at, row.stored_at = link.url, link.expires_at, clock.now()
    row.save(update_fields=["link", "link_expires_at", "stored_at"])
    return _described(row)


# -- the end -----------------------------------------------------------------------------------------------------------


@activity.defn(name="end_stream")
def end_stream(stream_id: int) -> Info:
    """Note that a stream is over: `room_name`, empty where it has none, and `status`."""
    Stream.objects.filter(
        id=stream_id, status__in=(StreamStatus.SCHEDULED, StreamStatus.READY, StreamStatus.FAILED)
    ).update(status=StreamStatus.ENDED, ended_at=clock.now())
    stream = _stream(stream_id)
    return {"stream_id": stream_id, "room_name": stream.room_name, "status": stream.status}


@activity.defn(name="archive_stream")
def archive_stream(stream_id: int) -> Info:
    """Keep what there is to keep of a stream that is over, and forget its tokens: `participants`, `recordings` (ids)
    and `recorded_seconds`."""
    stream = _stream(stream_id)
    if stream.room_name:
        with calling():
            for recording in get_backend().list_recordings(stream.room_name):
                _keep(stream, recording)
    stream.participants.update(token_encrypted="", token_expires_at=None)
    Stream.objects.filter(id=stream_id, status=StreamStatus.ENDED).update(
        status=StreamStatus.ARCHIVED, archived_at=clock.now()
    )
    recordings = list(stream.recordings.order_by("started_at", "id"))
    return {
        "stream_id": stream_id,
        "participants": stream.participants.count(),
        "recordings": [recording.provider_id for recording in recordings],
        "recorded_seconds": sum(recording.duration or 0 for recording in recordings),
    }


# -- what they share ---------------------------------------------------------------------------------------------------


def _keep(stream: Stream, recording: VideoRecording) -> StreamRecording:
    row, _ = StreamRecording.objects.update_or_create(
        provider_id=recording.id,
        defaults={
            "stream": stream,
            "status": str(recording.status),
            "started_at": recording.started_at,
            "duration": recording.duration,
        },
    )
    return row


def _described(row: StreamRecording) -> Info:
    """`recording_id` (the provider's), `status`, `duration` in seconds, `link`."""
    return {"recording_id": row.provider_id, "status": row.status, "duration": row.duration, "link": row.link}


def _stream(stream_id: int) -> Stream:
    stream = Stream.objects.select_related("host").filter(id=stream_id).first()
    if stream is None:
        raise _refusal(f"there is no stream {stream_id}", "StreamNotFound")
    return stream


def _ready(stream_id: int) -> Stream:
    stream = _stream(stream_id)
    if not stream.room_name:
        raise _refusal(f"stream {stream_id} has no room: run StreamSetupWorkflow first", "StreamNotReady")
    return stream


def _check(config: Mapping[str, Any]) -> None:
    """Raises BadConfiguration, naming what would be right."""
    for name, value in config.items():
        if name not in CONFIG:
            raise _refusal(f"config has no {name!r}; it takes: {', '.join(CONFIG)}", "BadConfiguration")
        if type(value) is not CONFIG[name]:
            raise _refusal(f"config.{name} must be {CONFIG[name].__name__}, not {value!r}", "BadConfiguration")
    if config.get("quality", QUALITIES[0]) not in QUALITIES:
        raise _refusal(
            f"config.quality must be one of {', '.join(QUALITIES)}, not {config['quality']!r}", "BadConfiguration"
        )
    if config.get("max_participants", 1) < 1:
        raise _refusal("config.max_participants must be at least 1", "BadConfiguration")


def _refusal(message: str, type: str) -> ApplicationError:
    return ApplicationError(message, type=type, non_retryable=True)


ACTIVITIES: list[Callable[..., Any]] = [
    prepare_stream,
    create_stream_token,
    mark_stream_ready,
    mark_stream_failed,
    stream_times,
    start_stream_recording,
    poll_stream_recording,
    stop_stream_recording,
    store_recording_link,
    end_stream,
    archive_stream,
]
