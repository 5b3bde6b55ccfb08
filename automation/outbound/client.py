"""One HTTP call: looked up, judged, sent, answered, all before one deadline."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from automation.outbound.addresses import IPAddress
from automation.outbound.connections import Connection, pool
from automation.outbound.errors import OutboundFailed, OutboundRefused
from automation.outbound.targets import Target, addresses_of, parse_target

BODY_START = 2048
"""Bytes of an answer that are kept in results and logs."""
MAX_BODY = 4096
"""Bytes of an answer that are read when the caller asks for no more."""

USER_AGENT = "Weir/1"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_OURS = {"host", "content-length", "transfer-encoding", "connection"}


@dataclass(frozen=True)
class Response:
    """An answer. `headers` has names in lower case, of a repeated one the last; `body` at most what was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    elapsed: float
    """Seconds from the look-up to the last byte read."""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def body_start(self) -> str:
        """The first 2 kB as text: bytes that are no UTF-8, and NUL, which databases refuse, become U+FFFD."""
        text = self.body[:BODY_START].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        # The cut may have gone through a character.
        return text.rstrip("\N{REPLACEMENT CHARACTER}") if len(self.body) > BODY_START else text

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none, or when it is longer than what was asked for."""
        if self.truncated:
            raise ValueError(f"the answer is longer than {len(self.body)} bytes")
        return json.loads(self.body)


def post_json(
    url: str,
    body: bytes | Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    *,
    trusted_hosts: Iterable[str] = (),
    once: bool = False,
) -> Response:
    """POSTs JSON: `body` as it is when it is bytes, so that a signature over it holds. See `request`."""
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    merged = {"Content-Type": "application/json", **(headers or {})}
    return request("POST", url, body=data, headers=merged, timeout=timeout, trusted_hosts=trusted_hosts, once=once)


def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    max_body: int = MAX_BODY,
    trusted_hosts: Iterable[str] = (),
    once: bool = False,
) -> Response:
    """Makes one call and returns its answer, whatever its status; redirects are answers too.

    `timeout` is in seconds, for everything together (default: settings.WEBHOOK_TIMEOUT). At most `max_body` bytes of
    the answer are read. `trusted_hosts` are opened for this call as WEBHOOK_ALLOWED_HOSTS opens hosts for all: for
    a provider whose address an operator set, never for a URL that a user wrote.

    Raises OutboundRefused (do not try again) and OutboundFailed (may pass later). A kept-alive connection that turns
    out to have been closed is replaced once, so the other end may, rarely, see a request twice: send an idempotency
    key, or, to who knows none, ask `once`, by a connection of its own.
    """
    started = time.monotonic()
    seconds = settings.WEBHOOK_TIMEOUT if timeout is None else timeout
    target = parse_target(url)
    sent = {"User-Agent": USER_AGENT, "Accept": "*/*", **_checked(headers or {})}
    call = _Call(method, target, sent, body, max_body, started + seconds, once)
    try:
        response, data = _exchange(call, trusted_hosts)
    except TimeoutError as error:
        raise OutboundFailed(f"{target.host_header} did not answer in full within {seconds:g} s.") from error
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message or error.reason
        raise OutboundFailed(f"The certificate of {target.host_header} is not valid: {problem}.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = str(error) or type(error).__name__
        raise OutboundFailed(f"The call to {target.host_header} failed: {problem[:300]}.") from error
    return Response(
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        body=data[:max_body],
        truncated=len(data) > max_body,
        elapsed=time.monotonic() - started,
    )


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
            raise OutboundRefused(f"The header name {name[:100]!r} cannot be sent.")
        if _BAD_VALUE.search(value):
            raise OutboundRefused(
                f"The value of the header {name} holds a line break or another character not allowed."
            )
    return headers


@dataclass(frozen=True)
class _Call:
    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes | None
    max_body: int
    deadline: float
    once: bool


def _exchange(call: _Call, trusted_hosts: Iterable[str]) -> tuple[http.client.HTTPResponse, bytes]:
    timeout = call.deadline - time.monotonic()
    addresses = addresses_of(call.target, timeout=timeout, trusted_hosts=trusted_hosts)
    for address in () if call.once else addresses:
        connection = pool.take(call.target, address)
        if connection is None:
            continue
        try:
            return _converse(connection, call)
        except (BrokenPipeError, ConnectionResetError):
            # Closed between our look at it and our request (http.client's RemoteDisconnected is one of these):
            # no byte of an answer came, so a fresh connection may ask again.
            if connection.answered:
                raise
            break
    return _converse(_open(call.target, addresses, call.deadline), call)


def _open(target: Target, addresses: Iterable[IPAddress], deadline: float) -> Connection:
    """Connects to the first address that accepts; each but the last gets half of the time that is left."""
    remaining = list(addresses)
    while True:
        connection = Connection(target, remaining.pop(0))
        now = time.monotonic()
        try:
            connection.open(deadline if not remaining else now + (deadline - now) / 2)
        except ssl.SSLError:
            raise
        except OSError:
            if not remaining:
                raise
        else:
            return connection


def _converse(connection: Connection, call: _Call) -> tuple[http.client.HTTPResponse, bytes]:
    connection.limit(call.deadline)
    connection.answered = False
    reusable = False
    response: http.client.HTTPResponse | None = None
    try:
        connection.putrequest(call.method, call.target.path, skip_host=True)
        connection.putheader("Host", call.target.host_header)
        for name, value in call.headers.items():
            connection.putheader(name, value)
        if call.body is not None or call.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(call.body or b"")))
        with suppress(BrokenPipeError):  # a receiver may refuse a long body before it has read it all
            connection.endheaders(call.body)
        response = connection.getresponse()
        connection.answered = True
        data = response.read(call.max_body + 1)
        if response.length and len(data) <= call.max_body:  # http.client takes an early end for the end
            raise http.client.IncompleteRead(data, response.length)
        reusable = response.isclosed() and not response.will_close  # closed here means: read to its end
        return response, data
    finally:
        if response is not None:
            response.close()
        if reusable:
            pool.give(connection)
        else:
            connection.close()
