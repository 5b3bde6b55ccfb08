"""What an action says of its run: the result of its activity, and the details of its failure. One shape for both."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from automation.durable.deferral import Deferred
from automation.durable.exceptions import ApplicationError

MAX_TEXT = 10_000
"""Characters of a rendered text that results keep; a NotificationLog row keeps all of it."""


@dataclass
class Outcome:
    """What became of the message to one recipient. `status`: sent, already_sent (by an earlier attempt), suppressed,
    deferred, refused (for good), failed (may pass), missing (no address)."""

    recipient: str
    status: str
    detail: str = ""


@dataclass
class Report:
    """Filled in while an action runs. Everything is JSON-able, and short enough for a step's row.

    status: success, failed, skipped_conditions (the conditions do not hold) or skipped (the action no longer applies)
    conditions: the trace of the evaluation
    rendered: what the templates became: subject, text, html; body; fields
    recipients: one `Outcome` for each person
    response: of a webhook: status, body (its first 2 kB), elapsed_ms
    notes: sentences for people
    """

    conditions: list[dict[str, Any]] = field(default_factory=list)
    rendered: dict[str, Any] = field(default_factory=dict)
    recipients: list[Outcome] = field(default_factory=list)
    response: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def result(self, status: str = "success") -> dict[str, Any]:
        return {
            "status": status,
            "conditions": self.conditions,
            "rendered": {name: shortened(value) for name, value in self.rendered.items()},
            "recipients": [asdict(outcome) for outcome in self.recipients],
            "response": self.response,
            "notes": self.notes,
        }

    def skipped(self, reason: str) -> dict[str, Any]:
        self.notes.append(reason)
        return self.result("skipped")

    def failure(
        self, message: str, kind: str, *, retryable: bool = False, after: timedelta | None = None
    ) -> ApplicationError:
        """The error to raise: `kind` becomes its type, this report its details; `after` overrides the policy's wait."""
        return ApplicationError(
            message, self.result("failed"), type=kind, non_retryable=not retryable, next_retry_delay=after
        )

    def deferral(self, message: str, kind: str, delay: timedelta) -> Deferred:
        """The error to raise for an action that is to run again after `delay`, without that counting as a failure."""
        return Deferred(message, self.result("failed"), type=kind, delay=delay)


def shortened(value: Any) -> Any:
    """`value` with long texts cut, at any depth."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    if isinstance(value, dict):
        return {name: shortened(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return value
