"""What recipients want: no messages at all, not so many a day, none in their night. And where messages come back from.

Quiet hours are wall-clock times in the recipient's own zone, so they stay right when clocks change. A message that
falls into them waits for their end; one that would then come after the meeting has begun is not sent at all.

What goes beyond a daily limit is kept back, and not put off: who asks for fewer messages does not ask for them later,
and yesterday's would use up today's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from automation.actions import suppressions
from automation.actions.invocation import Invocation
from automation.models import (
    NotificationLog,
    NotificationPreference,
    NotificationStatus,
    SuppressionReason,
    Trigger,
)

_COUNTED = (
    NotificationStatus.SENT,
    NotificationStatus.DELIVERED,
    NotificationStatus.OPENED,
    NotificationStatus.CLICKED,
)


@dataclass(frozen=True)
class Objection:
    """Why a message is not sent now. With `until` it is sent then; without, never."""

    reason: str
    until: datetime | None = None


def objections(invocation: Invocation, channel: str, rows: Mapping[str, NotificationLog]) -> dict[str, Objection]:
    """Who is not to get this message now, by the address in lower case; those not named are. `rows` are the messages
    by their recipients."""
    organizer_id = invocation.booking.organizer_id
    found: dict[str, Objection] = {}
    for name, suppression in suppressions.in_force(organizer_id, channel, rows.keys()).items():
        own = next((row.id for recipient, row in rows.items() if recipient.lower() == name), None)
        # A step that somebody retries after its own refusal is an attempt to find out whether that has been mended.
        if suppression.notification_id is None or suppression.notification_id != own:
            found[name] = Objection(
                f"Nothing is sent to {name}: {SuppressionReason(suppression.reason).label.lower()}."
            )
    names = {*rows, *(recipient.lower() for recipient in rows)} - found.keys()
    for preference in NotificationPreference.objects.filter(organizer_id=organizer_id, recipient__in=names):
        objection = _objection(preference, invocation)
        if objection is not None:
            found.setdefault(preference.recipient.lower(), objection)
    return found


def _objection(preference: NotificationPreference, invocation: Invocation) -> Objection | None:
    now = invocation.now
    if preference.unsubscribed_at is not None:
        return Objection(f"{preference.recipient} has unsubscribed.")
    if preference.daily_limit is not None and _sent_today(preference, now) >= preference.daily_limit:
        return Objection(f"{preference.recipient} has had the {preference.daily_limit} messages of today's limit.")
    until = quiet_until(preference, now)
    if until is None:
        return None
    start = invocation.booking.start_time
    if invocation.trigger == Trigger.BEFORE_MEETING and until >= start:
        return Objection(f"The quiet hours of {preference.recipient} last until after the meeting has begun.")
    return Objection(f"{preference.recipient} has quiet hours until {until:%H:%M}.", until.astimezone(UTC))


def quiet_until(preference: NotificationPreference, now: datetime) -> datetime | None:
    """When the quiet hours that `now` falls into end, in the recipient's zone; None outside of them."""
    begin, end = preference.quiet_from, preference.quiet_until
    if begin is None or end is None or begin == end:
        return None
    local = now.astimezone(ZoneInfo(preference.timezone))
    clock_time = local.time()
    if begin < end:
        if not begin <= clock_time < end:
            return None
    elif end <= clock_time < begin:
        return None
    day = local.date() if clock_time < end else local.date() + timedelta(days=1)
    for fold in (0, 1):
        # A time that the clocks skip becomes the one that they show instead; of one that they show twice, the first
        # may lie behind us.
        until = datetime.combine(day, end.replace(fold=fold), local.tzinfo).astimezone(UTC)
        if until > now:
            break
    return until.astimezone(local.tzinfo)


def _sent_today(preference: NotificationPreference, now: datetime) -> int:
    local = now.astimezone(ZoneInfo(preference.timezone))
    midnight = datetime.combine(local.date(), time.min, local.tzinfo)
    return NotificationLog.objects.filter(
        organizer_id=preference.organizer_id,
        recipient__iexact=preference.recipient,
        status__in=_COUNTED,
        sent_at__gte=midnight,
    ).count()
