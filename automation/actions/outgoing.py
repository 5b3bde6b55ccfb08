"""What action types that call a URL have in common: one POST, once per step, through its destination's gate.

Retried: no connection, no whole answer in time, 408, 425, 429 and 5xx. Not retried: other 4xx, redirects (which are
not followed), addresses that Weir does not call. 410 says that nobody listens there any more: the action is switched
off, its organizer is told, and what is under way for it is skipped.

While the destination's circuit is open, or its rate is used up, the step waits as a durable retry that does not count
as one of its attempts: see `automation.actions.destinations`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from automation import clock, outbound, secrets
from automation.actions import deliveries, destinations
from automation.actions.base import ActionType
from automation.actions.invocation import Invocation
from automation.actions.report import Outcome, Report
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from automation.durable.retry import interval
from automation.models import Channel, HeldCall, NotificationStatus
from automation.outbound.waits import retry_after

RETRIED = frozenset((408, 425, 429))
ENGINE_ATTEMPTS = 10_000
"""Attempts as the engine counts them, waits included; the type's own policy counts calls."""
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Post:
    """One POST of JSON. `shown` stands for the URL wherever people look, where the URL itself is a secret.

    `headers` makes an attempt's own from the body's bytes; it may raise CannotDecrypt.
    """

    channel: Channel
    url: str
    body: Callable[[], str]
    headers: Callable[[bytes], Mapping[str, str]]
    shown: str = ""
    once: bool = False
    """The other end knows no idempotency key: see `outbound.request`."""


class Outgoing(ActionType):
    """Base of action types that call a URL."""

    @property
    def step_policy(self) -> RetryPolicy:
        return replace(self.retry_policy, maximum_attempts=ENGINE_ATTEMPTS)

    def run(self, invocation: Invocation) -> dict[str, Any]:
        try:
            return super().run(invocation)
        except ApplicationError:
            raise
        except Exception as error:  # what nobody foresaw counts as an attempt, too
            limit = self.retry_policy.maximum_attempts
            if invocation.attempt >= limit and _attempts(invocation) >= limit:
                raise Report().failure(f"{type(error).__name__}: {error}", type(error).__name__) from error
            raise

    def post(self, invocation: Invocation, post: Post, report: Report) -> dict[str, Any]:
        """Makes the call, unless an earlier attempt's was answered, and returns the report's result.

        Raises ApplicationError: `CircuitOpen`, `RateLimited`, `HTTP503`, `Gone`, `OutboundFailed` and so on.
        """
        shown = post.shown or post.url
        gate = destinations.look(invocation, _host(post.url))
        if gate.switched_off:
            return report.skipped(f"The action has been switched off: {gate.switched_off}")
        draft = deliveries.Draft(shown, body=post.body())
        row = deliveries.find_or_create(invocation, post.channel, [draft])[deliveries.recipient_key(shown)]
        report.rendered |= {"url": shown, "body": secrets.masked(json.loads(row.body))}
        if row.status in deliveries.DONE:
            report.recipients.append(Outcome(shown, "already_sent", row.provider_id))
            report.notes.append("An earlier attempt had been answered already.")
            return report.result()
        try:
            headers = post.headers(row.body.encode("ascii"))
            outbound.parse_target(post.url)
            self._wait_for_turn(gate, shown, report)
            response = outbound.post_json(post.url, row.body.encode("ascii"), headers, once=post.once)
            self._read(gate, response, shown, report)
        except outbound.OutboundError as error:
            deliveries.mark(row, NotificationStatus.FAILED, error.message)
            raise self._unanswered(gate, error, shown, report) from error
        except secrets.CannotDecrypt as error:
            deliveries.mark(row, NotificationStatus.FAILED, error.message)
            raise report.failure(error.message, "CannotDecrypt") from error
        except ApplicationError as error:
            if error.type not in ("CircuitOpen", "RateLimited"):  # no attempt was made
                deliveries.mark(row, NotificationStatus.FAILED, error.message)
            raise
        deliveries.mark_sent(row, f"HTTP {response.status}")
        destinations.answered(gate)
        report.recipients.append(Outcome(shown, "sent", f"HTTP {response.status}"))
        return report.result()

    def _wait_for_turn(self, gate: destinations.Gate, shown: str, report: Report) -> None:
        wait = destinations.admit(gate)
        if wait is None:
            return
        report.recipients.append(Outcome(shown, "failed" if wait.given_up else "deferred", wait.reason))
        report.notes.append(wait.reason)
        kind = "RateLimited" if wait.slot is not None else "CircuitOpen"
        after = max(wait.until - clock.now(), timedelta(0))
        raise report.failure(wait.reason, kind, retryable=not wait.given_up, after=None if wait.given_up else after)

    def _read(self, gate: destinations.Gate, response: outbound.Response, shown: str, report: Report) -> None:
        """Takes a good answer in; raises the failure that any other is."""
        status = response.status
        elapsed = round(response.elapsed * 1000)
        report.response = {"status": status, "body": response.body_start, "elapsed_ms": elapsed}
        if response.ok:
            return
        report.recipients.append(Outcome(shown, "failed", f"HTTP {status}"))
        if status == 410:
            destinations.alive(gate)
            destinations.switch_off(gate.invocation, f"{shown} answered 410 Gone.")
            raise report.failure("The receiver answered 410 Gone; the action has been switched off.", "Gone")
        retryable = status >= 500 or status in RETRIED
        if 300 <= status < 400:
            location = response.headers.get("location", "")[:200]
            message, kind = f"The receiver answered {status}; redirects are not followed ({location}).", "Redirect"
        else:
            message, kind = f"The receiver answered {status}.", f"HTTP{status}"
        after = retry_after(response.headers.get("retry-after", ""), clock.now()) if retryable else None
        raise self._failure(gate, report, message, kind, f"HTTP {status}", retryable, after, counts=retryable)

    def _unanswered(
        self, gate: destinations.Gate, error: outbound.OutboundError, shown: str, report: Report
    ) -> ApplicationError:
        report.recipients.append(Outcome(shown, "failed", error.message))
        kind = type(error).__name__
        if not isinstance(error, outbound.OutboundFailed):
            return report.failure(error.message, kind)
        return self._failure(gate, report, error.message, kind, NO_ANSWER, retryable=True, after=None, counts=True)

    def _failure(
        self,
        gate: destinations.Gate,
        report: Report,
        message: str,
        kind: str,
        cause: str,
        retryable: bool,
        after: timedelta | None,
        *,
        counts: bool,
    ) -> ApplicationError:
        attempts = gate.attempts
        final = not retryable or attempts >= self.retry_policy.maximum_attempts
        destinations.failed(gate, cause, message, final=final, counts=counts)
        if not final and after is None and attempts != gate.invocation.attempt:
            after = interval(self.retry_policy, max(attempts, 1))  # the engine would count the waits
        return report.failure(message, kind, retryable=not final, after=None if final else after)


def _host(url: str) -> str:
    """The name of its destination; empty for a URL that is not going to be called."""
    try:
        return outbound.parse_target(url).host_header
    except outbound.OutboundRefused:
        return "-"


def _attempts(invocation: Invocation) -> int:
    waits = (
        HeldCall.objects.filter(execution_id=invocation.execution_id, step_seq=invocation.step_seq)
        .values_list("waits", flat=True)
        .first()
    )
    return invocation.attempt - (waits or 0)
