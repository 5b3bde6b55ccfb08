"""An emulator of Daily.co's REST API over HTTP (https://docs.daily.co/reference/rest-api): rooms, meeting tokens,
recordings. It refuses what Daily refuses, in Daily's words and statuses, and misbehaves as a test asks.

Calls happen (`join`, `finish_recording`) where the test says so.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

ROOM_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
ROOM_PROPERTIES = {
    "nbf": int, "exp": int, "max_participants": int, "enable_recording": str, "eject_at_room_exp": bool,
    "start_video_off": bool, "start_audio_off": bool, "enable_chat": bool, "lang": str,
}  # fmt: skip
TOKEN_PROPERTIES = {
    "room_name": str, "exp": int, "nbf": int, "is_owner": bool, "user_name": str, "user_id": str,
    "enable_recording": str, "start_cloud_recording": bool, "eject_at_token_exp": bool,
}  # fmt: skip
BAD, GONE = "invalid-request-error", "not-found"


class Refusal(Exception):
    def __init__(self, status: int, error: str, info: str) -> None:
        super().__init__(info)
        self.status = status
        self.body = {"error": error, "info": info}


@dataclass(frozen=True)
class Call:
    """A request that came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: Any


@dataclass
class Trouble:
    """What happens to the next call whose "METHOD /path" matches: `status` is answered with `headers` instead;
    `stall` reads it and never answers; `lose` does it and breaks the connection; `twice` does it two times over."""

    pattern: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    stall: bool = False
    lose: bool = False
    twice: bool = False
    body: bytes | None = None


