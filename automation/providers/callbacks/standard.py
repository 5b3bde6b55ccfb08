"""A format of our own for whatever watches a mail server: JSON, signed as Standard Webhooks has it.

    POST /api/v1/callbacks/email/
    webhook-id: evt_1   webhook-timestamp: 1790000000   webhook-signature: v1,…

    {"type": "email.bounced", "timestamp": "2026-11-21T10:00:00Z",
     "data": {"message_id": "<…@weir.example>", "permanent": true, "reason": "550 5.1.1 no such user"}}

`type` is `email.` and one of sent, delivered, bounced, failed, opened, clicked, complained, unsubscribed, delayed. The
message is named by `message_id` (its Message-ID header) or by `notification_id`. A `permanent` bounce keeps the address
from further messages. Several events at once: `{"events": [{…}, {…}]}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any

from django.conf import settings

from automation.errors import InvalidInput
from automation.providers.callbacks.base import (
    MAX_EVENTS,
    BadSignature,
    Callback,
    CallbackProvider,
    DeliveryEvent,
    Kind,
    moment,
    notification_id,
    refuse_stale,
    text,
)
from automation.secrets import WEBHOOK_PREFIX


def sign(message_id: str, timestamp: str, body: bytes, secret: str) -> str:
    """The value of `webhook-signature`."""
    encoded = secret.removeprefix(WEBHOOK_PREFIX)
    key = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


class StandardEmail(CallbackProvider):
    name = "email"
    channel = "email"

    @property
    def is_configured(self) -> bool:
        return bool(settings.EMAIL_CALLBACK_SECRET)

    def verify(self, callback: Callback) -> None:
        id_, timestamp = callback.header("webhook-id"), callback.header("webhook-timestamp")
        try:
            expected = sign(id_, timestamp, callback.body, settings.EMAIL_CALLBACK_SECRET).encode()
        except (binascii.Error, ValueError):
            raise BadSignature("EMAIL_CALLBACK_SECRET is no Standard Webhooks secret (whsec_…).") from None
        given = callback.header("webhook-signature").split()
        if not id_ or not any(hmac.compare_digest(one.encode("utf-8", "replace"), expected) for one in given):
            raise BadSignature("webhook-signature does not fit the id, the time and the body.")
        refuse_stale(timestamp)

    def events(self, callback: Callback) -> list[DeliveryEvent]:
        body = callback.json()
        found = body.get("events", [body]) if isinstance(body, dict) else None
        if not isinstance(found, list) or len(found) > MAX_EVENTS or not all(isinstance(one, dict) for one in found):
            raise InvalidInput(f"Expected an event, or at most {MAX_EVENTS} of them as 'events'.")
        base_id = text(callback.header("webhook-id"), 200)
        return [_event(f"{base_id}:{index}", one, index) for index, one in enumerate(found)]


def _event(default_id: str, data: dict[str, Any], index: int) -> DeliveryEvent:
    try:
        kind = Kind(str(data.get("type", "")).removeprefix("email."))
    except ValueError:
        known = ", ".join(f"email.{kind}" for kind in Kind)
        raise InvalidInput(f"events[{index}].type is {data.get('type')!r:.60}; expected one of {known}.") from None
    facts = data.get("data")
    facts = facts if isinstance(facts, dict) else {}
    return DeliveryEvent(
        event_id=text(data.get("id")) or default_id,
        kind=kind,
        occurred_at=moment(data.get("timestamp")),
        provider_id=text(facts.get("message_id")),
        notification_id=notification_id(facts.get("notification_id")),
        detail=text(facts.get("reason") or facts.get("url"), 2000),
        suppress="bounced" if kind is Kind.BOUNCED and facts.get("permanent") is True else "",
    )
