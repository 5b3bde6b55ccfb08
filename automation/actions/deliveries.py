"""The rows behind messages: each recipient's NotificationLog row exists before the message goes out.

A step finds its rows again by (execution, step, channel, recipient), so a retry sends to nobody who got the message.
A worker that dies between the other end's yes and our note of it sends again, with the same idempotency key: that is
what at-least-once means, and a Message-ID or key lets the other end see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Coalesce

from automation import clock
from automation.actions.invocation import Invocation
from automation.models import Channel, NotificationLog, NotificationStatus

MAX_RECIPIENT = 320
MAX_ERROR = 2_000

DONE = frozenset(
    (
        NotificationStatus.SENT,
        NotificationStatus.DELIVERED,
        NotificationStatus.OPENED,
        NotificationStatus.CLICKED,
        NotificationStatus.SUPPRESSED,
    )
)
"""Nothing is left to do for a row in one of these. BOUNCED is refused for good, FAILED may pass at the next attempt."""


@dataclass(frozen=True)
class Draft:
    """`provider_id` is given where it is known before the message goes out, as a Message-ID is: a callback that is
    quicker than our own note, or comes after a crash, still finds the row."""

    recipient: str
    subject: str = ""
    body: str = ""
    provider_id: str = ""


def find_or_create(invocation: Invocation, channel: Channel, drafts: Iterable[Draft]) -> dict[str, NotificationLog]:
    """This action's rows by recipient: see `rows_of`."""
    booking = invocation.booking
    return rows_of(
        invocation.execution_id,
        invocation.step_seq,
        channel,
        drafts,
        booking.organizer_id,
        workflow_id=invocation.workflow_id,
        booking_id=booking.id,
    )


def rows_of(
    execution_id: UUID,
    step_seq: int,
    channel: Channel,
    drafts: Iterable[Draft],
    organizer_id: int | None = None,
    *,
    workflow_id: UUID | None = None,
    booking_id: UUID | None = None,
) -> dict[str, NotificationLog]:
    """A step's rows by recipient; a row that exists stays as it is, its subject and body too."""
    NotificationLog.objects.bulk_create(
        [
            NotificationLog(
                organizer_id=organizer_id,
                execution_id=execution_id,
                step_seq=step_seq,
                workflow_id=workflow_id,
                booking_id=booking_id,
                channel=channel,
                recipient=recipient_key(draft.recipient),
                subject=draft.subject,
                body=draft.body,
                provider_id=draft.provider_id,
            )
            for draft in drafts
        ],
        ignore_conflicts=True,  # two attempts at once: the first one's row stands
    )
    rows = NotificationLog.objects.filter(execution_id=execution_id, step_seq=step_seq, channel=channel)
    return {row.recipient: row for row in rows}


def to_try(rows: Mapping[str, NotificationLog]) -> set[str]:
    """The recipients that this attempt is for.

    One who was refused for good is left out while others can still be reached. When all others are done, nothing but
    a person's own wish to try again leads here, and then the refused are tried again.
    """
    open_ = {name for name, row in rows.items() if row.status not in DONE and row.status != NotificationStatus.BOUNCED}
    return open_ or {name for name, row in rows.items() if row.status == NotificationStatus.BOUNCED}


def mark_sent(row: NotificationLog, provider_id: str, *, subject: str | None = None, body: str | None = None) -> None:
    """The message is out; `subject` and `body` are what was really sent."""
    row.provider_id = provider_id[:255]
    row.subject = row.subject if subject is None else subject
    row.body = row.body if body is None else body
    now = clock.now()
    _write(
        row,
        NotificationStatus.SENT,
        "",
        provider_id=row.provider_id,
        subject=row.subject,
        body=row.body,
        sent_at=Coalesce("sent_at", now) if row.sent_at is None else now,
    )
    row.sent_at = row.sent_at or now


def mark(row: NotificationLog, status: NotificationStatus, error: str) -> None:
    """The attempt came to nothing, or none is made: FAILED (may pass), BOUNCED (will not), SUPPRESSED."""
    _write(row, status, error[:MAX_ERROR])


def mark_deferred(row: NotificationLog, until: datetime, reason: str) -> None:
    """The message waits; no attempt was made."""
    row.deferred_until, row.error = until, reason[:MAX_ERROR]
    NotificationLog.objects.filter(id=row.id).update(deferred_until=until, error=row.error)


def withdraw(invocation: Invocation, reason: str) -> None:
    """What this step has not sent is not sent any more."""
    withdraw_step(invocation.execution_id, invocation.step_seq, reason)


def withdraw_step(execution_id: UUID, step_seq: int, reason: str) -> None:
    """The same for a step that nobody runs."""
    NotificationLog.objects.filter(
        execution_id=execution_id,
        step_seq=step_seq,
        status__in=(NotificationStatus.PENDING, NotificationStatus.FAILED),
        sent_at__isnull=True,
    ).update(status=NotificationStatus.SUPPRESSED, error=reason[:MAX_ERROR], deferred_until=None)


def _write(row: NotificationLog, status: NotificationStatus, error: str, **values: Any) -> None:
    """Writes what an attempt came to. A provider's callback may have been quicker than its answer, or than our timeout:
    then the row has another status than we loaded, which knows more than we do, and stays."""
    rows = NotificationLog.objects.filter(id=row.id)
    values |= {
        "attempts": F("attempts") + int(status != NotificationStatus.SUPPRESSED),
        "deferred_until": None,
        "reserved_at": None,
    }
    if not rows.filter(status=row.status).update(status=status, error=error, **values):
        rows.update(**values)
    row.status, row.error = status, error


def recipient_key(recipient: str) -> str:
    """What the row's recipient column holds: the address, or for a URL too long for it, its start and a digest."""
    if len(recipient) <= MAX_RECIPIENT:
        return recipient
    digest = hashlib.sha256(recipient.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{recipient[: MAX_RECIPIENT - 17]}…{digest}"[:MAX_RECIPIENT]
