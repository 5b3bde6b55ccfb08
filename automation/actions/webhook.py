"""POSTs a booking's facts to a URL, signed as Standard Webhooks has it.

Retry schedule: up to 12 attempts, 2 s after the first, then doubling up to 10 min: 2 s, 4 s, 8 s … 512 s, 600 s,
600 s, 37 min in all. An answer's Retry-After takes the policy's place, up to an hour. Each attempt has 10 s.

What is retried, what is not, and what waits without an attempt: see `automation.actions.outgoing`.

The body is made once and kept, so its bytes are the same at every attempt, and so are `webhook-id` and
`Idempotency-Key`; `webhook-timestamp` and with it `webhook-signature` are each attempt's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from standardwebhooks.webhooks import Webhook as Signer

from automation import clock, outbound, secrets
from automation.actions.base import ActionProblem, ConfigField, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.nested import check_nested, render_nested
from automation.actions.outgoing import Outgoing, Post
from automation.actions.report import Report
from automation.durable.common import RetryPolicy
from automation.models import Channel

BASE_FIELDS = (
    "action", "workflow_id", "workflow_name", "booking_id", "event_type_name", "organizer_email", "invitee_name",
    "invitee_email", "start_time", "end_time", "duration_minutes", "status", "timestamp",
)  # fmt: skip
MAX_BODY = 1_000_000
"""Bytes of JSON."""


class Webhook(Outgoing):
    name = "webhook"
    label = "Call webhook"
    description = "POSTs the booking as signed JSON to a URL."
    activity = "execute_webhook_action"
    retry_policy = RetryPolicy(
        initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=10), maximum_attempts=12
    )
    timeout = timedelta(minutes=1)
    fields = (
        ConfigField("webhook_url", "URL", "url", required=True, help="http or https, to a public address."),
        ConfigField("webhook_data", "Further data", "json", help="Texts in it are templates, at any depth."),
        ConfigField("webhook_secret", "Signing secret", "secret", help="whsec_… ; without one, calls are not signed."),
    )

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        post = Post(
            Channel.WEBHOOK,
            invocation.action.webhook_url,
            body=partial(_body, invocation, report),
            headers=partial(_headers, invocation),
        )
        return self.post(invocation, post, report)

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        problems: list[ActionProblem] = []
        if not config.webhook_url:
            problems.append(ActionProblem("webhook_url", "A URL is required."))
        else:
            try:
                outbound.parse_target(config.webhook_url)
            except outbound.OutboundRefused as error:
                problems.append(ActionProblem("webhook_url", error.message))
            if config.webhook_url.lower().startswith("http:"):
                problems.append(
                    ActionProblem("webhook_url", "Use https, so that nobody reads along.", severity="warning")
                )
        problems += check_nested("webhook_data", config.webhook_data, templates)
        if isinstance(config.webhook_data, dict):
            problems += [
                ActionProblem(f"webhook_data.{name}", f"{name} is one of Weir's own fields and cannot be overwritten.")
                for name in config.webhook_data
                if name in BASE_FIELDS
            ]
        if not config.webhook_secret_encrypted:
            problems.append(
                ActionProblem(
                    "webhook_secret", "Without a secret the receiver cannot tell who is calling.", severity="warning"
                )
            )
        return problems

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        preview.recipients = [config.webhook_url] if config.webhook_url else []
        own = {
            "action": config.name,
            "booking_id": context.get("booking_id"),
            "event_type_name": context.get("event_type_name"),
            "organizer_email": context.get("organizer_email"),
            "invitee_name": context.get("invitee_name"),
            "invitee_email": context.get("invitee_email"),
            "start_time": _iso(context.get("start_time")),
            "end_time": _iso(context.get("end_time")),
            "duration_minutes": context.get("duration"),
            "status": context.get("booking_status"),
            "timestamp": _iso(clock.now()),
        }
        data = config.webhook_data if isinstance(config.webhook_data, dict) else {}
        preview.rendered["body"] = secrets.masked({**render_nested(data, context, preview.fallbacks), **own})


def _body(invocation: Invocation, report: Report) -> str:
    body = json.dumps(_payload(invocation, report), separators=(",", ":"))
    if len(body) > MAX_BODY:
        raise report.failure(f"The body has {len(body):,} bytes; at most {MAX_BODY:,} are sent.", "BodyTooLarge")
    return body


def _payload(invocation: Invocation, report: Report) -> dict[str, Any]:
    booking, data = invocation.booking, invocation.action.webhook_data
    own = {
        "action": invocation.action.name,
        "workflow_id": str(invocation.workflow_id),
        "workflow_name": invocation.workflow_name,
        "booking_id": str(booking.id),
        "event_type_name": booking.event_type.name,
        "organizer_email": booking.organizer.email,
        "invitee_name": booking.invitee_name,
        "invitee_email": booking.invitee_email,
        "start_time": _iso(booking.start_time),
        "end_time": _iso(booking.end_time),
        "duration_minutes": booking.duration_minutes,
        "status": booking.status,
        "timestamp": _iso(invocation.now),
    }
    if not isinstance(data, dict):
        raise report.failure("webhook_data must be a JSON object.", "BadConfiguration")
    for name in sorted(set(data) & set(own)):
        report.notes.append(f"webhook_data.{name} was left out: {name} is one of Weir's own fields.")
    extra = render_nested({name: value for name, value in data.items() if name not in own}, invocation.context)
    return {**own, **extra}


def _headers(invocation: Invocation, body: bytes) -> Mapping[str, str]:
    key, now = invocation.idempotency_key, clock.now()
    headers = {
        "Idempotency-Key": key,
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    secret = secrets.decrypt(invocation.action.webhook_secret_encrypted)
    if secret:
        headers["webhook-signature"] = Signer(secret).sign(key, now, body.decode("ascii"))
    return headers


def _iso(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value or "")
