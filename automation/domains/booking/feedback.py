"""What an invitee thought of a session: given once, and changed for a while."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction

from automation import clock
from automation.domains.booking import following
from automation.domains.booking.models import Feedback
from automation.models import Booking, BookingAuditLog

CHANGEABLE = dt.timedelta(days=14)
"""From when it was given."""


def of(booking: Booking) -> Feedback | None:
    """What was given, if anything."""
    return Feedback.objects.filter(booking=booking).first()


def is_final(given: Feedback) -> bool:
    """Whether it cannot be changed any more."""
    return clock.now() >= given.submitted_at + CHANGEABLE


def give(booking: Booking, rating: int, comment: str, *, actor: str) -> Feedback:
    """Write it down, audited, in the caller's transaction, which has the booking locked; what is final stays as it is.

    rating: 1 to 5. Workflows that follow the booking hear of the first time (`feedback_given`), after the commit.
    """
    said: dict[str, Any] = {"rating": rating, "comment": comment}
    given = of(booking)
    if given is None:
        given = Feedback.objects.create(booking=booking, **said)
        _audit(booking, "feedback_given", actor, {}, said)
        transaction.on_commit(lambda: following.signal_feedback(booking.pk))
        return given
    before = {name: getattr(given, name) for name in said}
    if before != said and not is_final(given):
        given.rating, given.comment = rating, comment
        given.save(update_fields=list(said))
        changed = [name for name in said if said[name] != before[name]]
        _audit(booking, "feedback_changed", actor, *({n: values[n] for n in changed} for values in (before, said)))
    return given


def _audit(booking: Booking, action: str, actor: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    BookingAuditLog.objects.create(booking=booking, action=action, actor=actor, old_values=old, new_values=new)
