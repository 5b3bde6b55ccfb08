"""What providers and readers tell of messages: each event once, in any order.

An event and everything that follows from it (the message's status, its address on the list of those that get nothing
more) commit together, so a provider that gets no answer and tells it again changes nothing twice.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from uuid import UUID

from django.db import transaction

from automation import clock
from automation.actions import progress, suppressions, unsubscribe
from automation.models import NotificationEvent, NotificationLog, NotificationStatus, SuppressionReason
from automation.providers import callbacks
from automation.providers.callbacks import Callback, DeliveryEvent, Kind

logger = logging.getLogger(__name__)

READER = "reader"
"""The source of opens and clicks that we have seen ourselves."""

MAX_EVENT_ID = 255

_STATUS = {
    Kind.SENT: NotificationStatus.SENT,
    Kind.DELIVERED: NotificationStatus.DELIVERED,
    Kind.BOUNCED: NotificationStatus.BOUNCED,
    Kind.FAILED: NotificationStatus.FAILED,
    Kind.OPENED: NotificationStatus.OPENED,
    Kind.CLICKED: NotificationStatus.CLICKED,
}


def receive(provider_name: str, callback: Callback) -> int:
    """Takes a provider's request in; returns how many events it told that were news.

    Raises NotFound for a provider that is not set up, BadSignature, and InvalidInput for a body that makes no sense.
    An event of a message that we do not know is left out without a word: other senders may share the account.
    """
    provider = callbacks.provider(provider_name)
    provider.verify(callback)
    return sum(_take(provider.name, provider.channel, event) for event in provider.events(callback))


def seen(notification_id: UUID, kind: Kind, url: str = "") -> bool:
    """A reader opened the message, or followed its link to `url`; False for a message that is gone."""
    now = clock.now()
    # One event for each address that was clicked, and one for all opens: reload as you like.
    event = DeliveryEvent(
        event_id=f"{kind}:{hashlib.sha256(url.encode()).hexdigest()}" if url else str(kind),
        kind=kind,
        occurred_at=now,
        notification_id=notification_id,
        detail=url,
    )
    return _take(READER, "email", event)


def _take(source: str, channel: str, event: DeliveryEvent) -> bool:
    row = _find(channel, event)
    if row is None:
        logger.info("%s tells of a message that is not ours: %s", source, event.kind)
        return False
    with transaction.atomic():
        _, is_new = NotificationEvent.objects.get_or_create(
            notification=row,
            source=source,
            event_id=event.event_id[:MAX_EVENT_ID],
            defaults={"kind": event.kind, "detail": event.detail, "occurred_at": event.occurred_at},
        )
        if event.provider_id and not row.provider_id:
            NotificationLog.objects.filter(id=row.id, provider_id="").update(provider_id=event.provider_id)
        if status := _STATUS.get(event.kind):
            progress.advance(row.id, status, event.occurred_at, event.detail)
        if is_new:  # an address that was taken off the list does not come back on it by a repeated event
            _heed(row, channel, event)
    return is_new


def _find(channel: str, event: DeliveryEvent) -> NotificationLog | None:
    rows = NotificationLog.objects.filter(channel=channel)
    if event.notification_id is not None:
        return rows.filter(id=event.notification_id).first()
    return rows.filter(provider_id=event.provider_id).first() if event.provider_id else None


def _heed(row: NotificationLog, channel: str, event: DeliveryEvent) -> None:
    if row.organizer_id is None:
        return
    if event.kind is Kind.COMPLAINED:
        event = replace(event, suppress=SuppressionReason.COMPLAINED)
    if event.suppress:
        suppressions.suppress(row.organizer_id, channel, row.recipient, event.suppress, event.detail, row)
    if event.kind is Kind.UNSUBSCRIBED:
        unsubscribe.stop(row.organizer_id, row.recipient.lower(), by="recipient")
