"""The rows behind messages: each recipient's NotificationLog row exists before the message goes out.

A step finds its rows again by (execution, step, channel, recipient), so a retry sends to nobody who got the message.
A worker that dies between the other end's yes and our note of it sends again, with the same idempotency key: that is
what at-least-once means, and a Message-ID or key lets the other end see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F

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
    recipient: str
    subject: str = ""
    body: str = ""


def find_or_create(invocation: Invocation, channel: Channel, drafts: Iterable[Draft]) -> dict[str, NotificationLog]:
    """This action's rows by recipient: see `rows_of`."""
    organizer_id = invocation.booking.organizer_id
    return rows_of(invocation.execution_id, invocation.step_seq, channel, drafts, organizer_id)


def rows_of(
    execution_id: UUID, step_seq: int, channel: Channel, drafts: Iterable[Draft], organizer_id: int | None = None
) -> dict[str, NotificationLog]:
    """A step's rows by recipient; a row that exists stays as it is, its subject and body too."""
    NotificationLog.objects.bulk_create(
        [
            NotificationLog(
                organizer_id=organizer_id,
                execution_id=execution_id,
                step_seq=step_seq,
                channel=channel,
                recipient=recipient_key(draft.recipient),
                subject=draft.subject,
                body=draft.body,
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
    row.status = NotificationStatus.SENT
    row.provider_id = provider_id[:255]
    row.error = ""
    row.sent_at = clock.now()
    row.subject = row.subject if subject is None else subject
    row.body = row.body if body is None else body
    _write(row)


def mark(row: NotificationLog, status: NotificationStatus, error: str) -> None:
    """The attempt came to nothing, or none is made: FAILED (may pass), BOUNCED (will not), SUPPRESSED."""
    row.status = status
    row.error = error[:MAX_ERROR]
    _write(row)


def _write(row: NotificationLog) -> None:
    NotificationLog.objects.filter(id=row.id).update(
        status=row.status,
        provider_id=row.provider_id,
        error=row.error,
        sent_at=row.sent_at,
        subject=row.subject,
        body=row.body,
        attempts=F("attempts") + int(row.status != NotificationStatus.SUPPRESSED),
    )


def recipient_key(recipient: str) -> str:
    """What the row's recipient column holds: the address, or for a URL too long for it, its start and a digest."""
    if len(recipient) <= MAX_RECIPIENT:
        return recipient
    digest = hashlib.sha256(recipient.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{recipient[: MAX_RECIPIENT - 17]}…{digest}"[:MAX_RECIPIENT]
