"""Cal.com: `X-Cal-Signature-256` is the HMAC-SHA256 of the body, in hex.
https://cal.com/docs/developing/guides/automation/webhooks

The signature covers no time of its own, but the body, with the time that it was made at. A meeting that is moved gets
a new `uid`, and `rescheduleUid` names the former one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from automation.providers.schedulers import base
from automation.providers.schedulers.base import BadSignature, Meeting, Scheduler, SchedulerEvent, What

OLDEST = timedelta(days=1)
"""Cal.com repeats what was not accepted, with the body of the first time."""

_WHAT = {
    "BOOKING_CREATED": What.CREATED,
    "BOOKING_RESCHEDULED": What.RESCHEDULED,
    "BOOKING_CANCELLED": What.CANCELLED,
    "BOOKING_REJECTED": What.CANCELLED,
    "BOOKING_NO_SHOW_UPDATED": What.NO_SHOW,
    "MEETING_ENDED": What.COMPLETED,
}
_NOTES = {
    "BOOKING_REQUESTED": "It is not confirmed yet; BOOKING_CREATED follows when it is.",
    "PING": "A test.",
}
_OWN_QUESTIONS = frozenset(("name", "email", "location", "guests", "rescheduleReason", "title"))


class CalCom(Scheduler):
    kind = "cal_com"
    source = "cal.com"

    def verify(self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        given = headers.get("x-cal-signature-256", "").strip()
        if not given:
            raise BadSignature("The header X-Cal-Signature-256 is missing: give the webhook a secret in Cal.com.")
        if not any(base.same(base.hex_hmac(secret, body), given) for secret in secrets):
            raise BadSignature("X-Cal-Signature-256 is not the body's signature with this source's secret.")
        made = base.moment(base.load(body), "createdAt")
        if made is not None:
            base.check_age(made, now, OLDEST)

    def read(self, data: Mapping[str, Any]) -> SchedulerEvent:
        type_ = base.required(data, "triggerEvent")
        occurred_at = base.moment(data, "createdAt")
        what = _WHAT.get(type_, What.NOTHING)
        if what is What.NOTHING:
            note = _NOTES.get(type_, f"{type_} says nothing about a booking.")
            return SchedulerEvent(what, type_, occurred_at, note=note)
        payload = base.mapping(data, "payload") or data  # meetings' own events have their fields at the top
        if what is What.NO_SHOW:
            return _no_show(type_, occurred_at, payload)
        return SchedulerEvent(
            what,
            type_,
            occurred_at,
            _meeting(payload),
            reason=base.text(payload, "cancellationReason", 5_000) or base.text(payload, "rejectionReason", 5_000),
            by=base.text(payload, "cancelledBy", 254),
        )


def _meeting(payload: Mapping[str, Any]) -> Meeting:
    attendees = base.mappings(payload, "attendees")
    first = attendees[0] if attendees else {}
    responses = base.mapping(payload, "responses")
    call = base.mapping(payload, "videoCallData")
    link = base.text(call, "url") or base.text(base.mapping(payload, "metadata"), "videoCallUrl")
    location = base.text(payload, "location")
    return Meeting(
        external_id=base.required(payload, "uid"),
        former_id=base.text(payload, "rescheduleUid", 255),
        event_types=tuple(name for name in (base.text(payload, "eventTypeId"), base.text(payload, "type")) if name),
        name=base.text(first, "name", 200) or base.text(base.mapping(responses, "name"), "value", 200),
        email=base.text(first, "email", 254) or base.text(base.mapping(responses, "email"), "value", 254),
        phone=base.text(first, "phoneNumber", 32)
        or base.text(base.mapping(responses, "attendeePhoneNumber"), "value", 32)
        or base.text(base.mapping(responses, "smsReminderNumber"), "value", 32),
        timezone=base.text(first, "timeZone", 64) or "UTC",
        start=base.moment(payload, "startTime"),
        end=base.moment(payload, "endTime"),
        attendees=max(1, len(attendees)),
        answers=base.answers([*_answers(responses), *_answers(base.mapping(payload, "userFieldsResponses"))]),
        link=link or (location if location.startswith(("https://", "http://")) else ""),
        meeting_id=base.text(call, "id", 200),
        password=base.text(call, "password", 200),
    )


def _answers(responses: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (key, value.get("value") if isinstance(value, dict) else value)
        for key, value in responses.items()
        if key not in _OWN_QUESTIONS
    ]


def _no_show(type_: str, occurred_at: datetime | None, payload: Mapping[str, Any]) -> SchedulerEvent:
    attendees = base.mappings(payload, "attendees")
    absent = any(one.get("noShow") is True for one in attendees)
    uid = base.text(payload, "bookingUid", 255) or base.required(payload, "uid")
    return SchedulerEvent(What.NO_SHOW if absent else What.ATTENDED, type_, occurred_at, Meeting(uid))
