"""A real HTTP server that records every request, and answers each path as a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.support.waiting import wait_until

Mode = Literal["whole", "reset", "slow", "endless", "silent", "drop"]


@dataclass(frozen=True)
class Reply:
    """One answer.

    `mode`: "whole" sends it; "reset" sends half of the body and resets the connection; "slow" sends one byte of the
    body every 100 ms; "endless" sends zeros until the client leaves; "silent" reads the request and never answers;
    "drop" reads it and closes the connection.
    """

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    mode: Mode = "whole"


@dataclass(frozen=True)
class ReceivedRequest:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HttpReceiver:
    """`requests` holds each request in the order of arrival, recorded before it is answered."""

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server: _Server | None = None
        self.bytes_sent = 0
        self.reset()

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.host}:{self.port}{path}"

    def reset(self) -> None:
        """Forget all requests, let waiting answers go, and answer 200 everywhere again."""
        self._released.set()
        with self._lock:
            self._released = threading.Event()
            self.requests: list[ReceivedRequest] = []
            self._replies: dict[str, list[Reply]] = {}
            self.bytes_sent = 0

    def on(self, path: str, *replies: Reply) -> None:
        """Answer the requests for `path` with `replies`, one after the other; the last one stays."""
        self._replies[path] = list(replies)

    def to(self, path: str) -> list[ReceivedRequest]:
        return [request for request in self.requests if request.path == path]

    def wait_for(self, count: int, path: str | None = None, timeout: float = 20.0) -> list[ReceivedRequest]:
        """The requests (for `path`), once there are at least `count`."""

        def received() -> list[ReceivedRequest]:
            return self.to(path) if path else list(self.requests)

        wait_until(lambda: len(received()) >= count, timeout, lambda: f"{count} requests; got {len(received())}")
        return received()

    def up(self) -> None:
        if self._server is not None:
            return
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._server = _Server((self.host, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="http-receiver", daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and end those that clients have kept."""
        if self._server is not None:
            self._released.set()
            self._server.shutdown()
            self._server.server_close()
            self._server.end_kept()
            self._server = None

    def _take(self, request: ReceivedRequest) -> tuple[Reply, threading.Event]:
        with self._lock:
            self.requests.append(request)
            replies = self._replies.get(request.path.partition("?")[0], [])
            reply = replies.pop(0) if len(replies) > 1 else replies[0] if replies else Reply()
            return reply, self._released


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self._kept: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._kept.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._kept.discard(request)
        super().shutdown_request(request)

    def end_kept(self) -> None:
        for connection in list(self._kept):
            with contextlib.suppress(OSError):  # its client has left meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is what many tests want."""


class _Handler(BaseHTTPRequestHandler):
    owner: HttpReceiver
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply, released = self.owner._take(ReceivedRequest(self.command, self.path, headers, body))
        if reply.delay:
            released.wait(reply.delay)
        if reply.mode == "silent":
            released.wait(600)
            self.close_connection = True
            return
        if reply.mode == "drop":
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.mode == "endless":
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            block = b"0" * 65536
            while not released.is_set():
                self.owner.bytes_sent += self.connection.send(block)
            return
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.mode == "slow":
            for index in range(len(reply.body)):
                self.wfile.write(reply.body[index : index + 1])
                if released.wait(0.1):
                    break
        elif reply.mode == "reset":
            self.wfile.write(reply.body[: len(reply.body) // 2])
            # Linger of zero: closing sends RST, not FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        else:
            self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the requests are recorded."""
