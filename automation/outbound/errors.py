"""What can go wrong with a call to the world: refused by us for good, or failed this time."""

from __future__ import annotations

from typing import ClassVar

from automation.errors import WeirError


class OutboundError(WeirError):
    """Base of both. No answer was got, or not a whole one; an HTTP error status is an answer and raises nothing."""

    code: ClassVar[str] = "outbound"
    status: ClassVar[int] = 502


class OutboundRefused(OutboundError):
    """Weir does not make this call: the URL or the address behind it is not allowed. Trying again changes nothing."""

    code: ClassVar[str] = "outbound_refused"
    status: ClassVar[int] = 400


class OutboundFailed(OutboundError):
    """The call was not answered in full: no such host, refused, reset, too slow, bad certificate. May pass later."""

    code: ClassVar[str] = "outbound_failed"
