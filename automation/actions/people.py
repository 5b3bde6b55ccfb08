"""Who an action's message goes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automation.actions.config import ActionConfig
from automation.models import Booking, Recipient


@dataclass(frozen=True)
class Person:
    """`role` is organizer, invitee or custom; `email` and `phone` may be empty; `phone` is as it was typed."""

    role: str
    email: str
    phone: str
    timezone: str


def of_booking(action: ActionConfig, booking: Booking) -> list[Person]:
    """The people that `action.recipient` names, the organizer first."""
    organizer = booking.organizer
    return _chosen(
        action,
        Person("organizer", organizer.email, organizer.phone, organizer.timezone),
        Person("invitee", booking.invitee_email, booking.invitee_phone, booking.invitee_timezone),
    )


def of_context(action: ActionConfig, context: Mapping[str, Any]) -> list[Person]:
    """The same for a preview, from a context alone, which does not hold the organizer's phone number."""

    def text(name: str) -> str:
        return str(context.get(name) or "")

    return _chosen(
        action,
        Person("organizer", text("organizer_email"), "", text("organizer_timezone")),
        Person("invitee", text("invitee_email"), text("invitee_phone"), text("invitee_timezone")),
    )


def _chosen(action: ActionConfig, organizer: Person, invitee: Person) -> list[Person]:
    if action.recipient == Recipient.ORGANIZER:
        return [organizer]
    if action.recipient == Recipient.BOTH:
        return [organizer, invitee]
    if action.recipient == Recipient.CUSTOM:
        # A number without a country code is read as the organizer would dial it.
        return [Person("custom", action.custom_email, action.custom_phone, organizer.timezone)]
    return [invitee]
