"""Any sender that signs as Standard Webhooks has it (https://www.standardwebhooks.com): `webhook-id`,
`webhook-timestamp` and `webhook-signature` over "id.timestamp.body".

The body is `{"type", "timestamp", "data"}`; type is booking.created, booking.rescheduled, booking.cancelled,
booking.completed or booking.no_show. data: `id` (the sender's), and for the first two `event_type` (an id or slug),
`invitee_name`, `invitee_email`, `start_time`, and optionally `end_time`, `invitee_phone`, `invitee_timezone`,
`attendee_count`, `custom_answers`, `meeting_link`, `meeting_id`, `meeting_password`, `former_id`; for a cancellation
`reason` and `cancelled_by`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from standardwebhooks.webhooks import Webhook as Signer

from automation import secrets as keys
from automation.providers.schedulers import base
from automation.providers.schedulers.base import BadSignature, Meeting, Scheduler, SchedulerEvent, Unreadable, What

MAX_SIGNATURES = 10
MAX_ID = 255

_WHAT = {
    "booking.created": What.CREATED,
    "booking.rescheduled": What.RESCHEDULED,
    "booking.cancelled": What.CANCELLED,
    "booking.canceled": What.CANCELLED,
    "booking.completed": What.COMPLETED,
    "booking.no_show": What.NO_SHOW,
}


class Standard(Scheduler):
    kind = "standard"
    source = "inbound"

    def check_secret(self, text: str) -> str:
        return keys.check_webhook_secret(text)

    def event_id(self, headers: Mapping[str, str], body: bytes) -> str:
        return headers["webhook-id"]

    def verify(self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        given = [part.removeprefix("v1,") for part in headers.get("webhook-signature", "").split() if part[:3] == "v1,"]
        if not id_ or not given or len(id_) > MAX_ID:
            raise BadSignature("The headers webhook-id, webhook-timestamp and webhook-signature ('v1,…') are required.")
        signed_at = base.seconds_since_epoch(stamp)
        try:
            content = body.decode("utf-8")
        except UnicodeDecodeError:
            raise BadSignature("The body is not UTF-8.") from None
        expected = [Signer(secret).sign(id_, signed_at, content).removeprefix("v1,") for secret in secrets]
        if not any(base.same(one, other) for one in expected for other in given[:MAX_SIGNATURES]):
            raise BadSignature(
                "webhook-signature is not the signature of 'id.timestamp.body' with this source's secret."
            )
        base.check_age(signed_at, now)

    def read(self, data: Mapping[str, Any]) -> SchedulerEvent:
        type_ = base.required(data, "type")
        occurred_at = base.moment(data, "timestamp")
        what = _WHAT.get(type_, What.NOTHING)
        if what is What.NOTHING:
            return SchedulerEvent(what, type_, occurred_at, note=f"{type_!r} is none of {', '.join(_WHAT)}.")
        meeting = base.mapping(data, "data")
        count = meeting.get("attendee_count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise Unreadable("data.attendee_count is no whole number from 1.", {"data.attendee_count": ["From 1."]})
        return SchedulerEvent(
            what,
            type_,
            occurred_at,
            Meeting(
                external_id=base.required(meeting, "id"),
                former_id=base.text(meeting, "former_id", 255),
                event_types=tuple(name for name in (base.text(meeting, "event_type"),) if name),
                name=base.text(meeting, "invitee_name", 200),
                email=base.text(meeting, "invitee_email", 254),
                phone=base.text(meeting, "invitee_phone", 32),
                timezone=base.text(meeting, "invitee_timezone", 64) or "UTC",
                start=base.moment(meeting, "start_time"),
                end=base.moment(meeting, "end_time"),
                attendees=count,
                answers=base.answers(list(base.mapping(meeting, "custom_answers").items())),
                link=base.text(meeting, "meeting_link"),
                meeting_id=base.text(meeting, "meeting_id", 200),
                password=base.text(meeting, "meeting_password", 200),
            ),
            reason=base.text(meeting, "reason", 5_000),
            by=base.text(meeting, "cancelled_by", 254),
        )
