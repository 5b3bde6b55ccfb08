"""What recipients want: no messages at all, not so many a day, none in their night.

Quiet hours are wall-clock times in the recipient's own zone, so they stay right when clocks change. A message that
falls into them waits for their end; one that would then come after the meeting has begun is not sent at all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from automation.actions.invocation import Invocation
from automation.models import NotificationLog, NotificationPreference, NotificationStatus, Trigger

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


def objections(invocation: Invocation, recipients: Collection[str]) -> dict[str, Objection]:
    """Who does not want this message now, by the address in lower case; those not named do."""
    names = {*recipients, *(recipient.lower() for recipient in recipients)}
    preferences = NotificationPreference.objects.filter(
        organizer_id=invocation.booking.organizer_id, recipient__in=names
    )
    found: dict[str, Objection] = {}
    for preference in preferences:
        objection = _objection(preference, invocation)
        if objection is not None:
            found[preference.recipient.lower()] = objection
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
    return Objection(f"{preference.recipient} has quiet hours until {until:%H:%M}.", until)


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
    until = datetime.combine(day, end, local.tzinfo)
    # A time that the clocks skip becomes the one that they show instead.
    return until.astimezone(UTC).astimezone(local.tzinfo)


def _sent_today(preference: NotificationPreference, now: datetime) -> int:
    local = now.astimezone(ZoneInfo(preference.timezone))
    midnight = datetime.combine(local.date(), time.min, local.tzinfo)
    return NotificationLog.objects.filter(
        organizer_id=preference.organizer_id,
        recipient__iexact=preference.recipient,
        status__in=_COUNTED,
        sent_at__gte=midnight,
    ).count()