class DailyEmulator:
    """A context manager; `url` is what DAILY_API_URL is set to."""

    key = "daily-key-of-the-test"

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, Any]] = {}
        self.recordings: dict[str, dict[str, Any]] = {}
        self.in_call: set[str] = set()
        self.calls: list[Call] = []
        self.away: Callable[[], bool] = lambda: False
        self._troubles: list[Trouble] = []
        self._lock = threading.RLock()
        self._released = threading.Event()
        self._connections: set[socket.socket] = set()
        emulator = self

        class Handler(_Handler):
            owner = emulator

        self._server = _Server(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:  # else a kept-alive one would answer for whoever gets this port next
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # -- what a test says ----------------------------------------------------------------------------------------------

    def fail(self, pattern: str, status: int = 500, times: int = 1, body: bytes | None = None) -> None:
        self._troubles += [Trouble(pattern, status=status, body=body) for _ in range(times)]

    def limit(self, pattern: str, retry_after: str = "", times: int = 1) -> None:
        headers = {"Retry-After": retry_after} if retry_after else {}
        self._troubles += [Trouble(pattern, status=429, headers=headers) for _ in range(times)]

    def stall(self, pattern: str) -> None:
        self._troubles.append(Trouble(pattern, stall=True))

    def lose_answer(self, pattern: str) -> None:
        self._troubles.append(Trouble(pattern, lose=True))

    def repeat(self, pattern: str) -> None:
        self._troubles.append(Trouble(pattern, twice=True))

    def join(self, room: str) -> None:
        """Somebody is in the room."""
        self.in_call.add(room)

    def finish_recording(self, id: str, duration: int = 60) -> None:
        """The recording has been written."""
        self.recordings[id] |= {"status": "finished", "duration": duration}

    def to(self, method: str, path: str) -> list[Call]:
        return [call for call in self.calls if call.method == method and call.path == path]

    # -- the API -------------------------------------------------------------------------------------------------------

    def answer(self, call: Call) -> Any:
        self._authenticate(call)
        for method, pattern, do in self._routes():
            if (found := re.fullmatch(pattern, call.path)) and call.method == method:
                with self._lock:
                    return do(call, *(unquote(part) for part in found.groups()))
        raise Refusal(404, GONE, f"no such endpoint: {call.method} {call.path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        return [
            ("POST", "/rooms", self._create_room),
            ("GET", "/rooms", self._list_rooms),
            ("GET", "/rooms/([^/]+)", self._get_room),
            ("POST", "/rooms/([^/]+)", self._update_room),
            ("DELETE", "/rooms/([^/]+)", self._delete_room),
            ("POST", "/rooms/([^/]+)/recordings/start", self._start_recording),
            ("POST", "/rooms/([^/]+)/recordings/stop", self._stop_recording),
            ("POST", "/meeting-tokens", self._create_token),
            ("GET", "/recordings", self._list_recordings),
            ("GET", "/recordings/([^/]+)", self._get_recording),
            ("GET", "/recordings/([^/]+)/access-link", self._access_link),
        ]

    def _authenticate(self, call: Call) -> None:
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise Refusal(400, "authorization-header-error", "bad Authorization header format")
        if key != self.key:
            raise Refusal(401, "authentication-error", "no such API key")

    def _create_room(self, call: Call) -> Any:
        body = _object(call.body, {"name": str, "privacy": str, "properties": dict})
        name = body.get("name") or uuid.uuid4().hex[:20]
        if not ROOM_NAME.fullmatch(name):
            raise Refusal(400, BAD, "room names may only contain A-Z, a-z, 0-9, '-' and '_', at most 128 of them")
        if body.get("privacy", "public") not in ("public", "private"):
            raise Refusal(400, BAD, "'privacy' must be 'public' or 'private'")
        properties = _object(body.get("properties", {}), ROOM_PROPERTIES)
        if name in self.rooms:
            raise Refusal(400, BAD, f"a room named {name} already exists")
        self.rooms[name] = {
            "id": str(uuid.uuid4()),
            "name": name,
            "api_created": True,
            "privacy": body.get("privacy", "public"),
            "url": f"https://emulated.daily.co/{name}",
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "config": properties,
        }
        return self.rooms[name]

    def _room(self, name: str) -> dict[str, Any]:
        if name not in self.rooms:
            raise Refusal(404, GONE, f"room {name} not found")
        return self.rooms[name]

    def _list_rooms(self, call: Call) -> Any:
        return _page(list(self.rooms.values()), call.query)

    def _get_room(self, _: Call, name: str) -> Any:
        return self._room(name)

    def _update_room(self, call: Call, name: str) -> Any:
        room = self._room(name)
        body = _object(call.body, {"privacy": str, "properties": dict})
        changes = body.get("properties", {})
        _object({key: value for key, value in changes.items() if value is not None}, ROOM_PROPERTIES)
        config = {**room["config"], **changes}
        room["config"] = {key: value for key, value in config.items() if value is not None}
        return room

    def _delete_room(self, _: Call, name: str) -> Any:
        self._room(name)
        del self.rooms[name]
        self.in_call.discard(name)
        for recording in self.recordings.values():
            if recording["room_name"] == name and recording["status"] == "in-progress":
                recording |= {"status": "finished", "duration": 1}
        return {"deleted": True, "name": name}

    def _start_recording(self, call: Call, name: str) -> Any:
        room = self._room(name)
        body = _object(call.body or {}, {"instanceId": str, "type": str, "maxDuration": int, "layout": dict})
        if room["config"].get("enable_recording") is None:
            raise Refusal(400, BAD, f"recording is not enabled for room {name}")
        if name not in self.in_call:
            raise Refusal(400, BAD, f"room {name} does not seem to be hosting a call currently")
        if self._active(name):
            raise Refusal(400, BAD, f"room {name} has an active recording")
        id = str(uuid.uuid4())
        self.recordings[id] = {
            "id": id,
            "room_name": name,
            "start_ts": int(time.time()),
            "status": "in-progress",
            "max_participants": 1,
            "instanceId": body.get("instanceId"),
        }
        return {}

    def _active(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.recordings.values() if one["room_name"] == name and one["status"] == "in-progress"]

    def _stop_recording(self, _: Call, name: str) -> Any:
        self._room(name)
        active = self._active(name)
        if not active:
            raise Refusal(400, BAD, f"room {name} has no active recording")
        for recording in active:
            recording |= {"status": "finished", "duration": int(time.time()) - recording["start_ts"]}
        return {}

    def _create_token(self, call: Call) -> Any:
        properties = _object(_object(call.body, {"properties": dict}).get("properties", {}), TOKEN_PROPERTIES)
        claims = {"r": properties.get("room_name"), "iat": int(time.time()), **properties}
        head, body = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in ({"alg": "HS256", "typ": "JWT"}, claims)
        )
        mac = hmac.new(self.key.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
        return {"token": f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"}

    def _list_recordings(self, call: Call) -> Any:
        wanted = call.query.get("room_name")
        rows = [one for one in self.recordings.values() if wanted in (None, one["room_name"])]
        return _page(rows, call.query)

    def _recording(self, id: str) -> dict[str, Any]:
        if id not in self.recordings:
            raise Refusal(404, GONE, f"recording {id} not found")
        return self.recordings[id]

    def _get_recording(self, _: Call, id: str) -> Any:
        return self._recording(id)

    def _access_link(self, call: Call, id: str) -> Any:
        recording = self._recording(id)
        if recording["status"] != "finished":
            raise Refusal(400, BAD, f"recording {id} is {recording['status']}")
        seconds = int(call.query.get("valid_for_secs", "3600"))
        if not 0 < seconds <= 12 * 3600:
            raise Refusal(400, BAD, "valid_for_secs must be at most 43200")
        expires = int(time.time()) + seconds
        return {"download_link": f"https://media.example/{id}.mp4?X-Amz-Expires={seconds}", "expires": expires}

    def take_trouble(self, call: Call) -> Trouble | None:
        with self._lock:
            self.calls.append(call)
            if self.away():
                return Trouble(call.path, status=503)
            for trouble in self._troubles:
                if re.fullmatch(trouble.pattern, f"{call.method} {call.path}"):
                    self._troubles.remove(trouble)
                    return trouble
        return None


def _object(value: Any, allowed: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, BAD, "the request body must be an object")
    for name, item in value.items():
        if name not in allowed:
            raise Refusal(400, BAD, f"unknown parameter {name!r}")
        if not isinstance(item, allowed[name]) or (isinstance(item, bool) and allowed[name] is int):
            raise Refusal(400, BAD, f"parameter {name!r} must be of type {allowed[name].__name__}")
    return value


def _page(rows: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Newest first, at most a hundred, after the object of an id."""
    newest = rows[::-1]
    if after := query.get("starting_after"):
        ids = [row["id"] for row in newest]
        if after not in ids:
            raise Refusal(400, BAD, f"no object with id {after}")
        newest = newest[ids.index(after) + 1 :]
    return {"total_count": len(rows), "data": newest[: min(100, int(query.get("limit", "100")))]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    owner: DailyEmulator
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet: it does not wait for the acknowledgement of its head
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.owner._connections.add(self.connection)

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        try:
            body = json.loads(raw) if raw else None
            problem: Refusal | None = None
        except ValueError as error:
            body, problem = None, Refusal(400, "json-parsing-error", str(error))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, parts.path.removeprefix("/v1"), query, headers, body)
        trouble = self.owner.take_trouble(call) or Trouble("")
        if trouble.stall:
            self.owner._released.wait(600)
            self.close_connection = True
            return
        if trouble.status:
            error = "rate-limit-error" if trouble.status == 429 else "server-error"
            default = json.dumps({"error": error, "info": "as the test wants it"}).encode()
            self._send(trouble.status, default if trouble.body is None else trouble.body, trouble.headers)
            return
        for _ in range(2 if trouble.twice else 1):
            try:
                if problem:
                    raise problem
                status, answer = 200, self.owner.answer(call)
            except Refusal as refusal:
                status, answer = refusal.status, refusal.body
        if trouble.lose:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(status, json.dumps(answer).encode(), {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the calls are recorded."""
