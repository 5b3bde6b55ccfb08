"""From a URL to the addresses that a call may connect to."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from django.conf import settings

from automation.outbound.addresses import IPAddress, objection
from automation.outbound.errors import OutboundFailed, OutboundRefused

MAX_URL = 4000
DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")  # spaces, control characters, and backslashes that parsers disagree about
_HOST = re.compile(r"[a-z0-9._:-]{1,253}")


@dataclass(frozen=True)
class Target:
    """A URL taken apart: `host` in lower case and ASCII, without brackets; `path` with its query, percent-encoded."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Takes `url` apart; raises OutboundRefused for what Weir never calls. Looks nothing up."""
    if len(url) > MAX_URL:
        raise OutboundRefused(f"The URL has {len(url)} characters; at most {MAX_URL} are allowed.")
    shown = url[:200]
    if _FORBIDDEN.search(url):
        raise OutboundRefused(f"The URL {shown!r} holds a space, a backslash or a control character; encode it as %XX.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode("ascii").lower()
    except ValueError as error:  # a bad port, bad brackets, or a host that IDNA refuses
        raise OutboundRefused(f"The URL {shown!r} is not valid: {error}.") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise OutboundRefused(f"The URL {shown!r} must start with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise OutboundRefused(
            "The URL must not hold a user name or password; send a secret as a header or a signature."
        )
    if not _HOST.fullmatch(host):
        raise OutboundRefused(f"The URL {shown!r} names no valid host.")
    if port == 0:
        raise OutboundRefused(f"The URL {shown!r} names port 0.")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]|")
    return Target(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], path)


def is_opened(target: Target, trusted_hosts: Iterable[str] = ()) -> bool:
    """Whether WEBHOOK_ALLOWED_HOSTS or `trusted_hosts` names the target, as `host` or `host:port`."""
    named = {entry.lower() for entry in (*settings.WEBHOOK_ALLOWED_HOSTS, *trusted_hosts)}
    host = f"[{target.host}]" if ":" in target.host else target.host
    return bool(named & {target.host, host, f"{host}:{target.port}"})


def addresses_of(target: Target, *, timeout: float, trusted_hosts: Iterable[str] = ()) -> list[IPAddress]:
    """Looks the target up once and returns the addresses that may be connected to, in the resolver's order.

    Raises OutboundRefused when any of the addresses is not allowed: a name that mixes public and private addresses
    is an attack or a mistake. Raises OutboundFailed when the name has none, or the look-up takes over `timeout` s.
    """
    opened = is_opened(target, trusted_hosts)
    addresses = _within(timeout, lambda: lookup(target.host, target.port), target.host)
    if not addresses:
        raise OutboundFailed(f"The host {target.host!r} has no address.")
    for address in addresses:
        reason = objection(address, opened=opened)
        if reason:
            hint = "" if opened else "; WEBHOOK_ALLOWED_HOSTS can open named hosts for development and tests"
            raise OutboundRefused(f"The host {target.host!r} resolves to {address}, {reason}{hint}.")
    return addresses


def check_url(url: str, *, resolve: bool = True, timeout: float = 3.0) -> None:
    """Says early what a call would run into: OutboundRefused, or OutboundFailed when the host does not resolve."""
    target = parse_target(url)
    if resolve:
        addresses_of(target, timeout=timeout)


def lookup(host: str, port: int) -> list[IPAddress]:
    """The resolver's answer for `host`, duplicates dropped. OSError when there is none. Tests replace this."""
    found: dict[IPAddress, None] = {}
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        found[ipaddress.ip_address(address[0])] = None
    return list(found)


def _within(timeout: float, look_up: Callable[[], list[IPAddress]], host: str) -> list[IPAddress]:
    """Runs the look-up in a thread: getaddrinfo has no time limit of its own."""
    outcome: list[list[IPAddress] | Exception] = []

    def run() -> None:
        try:
            outcome.append(look_up())
        except Exception as error:
            outcome.append(error)

    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        thread = threading.Thread(target=run, daemon=True, name="weir-resolver")
        thread.start()
        thread.join(timeout)
        if not outcome:
            raise OutboundFailed(f"Looking up the host {host!r} took over {timeout:.3g} s.") from None
    else:
        outcome.append([literal])
    result = outcome[0]
    if isinstance(result, list):
        return result
    if isinstance(result, OSError):
        raise OutboundFailed(f"The host {host!r} cannot be resolved: {result.strerror or result}.") from result
    raise OutboundRefused(f"The host {host!r} is not a valid name: {result}.") from result
