"""What people are told about a session, in their own time zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings

from automation.domains.booking.models import Role
from automation.models import Booking
from automation.rules.context import CANCEL_PATH, FEEDBACK_PATH, RESCHEDULE_PATH


@dataclass(frozen=True)
class Letter:
    """An email's parts."""

    to: str
    subject: str
    body: str
    reply_to: str = ""


SUBJECTS: Mapping[str, str] = {
    "confirmation": "Confirmed: {name} on {date}",
    "reminder": "Reminder: {name} {until}",
    "no_show_check": "We are waiting for you: {name}",
    "no_show": "We missed you: {name}",
    "follow_up": "Thank you for coming: {name}",
    "survey": "How was {name}?",
    "feedback_reminder": "A moment for your thoughts on {name}?",
    "rescheduled": "Moved: {name} is now on {date}",
    "reschedule_failed": "{name} stays on {date}",
}
"""By the kind of message; `reminder_…` are reminders."""

BODIES: Mapping[str, str] = {
    "confirmation": "your session with {other} is confirmed for {when}.\n{place}\n{links}",
    "reminder": "your session with {other} begins {until}, on {when}.\n{place}\n{links}",
    "no_show_check": "your session with {other} began at {time}, and we do not see you yet.\n{place}",
    "no_show": "you could not make it to your session with {other}. Choose another time whenever it suits you:\n"
    "{reschedule}",
    "follow_up": "thank you for your session with {other}. Tell us how it was: {feedback}",
    "survey": "how was your session with {other}? It takes a minute: {feedback}",
    "feedback_reminder": "we have not heard yet how your session with {other} was: {feedback}",
    "rescheduled": "your session with {other} has been moved: it is now on {when}.\n{place}\n{links}",
    "reschedule_failed": "your session with {other} could not be moved. It takes place as planned, on {when}.\n{links}",
}

KINDS = tuple(BODIES)


def template_of(kind: str) -> str:
    """The words of a kind: every `reminder_…` has those of a reminder. Raises KeyError for a kind that there is not."""
    found = "reminder" if kind.startswith("reminder_") else kind
    if found not in BODIES:
        raise KeyError(kind)
    return found


def compose(booking: Booking, kind: str, role: str, now: dt.datetime) -> Letter:
    """The letter to the invitee or the organizer, whose event type and organizer are loaded with the booking."""
    organizer = booking.organizer
    to_invitee = role == Role.INVITEE
    zone = ZoneInfo(booking.invitee_timezone if to_invitee else organizer.timezone)
    start = booking.start_time.astimezone(zone)
    organizer_name = organizer.get_full_name() or organizer.email
    base, token = settings.PUBLIC_URL, booking.access_token
    reschedule = base + RESCHEDULE_PATH.format(token=token)
    cancel = base + CANCEL_PATH.format(token=token)
    words = {
        "name": booking.event_type.name,
        "other": organizer_name if to_invitee else booking.invitee_name,
        "date": f"{start:%d %B %Y}",
        "time": f"{start:%H:%M}",
        "when": f"{start:%A, %d %B %Y, %H:%M} ({zone.key})",
        "until": _until(booking.start_time - now),
        "place": f"Join here: {booking.meeting_link}\n" if booking.meeting_link else "",
        "links": f"Another time: {reschedule}\nCancel: {cancel}\n" if to_invitee else "",
        "reschedule": reschedule,
        "feedback": base + FEEDBACK_PATH.format(token=token),
    }
    template = template_of(kind)
    name = booking.invitee_name if to_invitee else organizer.first_name
    return Letter(
        to=booking.invitee_email if to_invitee else organizer.email,
        subject=SUBJECTS[template].format(**words),
        body=f"Hello {name},\n\n{BODIES[template].format(**words)}".rstrip() + "\n",
        reply_to=organizer.email if to_invitee else booking.invitee_email,
    )


def _until(wait: dt.timedelta) -> str:
    """'in 2 days', 'in 24 hours', 'in 15 minutes', 'now'."""
    minutes = round(wait.total_seconds() / 60)
    for size, word in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= 2 * size or (size < 1440 and minutes >= size):
            count = round(minutes / size)
            return f"in {count} {word}{'s'[: count != 1]}"
    return "now"
