"""What activities of one argument take; workflows of other domains send dictionaries of the same shape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmailPayload:
    """`from_email` is the project's own address where it is None."""

    to: str
    subject: str
    body: str
    from_email: str | None = None


@dataclass(frozen=True)
class UserProcessingPayload:
    """`action`: process, activate or deactivate."""

    user_id: int
    action: str = "process"
