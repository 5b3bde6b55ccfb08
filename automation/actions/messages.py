"""Sending one message each to several people, over as many attempts as it takes: what email and SMS have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from automation.actions import deliveries, wishes
from automation.actions.invocation import Invocation
from automation.actions.report import Outcome, Report
from automation.models import Channel, NotificationLog, NotificationStatus
from automation.providers.email import EmailFailed, EmailRefused
from automation.providers.sms import SmsFailed, SmsRefused


@dataclass(frozen=True)
class Letter:
    """One message to one recipient. `send` makes one attempt and returns the provider's id for it; it raises
    EmailFailed or SmsFailed (may pass later), EmailRefused or SmsRefused (will not)."""

    recipient: str
    subject: str
    body: str
    send: Callable[[], str]


@dataclass
class _Tally:
    failed: list[str]
    refused: list[str]
    deferred: list[wishes.Objection]
    retry_after: timedelta | None = None


def deliver(invocation: Invocation, channel: Channel, letters: Sequence[Letter], report: Report) -> dict[str, Any]:
    """Sends what this step has not sent yet, each letter on its own, and returns the report's result.

    Raises ApplicationError after all letters were tried: retryable (`DeliveryFailed`) while one may still pass, with
    the wait set to the end of quiet hours (`QuietHours`) where only those are in the way, and final
    (`RecipientRefused`) when what is left was refused for good. Who got the message gets no second one.
    """
    drafts = [deliveries.Draft(letter.recipient, letter.subject, letter.body) for letter in letters]
    found = deliveries.find_or_create(invocation, channel, drafts)
    rows = {letter.recipient: found[deliveries.recipient_key(letter.recipient)] for letter in letters}
    trying = deliveries.to_try(rows)
    objections = wishes.objections(invocation, list(trying))
    tally = _Tally([], [], [])
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
        tally.deferred.append(objection)
        report.recipients.append(Outcome(letter.recipient, "deferred", objection.reason))


def _send(row: NotificationLog, letter: Letter, report: Report, tally: _Tally) -> None:
    try:
        provider_id = letter.send()
    except (EmailRefused, SmsRefused) as error:
        deliveries.mark(row, NotificationStatus.BOUNCED, error.message)
        tally.refused.append(error.message)
        report.recipients.append(Outcome(letter.recipient, "refused", error.message))
    except (EmailFailed, SmsFailed) as error:
        deliveries.mark(row, NotificationStatus.FAILED, error.message)
        tally.failed.append(error.message)
        if isinstance(error, SmsFailed) and error.retry_after is not None:
            tally.retry_after = max(tally.retry_after or timedelta(0), error.retry_after)
        report.recipients.append(Outcome(letter.recipient, "failed", error.message))
    else:
        # Noted at once, before the next letter: a crash in between must not send this one again.
        deliveries.mark_sent(row, provider_id, subject=letter.subject, body=letter.body)
        report.recipients.append(Outcome(letter.recipient, "sent", provider_id))


def _conclude(invocation: Invocation, letters: Sequence[Letter], report: Report, tally: _Tally) -> dict[str, Any]:
    if tally.failed:
        raise report.failure(
            " ".join(tally.failed + tally.refused), "DeliveryFailed", retryable=True, after=tally.retry_after
        )
    if tally.deferred:
        until = min((objection.until for objection in tally.deferred if objection.until), default=invocation.now)
        raise report.failure(
            " ".join(objection.reason for objection in tally.deferred),
            "QuietHours",
            retryable=True,
            after=_wait(until, invocation.now),
        )
    if tally.refused:
        raise report.failure(" ".join(tally.refused), "RecipientRefused")
    if all(outcome.status == "suppressed" for outcome in report.recipients[-len(letters) :]):
        return report.result("skipped")
    return report.result()


def _wait(until: datetime, now: datetime) -> timedelta:
    return max(until - now, timedelta(seconds=1))
