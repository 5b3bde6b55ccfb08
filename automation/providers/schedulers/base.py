"""The one contract of schedulers: is this request theirs, and what does it tell?

Both halves are pure: they read a request's headers and body and the time, and touch no row.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from automation.errors import WeirError

TOLERANCE = timedelta(minutes=5)
"""How far a signed timestamp may lie from now."""
MAX_ANSWERS = 50
MAX_ANSWER = 2_000
"""Characters of an answer."""


class BadSignature(WeirError):
    """The request does not come from the source, or was changed on its way."""

    code: ClassVar[str] = "bad_signature"
    status: ClassVar[int] = 401


class TooOld(WeirError):
    """The request was signed too long ago, or ahead of time: somebody may be sending it again."""

    code: ClassVar[str] = "timestamp_refused"
    status: ClassVar[int] = 401


class Unreadable(WeirError):
    """A signed body that is not what the scheduler documents."""

    code: ClassVar[str] = "unreadable"
    status: ClassVar[int] = 400


class What(enum.StrEnum):
    CREATED = "created"
    RESCHEDULED = "rescheduled"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    NO_SHOW = "no_show"
    ATTENDED = "attended"  # a no-show that was none
    NOTHING = "nothing"  # of no concern to bookings


@dataclass(frozen=True)
class Meeting:
    """A booking, as far as the event tells. `former_id`: the sender's id of the one that this takes the place of.
    `event_types`: what the sender calls its event type, the most telling name first."""

    external_id: str
    former_id: str = ""
    event_types: tuple[str, ...] = ()
    name: str = ""
    email: str = ""
    phone: str = ""
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    attendees: int = 1
    answers: Mapping[str, Any] = field(default_factory=dict)
    link: str = ""
    meeting_id: str = ""
    password: str = ""


@dataclass(frozen=True)
class SchedulerEvent:
    """`type` is the sender's word for it; `note` says why nothing follows, where nothing does."""

    what: What
    type: str
    occurred_at: datetime | None = None
    meeting: Meeting | None = None
    reason: str = ""
    by: str = ""
    note: str = ""


class Scheduler(ABC):
    kind: ClassVar[str]
    source: ClassVar[str]
    """What bookings' events name as the way in."""

    @abstractmethod
    def verify(self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """`headers` have names in lower case. Any of `secrets` will do. Raises BadSignature, TooOld."""

    @abstractmethod
    def read(self, data: Mapping[str, Any]) -> SchedulerEvent:
        """What a body tells. Raises Unreadable naming the field at fault."""

    def check_secret(self, text: str) -> str:
        """The secret as it is stored, encrypted. Raises InvalidInput."""
        return text

    def event_id(self, headers: Mapping[str, str], body: bytes) -> str:
        """The same for every delivery of one event: the sender's id of it, or the digest of its body."""
        return hashlib.sha256(body).hexdigest()


# -- helpers of the modules --------------------------------------------------------------------------------------------


def hex_hmac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def same(expected: str, given: str) -> bool:
    """Compares in constant time; what is not ASCII equals nothing."""
    return given.isascii() and hmac.compare_digest(expected, given)


def check_age(moment: datetime, now: datetime, tolerance: timedelta = TOLERANCE) -> None:
    if abs(now - moment) > tolerance:
        raise TooOld(
            f"The request was signed at {moment:%F %T} UTC, and now is {now:%F %T} UTC; they may lie "
            f"{tolerance.total_seconds():.0f} s apart at most."
        )


def seconds_since_epoch(text: str) -> datetime:
    if not re.fullmatch(r"[0-9]{1,11}", text):
        raise BadSignature("The request names no time in seconds since 1970.")
    return datetime.fromtimestamp(int(text), UTC)


def load(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object. Raises Unreadable."""
    try:
        data = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Unreadable("The body is not JSON in UTF-8.") from None
    if not isinstance(data, dict):
        raise Unreadable("The body is not a JSON object.")
    return data


def mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object; an empty one where there is none."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def mappings(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of a nested list; none where there is no list."""
    value = data.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(data: Mapping[str, Any], name: str, limit: int = 500) -> str:
    """Text, or a number as text, cut to `limit` characters; empty where there is neither."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return _storable(str(value)).strip()[:limit]


def required(data: Mapping[str, Any], name: str) -> str:
    found = text(data, name, 255)
    if not found:
        raise Unreadable(f"The body has no {name!r}.", {name: ["Required."]})
    return found


def moment(data: Mapping[str, Any], name: str) -> datetime | None:
    """An ISO 8601 time with its offset; None where there is none. Raises Unreadable for anything else."""
    value = data.get(name)
    if value in (None, ""):
        return None
    try:
        found = datetime.fromisoformat(str(value))
        if found.tzinfo is None:
            raise ValueError("no offset")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(
            f"{name}: {str(value)[:50]!r} is no time with an offset.", {name: ["Expected ISO 8601."]}
        ) from None


def answers(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Questions and answers as a booking keeps them: keys of lower-case letters, digits and underscores."""
    found: dict[str, Any] = {}
    for question, answer in pairs[:MAX_ANSWERS]:
        key = re.sub(r"[^a-z0-9]+", "_", question.lower()).strip("_")[:60]
        if key and answer not in (None, "", [], {}):
            found[key] = answer if isinstance(answer, int | float) else _short(answer)
    return found


def _short(answer: Any) -> str:
    shown = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return _storable(shown)[:MAX_ANSWER]


def _storable(text: str) -> str:
    """Without NUL and lone surrogates, which databases refuse."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
