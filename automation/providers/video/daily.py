"""Daily.co, by its REST API (https://docs.daily.co/reference/rest-api), with `DAILY_API_KEY`.

Retried: no connection, no whole answer in time, 408, 429 (after its Retry-After, where it has one) and 5xx. Refused for
good: 400, 401, 403, 404. Daily knows no idempotency keys (ours goes along for its support to find), so a call that may
have been made already is told from its refusal: a room that exists is fetched, a recording that runs is listed.

Limits that Daily documents: 20 calls a second, about 2 for deleting rooms and listing recordings, 1 for starting
recordings; 100 objects a page.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation import clock, outbound
from automation.outbound.waits import retry_after
from automation.providers.video.base import (
    AccessLink,
    RecordingStatus,
    RoomSpec,
    TokenSpec,
    VideoBackend,
    VideoFailed,
    VideoNotFound,
    VideoRecording,
    VideoRefused,
    VideoRoom,
    VideoRoomEmpty,
)

PAGE = 100
MAX_PAGES = 1000
MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer: a page of a hundred rooms with all their properties fits many times."""

LONGEST_LINK = timedelta(hours=12)
EMPTY = "hosting a call"
RETRIED = frozenset((408, 425, 429))


class _Refused(VideoRefused):
    """A 400, whose `info` may say that what was asked for is there already."""


