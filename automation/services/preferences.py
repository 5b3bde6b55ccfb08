"""What recipients want, and the addresses that get nothing more, as organizers manage them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from automation import audit, clock
from automation.actions import suppressions
from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import NotificationPreference, Suppression, SuppressionReason, User
from automation.providers.sms import BadPhone, parse_phone


def address(text: str) -> str:
    """An email address in lower case, or a phone number as E.164. Raises InvalidInput."""
    if "@" in text:
        try:
            validate_email(text.strip())
        except ValidationError:
            raise _bad(f"{text[:100]!r} is not an email address.") from None
        return text.strip().lower()
    try:
        return parse_phone(text).e164
    except BadPhone as error:
        raise _bad(f"Expected an email address, or a phone number with its country code: {error.message}") from None


def create(
    organizer: User, recipient: str, *, by: User | None = None, unsubscribed: bool = False, **fields: Any
) -> NotificationPreference:
    """Raises InvalidInput where the recipient has preferences already."""
    preference = NotificationPreference(organizer=organizer, recipient=address(recipient), **fields)
    if unsubscribed:
        preference.unsubscribed_at, preference.unsubscribed_by = clock.now(), "organizer"
    try:
        with transaction.atomic():
            preference.save()
            audit.record_row(preference, actor=by)
    except IntegrityError:
        raise _bad(f"{preference.recipient} has preferences already; change those.") from None
    return preference


def update(
    preference_id: UUID, *, by: User | None = None, unsubscribed: bool | None = None, **fields: Any
) -> NotificationPreference:
    """Raises Conflict for subscribing somebody again who has unsubscribed: that is theirs to do."""
    with transaction.atomic():
        preference = NotificationPreference.objects.select_for_update().filter(id=preference_id).first()
        if preference is None:
            raise NotFound(f"There are no preferences {preference_id}.")
        before = audit.facts(preference)
        for name, value in fields.items():
            setattr(preference, name, value)
        if unsubscribed and preference.unsubscribed_at is None:
            preference.unsubscribed_at, preference.unsubscribed_by = clock.now(), "organizer"
        elif unsubscribed is False and preference.unsubscribed_at is not None:
            _refuse_theirs(preference)
            preference.unsubscribed_at, preference.unsubscribed_by = None, ""
        preference.save()
        audit.record_row(preference, actor=by, before=before)
    return preference


def delete(preference: NotificationPreference, *, by: User | None = None) -> None:
    """Raises Conflict for somebody who has unsubscribed: without the row, messages would come again."""
    _refuse_theirs(preference)
    with transaction.atomic():
        audit.record_row(preference, actor=by, deleted=True)
        preference.delete()


def suppress(organizer: User, channel: str, recipient: str, detail: str = "", *, by: User | None = None) -> Suppression:
    """Puts an address on the list by hand. Raises InvalidInput."""
    found = address(recipient)
    if ("@" in found) is not (channel == "email"):
        raise _bad(f"{found} is no address of the channel {channel}.")
    return suppressions.suppress(organizer.pk, channel, found, SuppressionReason.MANUAL, detail, by=by)


def _refuse_theirs(preference: NotificationPreference) -> None:
    if preference.unsubscribed_by == "recipient":
        raise Conflict(
            f"{preference.recipient} has unsubscribed, and can subscribe again by the link in every message; "
            "nobody else can."
        )


def _bad(problem: str) -> InvalidInput:
    return InvalidInput(problem, {"recipient": [problem]})
