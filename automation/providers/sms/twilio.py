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
carries our id of the message: it marks it as sent before the next attempt begins, wherever it arrives in time. Where it
does not, a further attempt first asks for the latest messages to that number (the resource's list), and takes one with
the very same text, from our sender, that was made since the first attempt, for its own. What is not in the list yet is
sent again: that is what at-least-once means.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation import clock, outbound
from automation.outbound.waits import retry_after
from automation.providers.sms.base import SmsBackend, SmsFailed, SmsMessage, SmsReceipt, SmsRefused

MAX_ANSWER = 64 * 1024
MAX_LIST = 512 * 1024
LATEST = 50
"""Messages that are looked through for one whose answer was lost."""
SKEW = timedelta(minutes=2)
"""How far Twilio's clock may be behind ours."""
_CAME_TO_NOTHING = frozenset(("failed", "undelivered", "canceled"))
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
        if message.since is not None and (sid := _taken(message, message.since)):
            return SmsReceipt(sid)
        fields = {"To": message.to, "Body": message.text}
        fields["MessagingServiceSid" if sender.startswith("MG") else "From"] = sender
        if message.status_callback:
            fields["StatusCallback"] = message.status_callback
        return _receipt(_call(account, token, body=urlencode(fields).encode("ascii")), message)


def _call(account: str, token: str, *, body: bytes | None = None, query: str = "") -> outbound.Response:
    """One call of the messages resource: a POST with a body, a GET without."""
    login = base64.b64encode(f"{account}:{token}".encode()).decode("ascii")
    headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        return outbound.request(
            "GET" if body is None else "POST",
            f"{settings.TWILIO_API_URL}/2010-04-01/Accounts/{account}/Messages.json{query}",
            body=body,
            headers=headers,
            max_body=MAX_LIST if body is None else MAX_ANSWER,
            trusted_hosts=[urlsplit(settings.TWILIO_API_URL).netloc],
            once=body is not None,
        )
    except outbound.OutboundFailed as error:
        raise SmsFailed(error.message) from error
    except outbound.OutboundRefused as error:
        raise SmsRefused(error.message) from error


def _taken(message: SmsMessage, since: datetime) -> str:
    """The id of this message where Twilio has taken it since then, or the empty string. A recipient who has got exactly
    this text since the first attempt misses nothing. Raises SmsFailed while Twilio cannot say."""
    account, token, sender = _credentials()
    response = _call(account, token, query="?" + urlencode({"To": message.to, "PageSize": LATEST}))
    if response.status == 429 or response.status >= 500:
        wait = retry_after(response.headers.get("retry-after", ""), clock.now())
        raise SmsFailed(f"Twilio does not say what it has taken: {response.status}.", wait)
    found = _json(response).get("messages") if response.ok else None  # a key that may send need not be let read
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and _is(one, message, sender) and _made_at(one) >= since - SKEW:
            return str(one.get("sid") or "")[:255]
    return ""


def _is(one: dict[str, Any], message: SmsMessage, sender: str) -> bool:
    return (
        one.get("direction") == "outbound-api"
        and one.get("body") == message.text
        and one.get("to") == message.to
        and sender in (one.get("from"), one.get("messaging_service_sid"))
        and one.get("status") not in _CAME_TO_NOTHING
    )


def _made_at(one: dict[str, Any]) -> datetime:
    """The dates are as in RFC 2822: `Fri, 24 May 2019 17:44:46 +0000`."""
    try:
        made = parsedate_to_datetime(str(one.get("date_created")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return made if made.tzinfo else made.replace(tzinfo=UTC)


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
