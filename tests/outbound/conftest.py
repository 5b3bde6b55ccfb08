"""A server that says whatever bytes a test wants, and a resolver that answers what a test wants."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from automation.outbound import targets
from automation.outbound.addresses import IPAddress
from automation.outbound.connections import pool, tls_context

Speak = Callable[[socket.socket], object]


class RawServer:
    """Each accepted connection is given to `speak`, then closed; `connections` counts them."""

    def __init__(self, speak: Speak) -> None:
        self.speak = speak
        self.connections = 0
        self.stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook"

    def close(self) -> None:
        self.stopped.set()
        self._listener.close()

    def _serve(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client left: what many tests want
            self.speak(connection)


@pytest.fixture
def raw_server(settings: object) -> Iterator[Callable[[Speak], RawServer]]:
    """Starts a server of raw bytes on an address that WEBHOOK_ALLOWED_HOSTS opens."""
    servers: list[RawServer] = []

    def start(speak: Speak) -> RawServer:
        server = RawServer(speak)
        servers.append(server)
        settings.WEBHOOK_ALLOWED_HOSTS = [*settings.WEBHOOK_ALLOWED_HOSTS, f"127.0.0.1:{server.port}"]  # type: ignore[attr-defined]
        return server

    yield start
    for server in servers:
        server.close()


class Resolver:
    """Answers `names` in turn, one list of addresses per look-up; the last one stays. Others are looked up for real."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[IPAddress]:
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            return _real_lookup(host, port)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ipaddress.ip_address(text) for text in answer]


_real_lookup = targets.lookup


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr(targets, "lookup", resolver)
    return resolver


@pytest.fixture(autouse=True)
def _fresh_connections() -> Iterator[None]:
    yield
    pool.clear()
    tls_context.cache_clear()
