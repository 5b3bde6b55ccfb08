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

from django.db import transaction
from django.db.models import Q, QuerySet

from automation.actions import suppressions
from automation.actions.invocation import Invocation
from automation.models import (
    NotificationLog,
    NotificationPreference,
    NotificationStatus,
    Trigger,
)
from automation.rules.values import zone

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


def objections(
    invocation: Invocation, channel: str, rows: Mapping[str, NotificationLog], zones: Mapping[str, str]
) -> dict[str, Objection]:
    """Who is not to get this message now, by the address in lower case; those not named are. `rows` are the messages
    by their recipients; `zones` the time zones of addresses, for those whose preferences name none."""
    organizer_id = invocation.booking.organizer_id
    kept_back = suppressions.reasons(organizer_id, channel, rows)
    found = {name: Objection(reason) for name, reason in kept_back.items()}
    names = {*rows, *(recipient.lower() for recipient in rows)} - found.keys()
    for preference in NotificationPreference.objects.filter(organizer_id=organizer_id, recipient__in=names):
        preference.timezone = preference.timezone or zones.get(preference.recipient.lower(), "UTC")
        objection = _objection(preference, invocation) or _over_limit(preference, rows, invocation.now)
        if objection is not None:
            found.setdefault(preference.recipient.lower(), objection)
    return found


def _objection(preference: NotificationPreference, invocation: Invocation) -> Objection | None:
    now = invocation.now
    if preference.unsubscribed_at is not None:
        return Objection(f"{preference.recipient} has unsubscribed.")
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
    local = now.astimezone(zone(preference.timezone))
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


def _over_limit(
    preference: NotificationPreference, rows: Mapping[str, NotificationLog], now: datetime
) -> Objection | None:
    """Asks for one of today's messages, and takes it. Two workers that send to one recipient at once ask one after the
    other: what is about to be sent counts, until it is known what became of it."""
    limit = preference.daily_limit
    if limit is None:
        return None
    own = [row.id for recipient, row in rows.items() if recipient.lower() == preference.recipient.lower()]
    with transaction.atomic():
        NotificationPreference.objects.select_for_update().filter(id=preference.id).first()
        if _today(preference, now).exclude(id__in=own).count() >= limit:
            return Objection(f"{preference.recipient} has had the {limit} messages of today's limit.")
        NotificationLog.objects.filter(id__in=own).update(reserved_at=now)
    return None


def _today(preference: NotificationPreference, now: datetime) -> QuerySet[NotificationLog]:
    local = now.astimezone(zone(preference.timezone))
    midnight = datetime.combine(local.date(), time.min, local.tzinfo)
    return NotificationLog.objects.filter(
        Q(status__in=_COUNTED, sent_at__gte=midnight) | Q(reserved_at__gte=midnight),
        organizer_id=preference.organizer_id,
        recipient__iexact=preference.recipient,
    )
