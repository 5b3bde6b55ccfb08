"""The link in every message's List-Unsubscribe header: signed, without end, for one recipient of one organizer."""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import QuerySet

from automation import audit, clock
from automation.errors import NotFound
from automation.models import NotificationPreference, User

UNSUBSCRIBE_PATH = "/unsubscribe/{token}/"
_SALT = "weir.unsubscribe"


def unsubscribe_url(organizer_id: int, recipient: str) -> str:
    """Where a GET asks and a POST (RFC 8058's one click too) unsubscribes."""
    token = signing.Signer(salt=_SALT).sign_object(
        [organizer_id, recipient]
    )  # no time in it: the same at every attempt
    return settings.PUBLIC_URL + UNSUBSCRIBE_PATH.format(token=token)


def read_token(token: str) -> tuple[int, str]:
    """The organizer's id and the recipient's address. Raises NotFound for a token that we did not sign."""
    try:
        organizer_id, recipient = signing.Signer(salt=_SALT).unsign_object(token)
    except signing.BadSignature:
        raise NotFound("This unsubscribe link is not valid.") from None
    return int(organizer_id), str(recipient).lower()


def unsubscribe(token: str) -> NotificationPreference:
    """No more messages from that organizer to that recipient. Doing it again changes nothing. Raises NotFound."""
    organizer_id, recipient = read_token(token)
    return stop(organizer_id, recipient, by="recipient")


def stop(organizer_id: int, recipient: str, *, by: str) -> NotificationPreference:
    """Notes that the recipient wants no more messages; `by` is 'recipient' or 'organizer'. A recipient's own word
    stands above an organizer's."""
    recipient = recipient.lower()
    if not User.objects.filter(id=organizer_id).exists():
        raise NotFound("This unsubscribe link is not valid any more: its sender has gone.")
    with transaction.atomic():
        NotificationPreference.objects.get_or_create(organizer_id=organizer_id, recipient=recipient)
        preference = _locked(organizer_id, recipient).get()
        before = audit.facts(preference)
        preference.unsubscribed_at = preference.unsubscribed_at or clock.now()
        if preference.unsubscribed_by != "recipient":
            preference.unsubscribed_by = by
        preference.save(update_fields=["unsubscribed_at", "unsubscribed_by"])
        audit.record_row(preference, actor=None, before=before)
    return preference


def resubscribe(token: str) -> None:
    """Messages may come again. Doing it again changes nothing. Raises NotFound."""
    organizer_id, recipient = read_token(token)
    with transaction.atomic():
        for preference in _locked(organizer_id, recipient):
            before = audit.facts(preference)
            preference.unsubscribed_at, preference.unsubscribed_by = None, ""
            preference.save(update_fields=["unsubscribed_at", "unsubscribed_by"])
            audit.record_row(preference, actor=None, before=before)


def _locked(organizer_id: int, recipient: str) -> QuerySet[NotificationPreference]:
    rows = NotificationPreference.objects.filter(organizer_id=organizer_id, recipient=recipient)
    return rows.select_for_update(of=("self",))
