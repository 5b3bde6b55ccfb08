"""Twilio's status callbacks: a form for each change of a message's status.

Signed in `X-Twilio-Signature`: base64 of HMAC-SHA1, keyed by the auth token, over the URL that was called followed by
each field's name and value, sorted by name (https://www.twilio.com/docs/usage/security). The URL carries our own id of
the message, so a callback that is quicker than the answer to our request, or comes although that answer was lost, finds
the message all the same. The signature holds no time: a replay is harmless, because statuses only move forward.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

from django.conf import settings

from automation import clock
from automation.errors import InvalidInput
from automation.providers.callbacks.base import (
    BadSignature,
    Callback,
    CallbackProvider,
    DeliveryEvent,
    Kind,
    notification_id,
    text,
)

MAX_FIELDS = 100
_KINDS = {
    "sent": Kind.SENT,
    "delivered": Kind.DELIVERED,
    "read": Kind.OPENED,
    "undelivered": Kind.BOUNCED,
    "failed": Kind.FAILED,
    "canceled": Kind.FAILED,
}
# https://www.twilio.com/docs/api/errors: who opted out, and numbers that no SMS ever reaches.
_SUPPRESS = {"21610": "opted_out", "30005": "bounced", "30006": "bounced", "21211": "bounced", "21614": "bounced"}


def sign(url: str, fields: list[tuple[str, str]], token: str) -> str:
    """The value of `X-Twilio-Signature`."""
    signed = url + "".join(name + value for name, value in sorted(fields))
    digest = hmac.new(token.encode(), signed.encode("utf-8", "replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


class Twilio(CallbackProvider):
    name = "twilio"
    channel = "sms"

    @property
    def is_configured(self) -> bool:
        return bool(settings.TWILIO_AUTH_TOKEN)

    def verify(self, callback: Callback) -> None:
        given = callback.header("x-twilio-signature").encode("utf-8", "replace")
        expected = sign(callback.url, _fields(callback), settings.TWILIO_AUTH_TOKEN)
        if not hmac.compare_digest(given, expected.encode()):
            raise BadSignature("X-Twilio-Signature does not fit this URL and these fields.")

    def events(self, callback: Callback) -> list[DeliveryEvent]:
        fields = dict(_fields(callback))
        status = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
        kind = _KINDS.get(status)
        if kind is None:
            return []  # queued, sending and the like: nothing that we did not know
        sid, code = text(fields.get("MessageSid") or fields.get("SmsSid")), text(fields.get("ErrorCode"), 20)
        detail = " ".join(filter(None, [text(fields.get("ErrorMessage"), 500), code and f"(Twilio error {code})"]))
        return [
            DeliveryEvent(
                event_id=f"{sid}:{status}",
                kind=kind,
                occurred_at=clock.now(),
                provider_id=sid,
                notification_id=notification_id(callback.query.get("notification")),
                detail=detail,
                suppress=_SUPPRESS.get(code, ""),
            )
        ]


def _fields(callback: Callback) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            callback.body.decode("utf-8"), keep_blank_values=True, strict_parsing=False, max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise InvalidInput(f"The body is no form of at most {MAX_FIELDS} fields.") from None
