"""The list of addresses that get no more messages: who comes on it, and who comes off."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db import transaction
from django.db.models import QuerySet

from automation import audit, clock
from automation.models import NotificationLog, Suppression, SuppressionReason, User


def suppress(
    organizer_id: int,
    channel: str,
    recipient: str,
    reason: str,
    detail: str,
    notification: NotificationLog | None = None,
    by: User | None = None,
) -> Suppression:
    """No more messages of that organizer go there. An address that is on the list already keeps its first reason."""
    with transaction.atomic():
        row, is_new = _on_the_list(organizer_id, channel, recipient, reason, detail, notification)
        if is_new:
            audit.record_row(row, actor=by)
    return row


def _on_the_list(
    organizer_id: int, channel: str, recipient: str, reason: str, detail: str, notification: NotificationLog | None
) -> tuple[Suppression, bool]:
    return Suppression.objects.get_or_create(
        organizer_id=organizer_id,
        channel=channel,
        recipient=recipient.lower(),
        lifted_at=None,
        defaults={"reason": reason, "detail": detail[:2000], "notification": notification},
    )


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


def lift(rows: QuerySet[Suppression], *, by: User | None) -> int:
    """Messages may go there again; returns how many were lifted. Lifting twice changes nothing."""
    with transaction.atomic():
        lifted = list(rows.filter(lifted_at__isnull=True).order_by("id").select_for_update(of=("self",)))
        for row in lifted:
            before = audit.facts(row)
            row.lifted_at = clock.now()
            row.save(update_fields=["lifted_at"])
            audit.record_row(row, actor=by, before=before)
    return len(lifted)


def got_through(notification: NotificationLog) -> None:
    """Somebody had the message tried again, and this time it was taken: its own refusal no longer counts."""
    lift(Suppression.objects.filter(notification=notification), by=None)
