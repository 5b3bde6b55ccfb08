"""Posts a message to a Slack channel, through an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

The webhook's URL is the channel's key: it is stored encrypted, as the action's secret, and shown to nobody.

Retry schedule: up to 8 attempts, 2 s after the first, then doubling up to 10 min, or as Slack's Retry-After asks. What
is retried, what is not, and what waits without an attempt: see `automation.actions.outgoing`. Slack answers 410 for an
archived channel: the action is switched off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from automation import outbound, secrets
from automation.actions.base import ActionProblem, ConfigField, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.outgoing import Outgoing, Post
from automation.actions.report import Report
from automation.durable.common import RetryPolicy
from automation.errors import InvalidInput
from automation.models import Channel
from automation.rules import templating

MAX_TEXT = 40_000
"""Characters that Slack takes."""


class SlackMessage(Outgoing):
    name = "slack_message"
    label = "Send Slack message"
    description = "Posts a message to a Slack channel."
    activity = "execute_slack_action"
    retry_policy = RetryPolicy(
        initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=10), maximum_attempts=8
    )
    timeout = timedelta(minutes=1)
    fields = (
        ConfigField(
            "webhook_secret", "Webhook URL", "secret", required=True, help="https://hooks.slack.com/services/…"
        ),
        ConfigField("message", "Message", "template", required=True, help="Slack's mrkdwn: *bold*, <https://…|link>."),
    )

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        try:
            url = secrets.decrypt(invocation.action.webhook_secret_encrypted)
        except secrets.CannotDecrypt as error:
            raise report.failure(error.message, "CannotDecrypt") from error
        if not url:
            raise report.failure("The action has no webhook URL.", "BadConfiguration")
        post = Post(Channel.SLACK, url, partial(_body, invocation, report), _headers, shown=_shown(url), once=True)
        return self.post(invocation, post, report)

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        problems: list[ActionProblem] = []
        if not config.webhook_secret_encrypted:
            # No error: a workflow that was exported and comes back has left its secrets behind.
            problem = "It needs the URL of an incoming webhook, and fails until it has one."
            problems.append(ActionProblem("webhook_secret", problem, severity="warning"))
        if not config.message.strip():
            problems.append(ActionProblem("message", "A message is required."))
        else:
            problems += templates("message", config.message)
        return problems

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        preview.rendered["text"] = preview.used(templating.render_text(config.message, escaped(context)))

    def check_secret(self, text: str) -> str:
        """An http(s) URL, stripped. Raises InvalidInput."""
        url = text.strip()
        try:
            outbound.parse_target(url)
        except outbound.OutboundRefused:
            # What was given is not repeated: it may be a key with a typing error.
            problem = "Expected the URL of an incoming webhook, https://hooks.slack.com/services/…"
            raise InvalidInput(problem, {"webhook_secret": [problem]}) from None
        return url


def escaped(value: Any) -> Any:
    """A context whose texts are taken literally: nobody's name mentions a channel or becomes a link."""
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, Mapping):
        return {name: escaped(item) for name, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value


def _body(invocation: Invocation, report: Report) -> str:
    text = templating.render_text(invocation.action.message, escaped(invocation.context)).text
    if not text.strip():
        raise report.failure("The message is empty.", "EmptyMessage")
    if len(text) > MAX_TEXT:
        raise report.failure(f"The message has {len(text):,} characters; Slack takes {MAX_TEXT:,}.", "MessageTooLong")
    return json.dumps({"text": text})


def _headers(body: bytes) -> Mapping[str, str]:
    return {}


def _shown(url: str) -> str:
    """The host, and the end of the URL masked, which tells two channels apart."""
    return f"{outbound.parse_target(url).host_header}/{secrets.mask(url)}"
