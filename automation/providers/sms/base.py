"""What every SMS backend is: one method, one receipt, two errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from automation.errors import WeirError


class SmsFailed(WeirError):
    """The message was not taken this time. `retry_after` is how long the provider asked to wait, if it did."""

    code: ClassVar[str] = "sms_failed"
    status: ClassVar[int] = 502

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SmsRefused(WeirError):
    """The provider refuses this message for good: an impossible number, a recipient who opted out. `suppress` is
    'bounced' or 'opted_out' where that holds for every other message to this number too, and else empty."""

    code: ClassVar[str] = "sms_refused"
    status: ClassVar[int] = 400

    def __init__(self, message: str, suppress: str = "") -> None:
        super().__init__(message)
        self.suppress = suppress


@dataclass(frozen=True, kw_only=True)
class SmsMessage:
    """`to` is an E.164 number; `idempotency_key` is the same for every attempt at this message."""

    to: str
    text: str
    idempotency_key: str
    status_callback: str = ""
    """Where the provider may tell what becomes of the message; empty for nowhere."""
    since: datetime | None = None
    """Attempts at this message have been made since then, and one of them may have been taken though we heard nothing;
    None for the first attempt. A provider without idempotency keys can look for it."""


@dataclass(frozen=True)
class SmsReceipt:
    """`provider_id` is the provider's name for the message."""

    provider_id: str


class SmsBackend(ABC):
    """A way to send SMS. Made once per process; `send` may be called by several threads.

    callbacks: the name under `/api/v1/callbacks/` where the provider tells what becomes of messages; empty for none.
    """

    callbacks: ClassVar[str] = ""

    @abstractmethod
    def send(self, message: SmsMessage) -> SmsReceipt:
        """Hands the message to the provider. Raises SmsFailed or SmsRefused."""
