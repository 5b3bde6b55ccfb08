"""What every provider of callbacks is: it proves that a request is its own, and reads the events in it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from automation import clock
from automation.errors import InvalidInput, WeirError

TOLERANCE = dt.timedelta(minutes=5)
"""How far a signed time may lie from ours."""
MAX_EVENTS = 2_000
"""Events in one request."""


class BadSignature(WeirError):
    """The request is not signed by whom it claims to come from, or was signed too long ago."""

    code: ClassVar[str] = "bad_signature"
    status: ClassVar[int] = 401


class Kind(StrEnum):
    """What happened to a message."""

    SENT = "sent"  # the provider has handed it on
    DELIVERED = "delivered"
    BOUNCED = "bounced"  # it came back
    FAILED = "failed"  # the provider has given it up
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"  # the recipient reported it as spam
    UNSUBSCRIBED = "unsubscribed"
    DELAYED = "delayed"  # the provider goes on trying


@dataclass(frozen=True)
class DeliveryEvent:
    """One event of one message, which is known by our `notification_id` or by `provider_id` (an email's Message-ID).

    `event_id` is the same whenever the provider tells the event again. `suppress` is why the address is to get nothing
    more ('bounced', 'opted_out'), or empty.
    """

    event_id: str
    kind: Kind
    occurred_at: dt.datetime
    provider_id: str = ""
    notification_id: uuid.UUID | None = None
    detail: str = ""
    suppress: str = ""


@dataclass(frozen=True)
class Callback:
    """A request as it came in. `url` is the one that the provider called, `headers` have names in lower case."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    def json(self) -> Any:
        """Raises InvalidInput."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"The body is not JSON: {str(error)[:200]}.") from None


class CallbackProvider(ABC):
    """name: the word in the callback's path. channel: of the messages that it tells about."""

    name: ClassVar[str]
    channel: ClassVar[str]

    @property
    @abstractmethod
    def is_configured(self) -> bool:
        """Whether there is a key to check signatures with; without one there are no callbacks."""

    @abstractmethod
    def verify(self, callback: Callback) -> None:
        """Raises BadSignature."""

    @abstractmethod
    def events(self, callback: Callback) -> list[DeliveryEvent]:
        """What a verified request tells; events that say nothing to us are left out. Raises InvalidInput."""


def refuse_stale(signed_at: str) -> None:
    """Raises BadSignature for a time (seconds since the epoch, as text) that is not about now."""
    try:
        at = dt.datetime.fromtimestamp(float(signed_at), dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise BadSignature("The signature's time is not a number of seconds.") from None
    if abs(clock.now() - at) > TOLERANCE:
        raise BadSignature("The signature is too old, or of the future.")


def moment(value: Any) -> dt.datetime:
    """An event's time, from seconds or ISO 8601; what is no time, or lies ahead, is now."""
    now = clock.now()
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            at = dt.datetime.fromisoformat(value)
            at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
        else:
            at = dt.datetime.fromtimestamp(float(value), dt.UTC)
        return min(at.astimezone(dt.UTC), now)
    except (TypeError, ValueError, OverflowError, OSError):
        return now


def text(value: Any, limit: int = 255) -> str:
    """A value of an event as text that a column holds; empty for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:limit]


def notification_id(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(value)) if value else None
    except ValueError:
        return None
