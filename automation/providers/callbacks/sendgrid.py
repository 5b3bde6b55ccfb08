"""SendGrid's Event Webhook, with its signature switched on: a JSON array of events.

Signed with ECDSA (P-256, SHA-256) over the timestamp's text followed by the body, in
`X-Twilio-Email-Event-Webhook-Signature` (base64 of DER) and `…-Timestamp`; SENDGRID_WEBHOOK_KEY is the verification key
that SendGrid shows (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events). Events name the message by
`smtp-id`, our Message-ID. SendGrid sends events again for a day until they are answered with 2xx, so their
age says nothing; each has its `sg_event_id`, which makes a replay harmless.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation.errors import InvalidInput
from automation.providers.callbacks.base import (
    MAX_EVENTS,
    BadSignature,
    Callback,
    CallbackProvider,
    DeliveryEvent,
    Kind,
    moment,
    text,
)

_KINDS = {
    "processed": Kind.SENT,
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DELAYED,
    "bounce": Kind.BOUNCED,
    "dropped": Kind.FAILED,
    "open": Kind.OPENED,
    "click": Kind.CLICKED,
    "spamreport": Kind.COMPLAINED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "group_unsubscribe": Kind.UNSUBSCRIBED,
}


class SendGrid(CallbackProvider):
    name = "sendgrid"
    channel = "email"

    @property
    def is_configured(self) -> bool:
        return bool(settings.SENDGRID_WEBHOOK_KEY)

    def verify(self, callback: Callback) -> None:
        timestamp = callback.header("x-twilio-email-event-webhook-timestamp")
        try:
            signature = base64.b64decode(callback.header("x-twilio-email-event-webhook-signature"), validate=True)
            _key().verify(signature, timestamp.encode("utf-8", "replace") + callback.body, ec.ECDSA(hashes.SHA256()))
        except (binascii.Error, ValueError, InvalidSignature):
            raise BadSignature("The signature does not fit the timestamp and the body.") from None

    def events(self, callback: Callback) -> list[DeliveryEvent]:
        found = callback.json()
        if not isinstance(found, list) or len(found) > MAX_EVENTS:
            raise InvalidInput(f"Expected an array of at most {MAX_EVENTS} events.")
        read = [_event(one) for one in found if isinstance(one, dict)]
        return [event for event in read if event is not None]


def _event(data: dict[str, Any]) -> DeliveryEvent | None:
    kind, event_id = _KINDS.get(str(data.get("event"))), text(data.get("sg_event_id"))
    if kind is None or not event_id:
        return None
    # A bounce of type 'blocked' is a refusal for now (its server's policy, a full mailbox); the address stays good.
    permanent = kind is Kind.BOUNCED and data.get("type") != "blocked"
    return DeliveryEvent(
        event_id=event_id,
        kind=kind,
        occurred_at=moment(data.get("timestamp")),
        provider_id=text(data.get("smtp-id")),
        detail=text(data.get("reason") or data.get("response") or data.get("url"), 2000),
        suppress="bounced" if permanent else "",
    )


def _key() -> ec.EllipticCurvePublicKey:
    try:
        lines = [
            line for line in settings.SENDGRID_WEBHOOK_KEY.split() if "-" not in line and line not in ("PUBLIC", "KEY")
        ]
        key = load_der_public_key(base64.b64decode("".join(lines)))
    except (binascii.Error, ValueError) as error:
        raise ImproperlyConfigured(f"SENDGRID_WEBHOOK_KEY is no public key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ImproperlyConfigured("SENDGRID_WEBHOOK_KEY is no ECDSA key")
    return key
