"""Sending one message each to several people, over as many attempts as it takes: what email and SMS have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from automation.actions import deliveries, suppressions, wishes
from automation.actions.invocation import Invocation
from automation.actions.report import Outcome, Report
from automation.durable import retry
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from automation.models import Channel, NotificationLog, NotificationStatus
from automation.providers.email import EmailFailed, EmailRefused
from automation.providers.sms import SmsFailed, SmsRefused

RETRY_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=30), maximum_attempts=10
)


@dataclass(frozen=True)
class Letter:
    """One message to one recipient. `send` makes one attempt, for the row that stands for it, and returns the
    provider's id; it raises EmailFailed or SmsFailed (may pass later), EmailRefused or SmsRefused (will not).
    `provider_id` is given where it is known beforehand."""

    recipient: str
    subject: str
    body: str
    send: Callable[[NotificationLog], str]
    provider_id: str = ""
    timezone: str = "UTC"
    """The recipient's, as the booking knows it."""


@dataclass
class _Tally:
    channel: Channel
    failed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    deferred: list[wishes.Objection] = field(default_factory=list)
    retry_after: timedelta | None = None
    attempts: int = 0
    """The attempts that were made at a message that failed, the present one included."""


def deliver(invocation: Invocation, channel: Channel, letters: Sequence[Letter], report: Report) -> dict[str, Any]:
    """Sends what this step has not sent yet, each letter on its own, and returns the report's result.

    Raises ApplicationError after all letters were tried: retryable (`DeliveryFailed`) while one may still pass, with
    the wait set to the end of quiet hours (`QuietHours`) where only those are in the way, and final
    (`RecipientRefused`) when what is left was refused for good. Who got the message gets no second one.
    """
    drafts = [deliveries.Draft(letter.recipient, letter.subject, letter.body, letter.provider_id) for letter in letters]
    found = deliveries.find_or_create(invocation, channel, drafts)
    rows = {letter.recipient: found[deliveries.recipient_key(letter.recipient)] for letter in letters}
    trying = deliveries.to_try(rows)
    zones = {letter.recipient.lower(): letter.timezone for letter in letters}
    objections = wishes.objections(invocation, channel, {name: rows[name] for name in trying}, zones)
    tally = _Tally(channel)
    for letter in letters:
        row = rows[letter.recipient]
        if letter.recipient not in trying:
            _recall(row, letter, report, tally)
        elif objection := objections.get(letter.recipient.lower()):
            _hold(row, letter, objection, report, tally)
        else:
            _send(row, letter, report, tally)
    return _conclude(invocation, letters, report, tally)


def _recall(row: NotificationLog, letter: Letter, report: Report, tally: _Tally) -> None:
    """An earlier attempt dealt with this one."""
    if row.status == NotificationStatus.BOUNCED:
        tally.refused.append(row.error)
        report.recipients.append(Outcome(letter.recipient, "refused", row.error))
    elif row.status == NotificationStatus.SUPPRESSED:
        report.recipients.append(Outcome(letter.recipient, "suppressed", row.error))
    else:
        report.recipients.append(Outcome(letter.recipient, "already_sent", row.provider_id))


def _hold(row: NotificationLog, letter: Letter, objection: wishes.Objection, report: Report, tally: _Tally) -> None:
    report.notes.append(objection.reason)
    if objection.until is None:
        deliveries.mark(row, NotificationStatus.SUPPRESSED, objection.reason)
        report.recipients.append(Outcome(letter.recipient, "suppressed", objection.reason))
    else:
        deliveries.mark_deferred(row, objection.until, objection.reason)
        tally.deferred.append(objection)
        report.recipients.append(Outcome(letter.recipient, "deferred", objection.reason))


def _send(row: NotificationLog, letter: Letter, report: Report, tally: _Tally) -> None:
    retried = row.status == NotificationStatus.BOUNCED
    try:
        provider_id = letter.send(row)
    except (EmailRefused, SmsRefused) as error:
        deliveries.mark(row, NotificationStatus.BOUNCED, error.message)
        if error.suppress and row.organizer_id is not None:
            suppressions.suppress(row.organizer_id, tally.channel, letter.recipient, error.suppress, error.message, row)
        tally.refused.append(error.message)
        report.recipients.append(Outcome(letter.recipient, "refused", error.message))
    except (EmailFailed, SmsFailed) as error:
        tally.attempts = max(tally.attempts, row.attempts + 1)
        deliveries.mark(row, NotificationStatus.FAILED, error.message)
        tally.failed.append(error.message)
        if isinstance(error, SmsFailed) and error.retry_after is not None:
            tally.retry_after = max(tally.retry_after or timedelta(0), error.retry_after)
        report.recipients.append(Outcome(letter.recipient, "failed", error.message))
    else:
        # Noted at once, before the next letter: a crash in between must not send this one again.
        deliveries.mark_sent(row, provider_id, subject=letter.subject, body=letter.body)
        if retried:
            suppressions.got_through(row)
        report.recipients.append(Outcome(letter.recipient, "sent", provider_id))


def _conclude(invocation: Invocation, letters: Sequence[Letter], report: Report, tally: _Tally) -> dict[str, Any]:
    if tally.failed:
        raise _failure(invocation, report, tally)
    if tally.deferred:
        until = min((objection.until for objection in tally.deferred if objection.until), default=invocation.now)
        reasons = " ".join(objection.reason for objection in tally.deferred)
        raise report.deferral(reasons, "QuietHours", _wait(until, invocation.now))
    if tally.refused:
        raise report.failure(" ".join(tally.refused), "RecipientRefused")
    if all(outcome.status == "suppressed" for outcome in report.recipients[-len(letters) :]):
        return report.result("skipped")
    return report.result()


def _failure(invocation: Invocation, report: Report, tally: _Tally) -> ApplicationError:
    """The engine counts the attempts of the step, and quiet hours are none: after them, ours are what counts."""
    message = " ".join(tally.failed + tally.refused)
    if invocation.attempt <= tally.attempts:
        return report.failure(message, "DeliveryFailed", retryable=True, after=tally.retry_after)
    if tally.attempts >= RETRY_POLICY.maximum_attempts:
        return report.failure(message, "DeliveryFailed")
    delay = tally.retry_after or retry.interval(RETRY_POLICY, tally.attempts)
    return report.deferral(message, "DeliveryFailed", delay)


def _wait(until: datetime, now: datetime) -> timedelta:
    return max(until - now, timedelta(seconds=1))
