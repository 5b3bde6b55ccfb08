"""The link in every message's List-Unsubscribe header: signed, without end, for one recipient of one organizer."""

from __future__ import annotations

from django.conf import settings
from django.core import signing

from automation import clock
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
    return int(organizer_id), str(recipient)


def unsubscribe(token: str) -> NotificationPreference:
    """No more messages from that organizer to that recipient. Doing it again changes nothing. Raises NotFound."""
    organizer_id, recipient = read_token(token)
    return stop(organizer_id, recipient, by="recipient")


def stop(organizer_id: int, recipient: str, *, by: str) -> NotificationPreference:
    """Notes that the recipient wants no more messages; `by` is 'recipient' or 'organizer'. A recipient's own word
    stands above an organizer's."""
    if not User.objects.filter(id=organizer_id).exists():
        raise NotFound("This unsubscribe link is not valid any more: its sender has gone.")
    preference, _ = NotificationPreference.objects.get_or_create(organizer_id=organizer_id, recipient=recipient)
    rows = NotificationPreference.objects.filter(id=preference.id)
    rows.filter(unsubscribed_at__isnull=True).update(unsubscribed_at=clock.now())
    rows.exclude(unsubscribed_by="recipient").update(unsubscribed_by=by)
    preference.refresh_from_db()
    return preference


def resubscribe(token: str) -> None:
    """Messages may come again. Doing it again changes nothing. Raises NotFound."""
    organizer_id, recipient = read_token(token)
    NotificationPreference.objects.filter(organizer_id=organizer_id, recipient=recipient).update(
        unsubscribed_at=None, unsubscribed_by=""
    )
