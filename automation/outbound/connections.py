"""Connections to addresses that were checked, kept alive for the next call from this process.

A connection is known by (scheme, host, port, address): a name that moves to another address gets another connection,
after that address was judged. The pool is emptied in a forked child, which must not share its parent's sockets.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import select
import socket
import ssl
import threading
import time
from functools import lru_cache
from typing import Any

import certifi

from automation.outbound.addresses import IPAddress
from automation.outbound.targets import Target

MAX_IDLE_SECONDS = 20.0
MAX_IDLE_PER_TARGET = 4
MAX_IDLE = 64

Key = tuple[str, str, int, str]


class _Deadline:
    """Mixed into sockets: every blocking call gets the time left until `deadline` (monotonic seconds).

    A plain socket timeout starts afresh with every byte, so a peer that sends one byte a second never meets it.
    """

    deadline: float = math.inf

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(None if left == math.inf else left)  # type: ignore[attr-defined]

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        return super().recv_into(*args, **kwargs)  # type: ignore[misc,no-any-return]

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._arm()
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class _PlainSocket(_Deadline, socket.socket):
    pass


class _TLSSocket(_Deadline, ssl.SSLSocket):
    def send(self, *args: Any, **kwargs: Any) -> int:
        self._arm()  # SSLSocket.sendall is a loop of sends, each with a timeout of its own
        return super().send(*args, **kwargs)


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Verifies certificates and names, by the system's authorities (or SSL_CERT_FILE's) and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = _TLSSocket
    return context


class Connection(http.client.HTTPConnection):
    """One HTTP/1.1 connection to one checked address. It never opens itself again: that would skip the check."""

    auto_open = 0

    def __init__(self, target: Target, address: IPAddress) -> None:
        super().__init__(target.host, target.port)
        self.target = target
        self.address = address
        self.used = False
        self.answered = False  # whether the request under way got the head of an answer
        self.idle_since = 0.0

    @property
    def key(self) -> Key:
        return (self.target.scheme, self.target.host, self.target.port, str(self.address))

    def open(self, deadline: float) -> None:
        """Connects, and shakes hands for https, before `deadline`. OSError (ssl.SSLError included) when it cannot."""
        family = socket.AF_INET6 if self.address.version == 6 else socket.AF_INET
        sock: _PlainSocket | _TLSSocket = _PlainSocket(family, socket.SOCK_STREAM)
        try:
            sock.deadline = deadline
            sock._arm()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((str(self.address), self.target.port))
            if self.target.scheme == "https":
                sock._arm()  # the whole handshake has what is left of the time
                # The certificate must be the name's, and SNI says the name, though the address was dialled.
                wrapped = tls_context().wrap_socket(sock, server_hostname=self.target.host)
                assert isinstance(wrapped, _TLSSocket)
                sock = wrapped
                sock.deadline = deadline
        except BaseException:
            sock.close()
            raise
        self.sock = sock

    def limit(self, deadline: float) -> None:
        assert isinstance(self.sock, _Deadline)
        self.sock.deadline = deadline

    def is_stale(self, now: float) -> bool:
        """Whether an idle connection is too old, was closed by the other end, or got bytes nobody asked for."""
        if self.sock is None or now - self.idle_since > MAX_IDLE_SECONDS:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return bool(poll.poll(0))


class Pool:
    """Idle connections of this process; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Key, list[Connection]] = {}

    def take(self, target: Target, address: IPAddress) -> Connection | None:
        """A live idle connection to exactly this address, or None."""
        key = (target.scheme, target.host, target.port, str(address))
        now = time.monotonic()
        while True:
            with self._lock:
                idle = self._idle.get(key)
                if not idle:
                    self._idle.pop(key, None)
                    return None
                connection = idle.pop()
            if not connection.is_stale(now):
                return connection
            connection.close()

    def give(self, connection: Connection) -> None:
        """Keeps a connection whose last answer was read to its end."""
        connection.idle_since = time.monotonic()
        connection.limit(math.inf)
        surplus: list[Connection] = []
        with self._lock:
            idle = self._idle.setdefault(connection.key, [])
            idle.append(connection)
            if len(idle) > MAX_IDLE_PER_TARGET:
                surplus.append(idle.pop(0))
            if sum(map(len, self._idle.values())) > MAX_IDLE:
                oldest = min(
                    (key for key in self._idle if self._idle[key]), key=lambda key: self._idle[key][0].idle_since
                )
                surplus.append(self._idle[oldest].pop(0))
                if not self._idle[oldest]:
                    del self._idle[oldest]
        for other in surplus:
            other.close()

    def clear(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.close()

    def forget(self) -> None:
        """In a forked child: closes the child's copies of the descriptors and says nothing to the other ends."""
        self._lock = threading.Lock()
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                if connection.sock is not None:
                    with contextlib.suppress(OSError):
                        os.close(connection.sock.detach())


pool = Pool()
os.register_at_fork(after_in_child=pool.forget)
