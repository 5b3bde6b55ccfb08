"""The list of addresses that get no more messages: who comes on it, and who comes off."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from automation import clock
from automation.models import NotificationLog, Suppression, SuppressionReason


def suppress(
    organizer_id: int,
    channel: str,
    recipient: str,
    reason: str,
    detail: str,
    notification: NotificationLog | None = None,
) -> Suppression:
    """No more messages of that organizer go there. An address that is on the list already keeps its first reason."""
    row, _ = Suppression.objects.get_or_create(
        organizer_id=organizer_id,
        channel=channel,
        recipient=recipient.lower(),
        lifted_at=None,
        defaults={"reason": reason, "detail": detail[:2000], "notification": notification},
    )
    return row


def in_force(organizer_id: int, channel: str, recipients: Collection[str]) -> dict[str, Suppression]:
    """By the address in lower case."""
    rows = Suppression.objects.filter(
        organizer_id=organizer_id,
        channel=channel,
        recipient__in={recipient.lower() for recipient in recipients},
        lifted_at__isnull=True,
    )
    return {row.recipient: row for row in rows}


def reasons(organizer_id: int, channel: str, rows: Mapping[str, NotificationLog]) -> dict[str, str]:
    """Why nothing is sent to some of these recipients, by the address in lower case; `rows` are the messages by their
    recipients. A message that somebody tries again after its own refusal is an attempt to find out whether that has
    been mended, and is let through."""
    found: dict[str, str] = {}
    for name, suppression in in_force(organizer_id, channel, rows.keys()).items():
        own = {row.id for recipient, row in rows.items() if recipient.lower() == name}
        if suppression.notification_id not in own:
            found[name] = f"Nothing is sent to {name}: {SuppressionReason(suppression.reason).label.lower()}."
    return found


def lift(suppression: Suppression) -> None:
    """Messages may go there again. Lifting twice changes nothing."""
    Suppression.objects.filter(id=suppression.id, lifted_at__isnull=True).update(lifted_at=clock.now())


def got_through(notification: NotificationLog) -> None:
    """Somebody had the message tried again, and this time it was taken: its own refusal no longer counts."""
    Suppression.objects.filter(notification=notification, lifted_at__isnull=True).update(lifted_at=clock.now())
