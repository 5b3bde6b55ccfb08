"""Sends an email to the organizer, the invitee, both, or an address of one's own.

Retry schedule: up to 10 attempts, 5 s after the first, then doubling: 5 s, 10 s, 20 s, 40 s, 80 s, 160 s, 320 s,
640 s, 1280 s, so over three quarters of an hour, which outlasts a restart of the mail server and ordinary greylisting.
Retried: no connection, a 4xx answer. Not retried: a recipient or message that the server refuses with 5xx, a template
that does not render. Each recipient's message is an SMTP transaction of its own; who got it gets no second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from automation.actions import people
from automation.actions.base import ActionProblem, ActionType, ConfigField, Preview, TemplateCheck
from automation.actions.bodies import is_html, render_bodies
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.messages import Letter, deliver
from automation.actions.report import Outcome, Report
from automation.actions.unsubscribe import unsubscribe_url
from automation.durable.common import RetryPolicy
from automation.models import Channel, Recipient
from automation.providers.email import Email, MailConnection, one_line, send
from automation.rules import templating

RECIPIENTS = dict(Recipient.choices)
DEFAULT_SUBJECT = "{{ event_type_name }}"


class SendEmail(ActionType):
    name = "send_email"
    label = "Send email"
    description = "Emails the organizer, the invitee, both, or another address."
    activity = "execute_email_action"
    retry_policy = RetryPolicy(
        initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=30), maximum_attempts=10
    )
    timeout = timedelta(minutes=2)
    fields = (
        ConfigField("recipient", "To", "choice", required=True, choices=RECIPIENTS),
        ConfigField("custom_email", "Address", "email", help="Where the recipient is 'custom'."),
        ConfigField("subject", "Subject", "template", help="Without one, the event type's name."),
        ConfigField("message", "Message", "html", required=True, help="Plain text, or HTML."),
    )

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        action = invocation.action
        subject = templating.render_subject(action.subject or DEFAULT_SUBJECT, invocation.context).text
        bodies = render_bodies(action.message, invocation.context)
        report.rendered = {"subject": subject, "text": bodies.text, "html": bodies.html}
        organizer = invocation.booking.organizer
        with MailConnection() as connection:
            letters: dict[str, Letter] = {}
            for person in people.of_booking(action, invocation.booking):
                address = person.email.strip()
                if not address:
                    report.recipients.append(
                        Outcome(person.role, "missing", f"The {person.role} has no email address.")
                    )
                    report.notes.append(f"The {person.role} has no email address.")
                    continue
                email = Email(
                    to=address,
                    subject=subject,
                    text=bodies.text,
                    html=bodies.html,
                    idempotency_key=invocation.idempotency_key,
                    reply_to="" if person.role == "organizer" else organizer.email,
                    unsubscribe_url=unsubscribe_url(organizer.pk, address.lower()),
                )
                # Organizer and invitee may be one person, who gets one message.
                letters.setdefault(
                    address.lower(),
                    Letter(address, one_line(subject), bodies.text, partial(send, email, connection)),
                )
            if not letters:
                raise report.failure("There is nobody to send this email to.", "NoRecipient")
            return deliver(invocation, Channel.EMAIL, list(letters.values()), report)

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        problems = check_recipient(config)
        if config.recipient == Recipient.CUSTOM:
            if not config.custom_email:
                problems.append(ActionProblem("custom_email", "An address is required for a custom recipient."))
            else:
                try:
                    validate_email(config.custom_email)
                except ValidationError:
                    problems.append(ActionProblem("custom_email", f"{config.custom_email!r} is not an email address."))
        if not config.message:
            problems.append(ActionProblem("message", "A message is required."))
        else:
            problems += templates("message", config.message, html=is_html(config.message))
        if config.subject:
            problems += templates("subject", config.subject)
        else:
            problems.append(
                ActionProblem("subject", "Without a subject, the event type's name is used.", severity="warning")
            )
        return problems

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        preview.recipients = [person.email for person in people.of_context(config, context) if person.email]
        preview.rendered["subject"] = preview.used(
            templating.render_subject(config.subject or DEFAULT_SUBJECT, context)
        )
        bodies = render_bodies(config.message, context)
        preview.used(templating.Rendered(bodies.text, bodies.fallbacks_used))
        preview.rendered |= {"text": bodies.text, "html": bodies.html}


def check_recipient(config: ActionConfig) -> list[ActionProblem]:
    """What is wrong with `recipient`."""
    if config.recipient in RECIPIENTS:
        return []
    return [ActionProblem("recipient", f"{config.recipient!r} is none of {', '.join(RECIPIENTS)}.")]
