"""SMS by Twilio's REST API (https://www.twilio.com/docs/messaging/api/message-resource).

Settings: TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM (a number, or a messaging service's id, MG…) and, for
another region or a test, TWILIO_API_URL.

| answer | what follows |
|---|---|
| 201 | sent; Twilio's `sid` names the message |
| 429, with Retry-After or without | SmsFailed with `retry_after`: tried again |
| 5xx, 408, no answer | SmsFailed: tried again |
| 401, 403, 404, and an account's own trouble | SmsFailed: an operator can mend it while we retry |
| other 4xx: the number, the text | SmsRefused; 21610 (opted out), 21211, 21614 (no mobile number) suppress the number |

Twilio's message resource knows no idempotency key. An answer that is lost is made up for by the status callback, which
carries our id of the message: it marks it as sent before the next attempt begins, wherever it arrives in time.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation import clock, outbound
from automation.outbound.waits import retry_after
from automation.providers.sms.base import SmsBackend, SmsFailed, SmsMessage, SmsReceipt, SmsRefused

MAX_ANSWER = 64 * 1024
_SUPPRESS = {21610: "opted_out", 21211: "bounced", 21614: "bounced"}
# 20003 authenticate, 20005 account not active, 20429 too many requests, 21606/21603/21212 a wrong sender,
# 21617 too long, 21611 the sender's queue is full.
_MAY_PASS = frozenset((20003, 20005, 20429, 21603, 21606, 21212, 21611))
_OURS = frozenset((401, 403, 404, 408, 425, 429))


class TwilioBackend(SmsBackend):
    callbacks = "twilio"

    def send(self, message: SmsMessage) -> SmsReceipt:
        """Raises SmsFailed, SmsRefused, and ImproperlyConfigured naming the settings that are missing."""
        account, token, sender = _credentials()
        fields = {"To": message.to, "Body": message.text}
        fields["MessagingServiceSid" if sender.startswith("MG") else "From"] = sender
        if message.status_callback:
            fields["StatusCallback"] = message.status_callback
        login = base64.b64encode(f"{account}:{token}".encode()).decode("ascii")
        try:
            response = outbound.request(
                "POST",
                f"{settings.TWILIO_API_URL}/2010-04-01/Accounts/{account}/Messages.json",
                body=urlencode(fields).encode("ascii"),
                headers={
                    "Authorization": f"Basic {login}",
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                max_body=MAX_ANSWER,
                trusted_hosts=[urlsplit(settings.TWILIO_API_URL).netloc],
            )
        except outbound.OutboundFailed as error:
            raise SmsFailed(error.message) from error
        except outbound.OutboundRefused as error:
            raise SmsRefused(error.message) from error
        return _receipt(response, message)


def _receipt(response: outbound.Response, message: SmsMessage) -> SmsReceipt:
    answer = _json(response)
    if response.ok:
        sid = answer.get("sid")
        if not isinstance(sid, str) or not sid:
            raise SmsFailed(f"Twilio answered {response.status} without the id of a message.")
        return SmsReceipt(sid[:255])
    code = answer.get("code")
    code = code if isinstance(code, int) else 0
    said = str(answer.get("message") or response.body_start)[:300].rstrip(".")
    text = f"Twilio refused the message to {message.to}: {response.status} {said} (error {code})."
    if response.status >= 500 or response.status in _OURS or code in _MAY_PASS or 300 <= response.status < 400:
        raise SmsFailed(text, retry_after(response.headers.get("retry-after", ""), clock.now()))
    raise SmsRefused(text, _SUPPRESS.get(code, ""))


def _json(response: outbound.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _credentials() -> tuple[str, str, str]:
    names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM")
    missing = [name for name in names if not getattr(settings, name)]
    if missing:
        raise ImproperlyConfigured(f"the Twilio backend needs {', '.join(missing)}")
    return settings.TWILIO_ACCOUNT_SID, settings.TWILIO_AUTH_TOKEN, settings.TWILIO_FROM