class DailyBackend(VideoBackend):
    def __init__(self) -> None:
        if not settings.DAILY_API_KEY:
            raise ImproperlyConfigured(
                "VIDEO_BACKEND is daily and DAILY_API_KEY is not set: it is in Daily's dashboard, under Developers"
            )
        self._key: str = settings.DAILY_API_KEY
        self._url: str = settings.DAILY_API_URL.rstrip("/")
        target = outbound.parse_target(self._url)
        self._trusted = [f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"]

    # -- rooms ---------------------------------------------------------------------------------------------------------

    def create_room(self, spec: RoomSpec, *, idempotency_key: str) -> VideoRoom:
        properties: dict[str, Any] = {"eject_at_room_exp": spec.expires_at is not None}
        if spec.expires_at is not None:
            properties["exp"] = int(spec.expires_at.timestamp())
        if spec.not_before is not None:
            properties["nbf"] = int(spec.not_before.timestamp())
        if spec.max_participants is not None:
            properties["max_participants"] = spec.max_participants
        if spec.recording:
            properties["enable_recording"] = "cloud"
        body = {"name": spec.name, "privacy": "private" if spec.private else "public", "properties": properties}
        try:
            return _room(self._call("POST", "/rooms", body, idempotency_key))
        except _Refused as refusal:
            # A room of this name may be there: an attempt before this one made it, and its answer was lost.
            try:
                return self.get_room(spec.name)
            except VideoNotFound:
                raise refusal from None

    def update_room(self, name: str, *, expires_at: datetime | None, idempotency_key: str) -> VideoRoom:
        body = {"properties": {"exp": int(expires_at.timestamp()) if expires_at else None}}
        return _room(self._call("POST", f"/rooms/{quote(name, safe='')}", body, idempotency_key))

    def get_room(self, name: str) -> VideoRoom:
        return _room(self._call("GET", f"/rooms/{quote(name, safe='')}"))

    def list_rooms(self) -> Iterator[VideoRoom]:
        return map(_room, self._pages("/rooms", {}))

    def delete_room(self, name: str, *, idempotency_key: str) -> bool:
        try:
            self._call("DELETE", f"/rooms/{quote(name, safe='')}", None, idempotency_key)
        except VideoNotFound:
            return False
        return True

    # -- tokens --------------------------------------------------------------------------------------------------------

    def create_token(self, spec: TokenSpec, *, idempotency_key: str) -> str:
        properties: dict[str, Any] = {
            "room_name": spec.room_name,
            "exp": int(spec.expires_at.timestamp()),
            "is_owner": spec.is_owner,
        }
        if spec.user_name:
            properties["user_name"] = spec.user_name
        if spec.user_id:
            properties["user_id"] = spec.user_id
        answer = self._call("POST", "/meeting-tokens", {"properties": properties}, idempotency_key)
        return _text(answer, "token")

    # -- recordings ----------------------------------------------------------------------------------------------------

    def start_recording(self, room_name: str, *, idempotency_key: str) -> VideoRecording:
        # The same instance id for every attempt: Daily does not start one that runs a second time.
        body = {"instanceId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"weir:{idempotency_key}"))}
        refusal: VideoRefused | None = None
        try:
            self._call("POST", f"/rooms/{quote(room_name, safe='')}/recordings/start", body, idempotency_key)
        except _Refused as error:
            # Daily's `error` does not tell this refusal from others; only its text does.
            if EMPTY in error.message:
                raise VideoRoomEmpty(error.message) from error
            refusal = error
        for recording in self.list_recordings(room_name):
            if recording.status == RecordingStatus.IN_PROGRESS:
                return recording
        if refusal is not None:
            raise refusal
        raise VideoFailed(f"Daily has started a recording of {room_name!r} and does not list it yet.")

    def stop_recording(self, room_name: str, *, idempotency_key: str) -> bool:
        try:
            self._call("POST", f"/rooms/{quote(room_name, safe='')}/recordings/stop", {}, idempotency_key)
        except _Refused:  # documented: 400 where no recording is active
            return False
        return True

    def list_recordings(self, room_name: str = "") -> Iterator[VideoRecording]:
        return map(_recording, self._pages("/recordings", {"room_name": room_name} if room_name else {}))

    def access_link(self, recording_id: str, valid_for: timedelta) -> AccessLink:
        seconds = int(min(valid_for, LONGEST_LINK).total_seconds())
        path = f"/recordings/{quote(recording_id, safe='')}/access-link?{urlencode({'valid_for_secs': seconds})}"
        answer = self._call("GET", path)
        link = _text(answer, "download_link")
        if not link.startswith(("https://", "http://")):  # documented: it can be the text of an error
            raise VideoRefused(f"Daily gives no link to the recording {recording_id}: {link[:300]}")
        return AccessLink(link, _time(answer.get("expires")) or clock.now() + timedelta(seconds=seconds))

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        after = ""
        for _ in range(MAX_PAGES):
            wanted = {**query, "limit": str(PAGE), **({"starting_after": after} if after else {})}
            found = self._call("GET", f"{path}?{urlencode(wanted)}").get("data")
            if not isinstance(found, list):
                raise VideoFailed(f"Daily's answer to {path} holds no list under 'data'.")
            yield from found
            if len(found) < PAGE:
                return
            after = str(found[-1].get("id", ""))
        raise VideoFailed(f"Daily's list of {path} does not end after {MAX_PAGES * PAGE:,} objects.")

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, idempotency_key: str = ""
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = outbound.request(
                method,
                self._url + path,
                body=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers=headers,
                max_body=MAX_BODY,
                trusted_hosts=self._trusted,
            )
        except outbound.OutboundRefused as error:
            raise VideoRefused(f"Daily cannot be called: {error.message}") from error
        except outbound.OutboundFailed as error:
            raise VideoFailed(f"Daily did not answer: {error.message}") from error
        if not response.ok:
            raise _error(method, path, response)
        try:
            answer = response.json()
        except ValueError as error:
            raise VideoFailed(f"Daily's answer to {method} {path} is not JSON: {error}.") from error
        if not isinstance(answer, dict):
            raise VideoFailed(f"Daily's answer to {method} {path} is no object.")
        return answer


def _error(method: str, path: str, response: outbound.Response) -> VideoFailed | VideoRefused:
    """The error that an answer other than 2xx is."""
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    reason = " ".join(str(answer[name]) for name in ("error", "info") if answer.get(name)) or "no reason given"
    text = f"Daily answered {method} {path.partition('?')[0]} with {response.status}: {reason[:300]}"
    if response.status >= 500 or response.status in RETRIED:
        return VideoFailed(text, retry_after(response.headers.get("retry-after", ""), clock.now()))
    if response.status == 404:
        return VideoNotFound(text)
    if response.status == 401:
        return VideoRefused(f"{text}; is DAILY_API_KEY right?")
    return _Refused(text) if response.status == 400 else VideoRefused(text)


def _room(data: Mapping[str, Any]) -> VideoRoom:
    config = data.get("config") or {}
    created = data.get("created_at")
    return VideoRoom(
        id=_text(data, "id"),
        name=_text(data, "name"),
        url=_text(data, "url"),
        private=data.get("privacy") == "private",
        expires_at=_time(config.get("exp")),
        created_at=datetime.fromisoformat(created) if isinstance(created, str) else None,
    )


def _recording(data: Mapping[str, Any]) -> VideoRecording:
    try:
        status = RecordingStatus(data.get("status", ""))
    except ValueError:
        raise VideoFailed(
            f"Daily's recording {data.get('id')} has the unknown status {data.get('status')!r}."
        ) from None
    return VideoRecording(
        id=_text(data, "id"),
        room_name=_text(data, "room_name"),
        status=status,
        started_at=_time(data.get("start_ts")) or clock.now(),
        duration=data.get("duration"),
    )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise VideoFailed(f"Daily's answer holds no {name!r}.")
    return value


def _time(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) and seconds else None
