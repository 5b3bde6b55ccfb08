"""POSTs a booking's facts to a URL, signed as Standard Webhooks has it.

Retry schedule: up to 12 attempts, 2 s after the first, then doubling up to 10 min: 2 s, 4 s, 8 s … 512 s, 600 s,
600 s, 37 min in all. An answer's Retry-After takes the policy's place, up to an hour. Each attempt has 10 s.

Retried: no connection, no whole answer in time, 408, 425, 429 and 5xx. Not retried: other 4xx, redirects (which are
not followed), addresses that Weir does not call. 410 says that nobody listens there any more: the action is switched
off, with the reason, and what is under way for it is skipped.

The body is made once and kept, so its bytes are the same at every attempt, and so are `webhook-id` and
`Idempotency-Key`; `webhook-timestamp` and with it `webhook-signature` are each attempt's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from standardwebhooks.webhooks import Webhook as Signer

from automation import clock, outbound, secrets
from automation.actions import deliveries
from automation.actions.base import ActionProblem, ActionType, ConfigField, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.nested import check_nested, render_nested
from automation.actions.report import Outcome, Report
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from automation.models import Channel, NotificationStatus, WorkflowAction
from automation.outbound.waits import retry_after

BASE_FIELDS = (
    "action", "workflow_id", "workflow_name", "booking_id", "event_type_name", "organizer_email", "invitee_name",
    "invitee_email", "start_time", "end_time", "duration_minutes", "status", "timestamp",
)  # fmt: skip
MAX_BODY = 1_000_000
"""Bytes of JSON."""
RETRIED = frozenset((408, 425, 429))


class Webhook(ActionType):
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
        action = invocation.action
        if reason := _switched_off(action.id):
            return report.skipped(f"The action has been switched off: {reason}")
        payload = _payload(invocation, report)
        body = json.dumps(payload, separators=(",", ":"))
        if len(body) > MAX_BODY:
            raise report.failure(f"The body has {len(body):,} bytes; at most {MAX_BODY:,} are sent.", "BodyTooLarge")
        draft = deliveries.Draft(action.webhook_url, body=body)
        row = deliveries.find_or_create(invocation, Channel.WEBHOOK, [draft])[
            deliveries.recipient_key(action.webhook_url)
        ]
        report.rendered = {"url": action.webhook_url, "body": json.loads(row.body)}
        if row.status in deliveries.DONE:
            report.recipients.append(Outcome(action.webhook_url, "already_sent", row.provider_id))
            report.notes.append("An earlier attempt had been answered already.")
            return report.result()
        try:
            response = _call(invocation, row.body.encode("ascii"))
            report.response = {
                "status": response.status,
                "body": response.body_start,
                "elapsed_ms": round(response.elapsed * 1000),
            }
            if not response.ok:
                raise _refusal(invocation, response, report)
        except outbound.OutboundError as error:
            report.recipients.append(Outcome(action.webhook_url, "failed", error.message))
            deliveries.mark(row, NotificationStatus.FAILED, error.message)
            retryable = isinstance(error, outbound.OutboundFailed)
            raise report.failure(error.message, type(error).__name__, retryable=retryable) from error
        except secrets.CannotDecrypt as error:
            deliveries.mark(row, NotificationStatus.FAILED, error.message)
            raise report.failure(error.message, "CannotDecrypt") from error
        except ApplicationError as error:
            deliveries.mark(row, NotificationStatus.FAILED, error.message)
            raise
        deliveries.mark_sent(row, f"HTTP {response.status}")
        report.recipients.append(Outcome(action.webhook_url, "sent", f"HTTP {response.status}"))
        return report.result()

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
        preview.rendered["body"] = {**render_nested(data, context, preview.fallbacks), **own}


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


def _call(invocation: Invocation, body: bytes) -> outbound.Response:
    key, now = invocation.idempotency_key, clock.now()
    headers = {
        "Idempotency-Key": key,
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    secret = secrets.decrypt(invocation.action.webhook_secret_encrypted)
    if secret:
        headers["webhook-signature"] = Signer(secret).sign(key, now, body.decode("ascii"))
    return outbound.post_json(invocation.action.webhook_url, body, headers)


def _refusal(invocation: Invocation, response: outbound.Response, report: Report) -> ApplicationError:
    """The failure that an answer other than 2xx is."""
    status, url = response.status, invocation.action.webhook_url
    report.recipients.append(Outcome(url, "failed", f"HTTP {status}"))
    if status == 410:
        _switch_off(invocation.action.id, f"{url} answered 410 Gone.")
        return report.failure("The receiver answered 410 Gone; the action has been switched off.", "Gone")
    if 300 <= status < 400:
        location = response.headers.get("location", "")[:200]
        return report.failure(f"The receiver answered {status}; redirects are not followed ({location}).", "Redirect")
    retryable = status >= 500 or status in RETRIED
    after = retry_after(response.headers.get("retry-after", ""), clock.now()) if retryable else None
    return report.failure(f"The receiver answered {status}.", f"HTTP{status}", retryable=retryable, after=after)


def _switched_off(action_id: str) -> str:
    """Why Weir switched the live action off, which also holds for executions of older versions."""
    reasons = WorkflowAction.objects.filter(id=action_id, is_active=False).exclude(disabled_reason="")
    return reasons.values_list("disabled_reason", flat=True).first() or ""


def _switch_off(action_id: str, reason: str) -> None:
    WorkflowAction.objects.filter(id=action_id, is_active=True).update(is_active=False, disabled_reason=reason)


def _iso(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value or "")
