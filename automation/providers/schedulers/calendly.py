"""Calendly: `Calendly-Webhook-Signature: t=…,v1=…`, the HMAC-SHA256 of "t.body", in hex.
https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures

A meeting that is moved comes as two events, in either order: `invitee.canceled` with `rescheduled: true`, from which
nothing follows here, and `invitee.created` whose `old_invitee` is the former one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from automation.providers.schedulers import base
from automation.providers.schedulers.base import BadSignature, Meeting, Scheduler, SchedulerEvent, What

MAX_SIGNATURES = 5


class Calendly(Scheduler):
    kind = "calendly"
    source = "calendly"

    def verify(self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        header = headers.get("calendly-webhook-signature", "")
        parts = [part.strip().partition("=") for part in header.split(",")]
        stamp = next((value for name, _, value in parts if name == "t"), "")
        given = [value for name, _, value in parts if name == "v1"][:MAX_SIGNATURES]
        if not stamp or not given:
            raise BadSignature("The header Calendly-Webhook-Signature is missing, or is not 't=…,v1=…'.")
        signed_at = base.seconds_since_epoch(stamp)
        expected = [base.hex_hmac(secret, stamp.encode() + b"." + body) for secret in secrets]
        if not any(base.same(one, other) for one in expected for other in given):
            raise BadSignature("Calendly-Webhook-Signature is not the body's signature with this source's signing key.")
        base.check_age(signed_at, now)

    def read(self, data: Mapping[str, Any]) -> SchedulerEvent:
        type_ = base.required(data, "event")
        payload = base.mapping(data, "payload")
        occurred_at = base.moment(data, "created_at")
        match type_:
            case "invitee.created":
                meeting = _meeting(payload)
                what = What.RESCHEDULED if meeting.former_id else What.CREATED
                return SchedulerEvent(what, type_, occurred_at, meeting)
            case "invitee.canceled" if payload.get("rescheduled") is True:
                note = "It was moved: invitee.created with the new time says where to."
                return SchedulerEvent(What.NOTHING, type_, occurred_at, note=note)
            case "invitee.canceled":
                cancellation = base.mapping(payload, "cancellation")
                return SchedulerEvent(
                    What.CANCELLED,
                    type_,
                    occurred_at,
                    _meeting(payload),
                    reason=base.text(cancellation, "reason", 5_000),
                    by=base.text(cancellation, "canceled_by", 254),
                )
            case "invitee_no_show.created" | "invitee_no_show.deleted":
                what = What.NO_SHOW if type_.endswith("created") else What.ATTENDED
                invitee = payload.get("invitee")
                uri = invitee if isinstance(invitee, str) else base.required(payload, "uri")
                return SchedulerEvent(what, type_, occurred_at, Meeting(uri[:255]))
        return SchedulerEvent(What.NOTHING, type_, occurred_at, note=f"{type_} says nothing about a booking.")


def _meeting(payload: Mapping[str, Any]) -> Meeting:
    scheduled = base.mapping(payload, "scheduled_event")
    location = base.mapping(scheduled, "location")
    event_type = base.text(scheduled, "event_type")
    questions = base.mappings(payload, "questions_and_answers")
    names = (event_type, event_type.rstrip("/").rsplit("/", 1)[-1], base.text(scheduled, "name"))
    return Meeting(
        external_id=base.required(payload, "uri"),
        former_id=base.text(payload, "old_invitee", 255),
        event_types=tuple(name for name in names if name),
        name=base.text(payload, "name", 200)
        or f"{base.text(payload, 'first_name', 100)} {base.text(payload, 'last_name', 100)}".strip(),
        email=base.text(payload, "email", 254),
        phone=base.text(payload, "text_reminder_number", 32),
        timezone=base.text(payload, "timezone", 64) or "UTC",
        start=base.moment(scheduled, "start_time"),
        end=base.moment(scheduled, "end_time"),
        answers=base.answers([(base.text(one, "question"), one.get("answer")) for one in questions]),
        link=base.text(location, "join_url"),
        meeting_id=base.text(base.mapping(location, "data"), "id", 200),
        password=base.text(base.mapping(location, "data"), "password", 200),
    )
