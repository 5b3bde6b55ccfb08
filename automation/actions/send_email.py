"""Sends an email to the organizer, the invitee, both, or an address of one's own.

Retry schedule: up to 10 attempts, 5 s after the first, then doubling: 5 s, 10 s, 20 s, 40 s, 80 s, 160 s, 320 s,
640 s, 1280 s, so over three quarters of an hour, which outlasts a restart of the mail server and ordinary greylisting.
Retried: no connection, a 4xx answer. Not retried: a recipient or message that the server refuses with 5xx, a template
that does not render. Each recipient's message is an SMTP transaction of its own; who got it gets no second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from automation.actions import people, tracking
from automation.actions.base import ActionProblem, ActionType, ConfigField, Preview, TemplateCheck
from automation.actions.bodies import is_html, render_bodies
from automation.actions.config import ActionConfig
from automation.actions.invites import calendar_file
from automation.actions.invocation import Invocation
from automation.actions.layout import Surroundings, page
from automation.actions.messages import RETRY_POLICY, Letter, deliver
from automation.actions.report import Outcome, Report
from automation.actions.unsubscribe import unsubscribe_url
from automation.models import Channel, NotificationLog, Recipient
from automation.providers.email import Email, MailConnection, one_line, send
from automation.rules import templating

RECIPIENTS = dict(Recipient.choices)
DEFAULT_SUBJECT = "{{ event_type_name }}"
OPTIONS = ("calendar", "tracking")
OPTIONS_HELP = (
    '{"calendar": true} attaches the booking as a calendar file; {"tracking": true} notes when the message is opened '
    "and its links are clicked."
)


class SendEmail(ActionType):
    name = "send_email"
    label = "Send email"
    description = "Emails the organizer, the invitee, both, or another address."
    activity = "execute_email_action"
    retry_policy = RETRY_POLICY
    timeout = timedelta(minutes=2)
    fields = (
        ConfigField("recipient", "To", "choice", required=True, choices=RECIPIENTS),
        ConfigField("custom_email", "Address", "email", help="Where the recipient is 'custom'."),
        ConfigField("subject", "Subject", "template", help="Without one, the event type's name."),
        ConfigField("message", "Message", "html", required=True, help="Plain text, or HTML."),
        ConfigField("config", "Options", "json", help=OPTIONS_HELP),
    )

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        action = invocation.action
        subject = templating.render_subject(action.subject or DEFAULT_SUBJECT, invocation.context).text
        bodies = render_bodies(action.message, invocation.context)
        report.rendered = {"subject": subject, "text": bodies.text, "html": bodies.html}
        organizer = invocation.booking.organizer
        calendar = calendar_file(invocation.booking) if _option(action, "calendar") else None
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
                    calendar=calendar,
                )
                draft = _Draft(email, organizer.get_full_name() or organizer.email, tracking.wanted(action))
                # Organizer and invitee may be one person, who gets one message.
                letters.setdefault(
                    address.lower(),
                    Letter(
                        address,
                        one_line(subject),
                        bodies.text,
                        partial(_send, draft, connection),
                        email.message_id,
                        person.timezone,
                    ),
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
        return problems + _option_problems(config.config)

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        preview.recipients = [person.email for person in people.of_context(config, context) if person.email]
        preview.rendered["subject"] = preview.used(
            templating.render_subject(config.subject or DEFAULT_SUBJECT, context)
        )
        bodies = render_bodies(config.message, context)
        preview.used(templating.Rendered(bodies.text, bodies.fallbacks_used))
        around = Surroundings(
            title=preview.rendered["subject"],
            text=bodies.text,
            sender=str(context.get("organizer_name") or context.get("organizer_email") or ""),
            unsubscribe_url=f"{settings.PUBLIC_URL}/unsubscribe/",
        )
        preview.rendered |= {"text": bodies.text, "html": page(bodies.html, around)}
        if _option(config, "calendar"):
            preview.notes.append("The booking is attached as a calendar file.")
        if tracking.wanted(config):
            preview.notes.append("Opens and clicks are noted.")


@dataclass(frozen=True)
class _Draft:
    """A message without the page around it, which names the row that stands for it."""

    email: Email
    sender: str
    is_tracked: bool


def _send(draft: _Draft, connection: MailConnection, row: NotificationLog) -> str:
    email = draft.email
    around = Surroundings(
        title=one_line(email.subject),
        text=email.text,
        sender=draft.sender,
        unsubscribe_url=email.unsubscribe_url,
        pixel_url=tracking.pixel_url(row.id) if draft.is_tracked else "",
    )
    content = tracking.with_tracked_links(email.html, row.id) if draft.is_tracked else email.html
    return send(replace(email, html=page(content, around)), connection)


def _option(config: ActionConfig, name: str) -> bool:
    return isinstance(config.config, dict) and config.config.get(name) is True


def _option_problems(options: Any) -> list[ActionProblem]:
    if not isinstance(options, dict):
        return [ActionProblem("config", f"Expected a JSON object, found {type(options).__name__}.")]
    problems = [
        ActionProblem(f"config.{name}", f"There is no option {name!r}; expected one of {', '.join(OPTIONS)}.")
        for name in options
        if name not in OPTIONS
    ]
    problems += [
        ActionProblem(f"config.{name}", f"Expected true or false, found {options[name]!r:.40}.")
        for name in OPTIONS
        if name in options and not isinstance(options[name], bool)
    ]
    return problems


def check_recipient(config: ActionConfig) -> list[ActionProblem]:
    """What is wrong with `recipient`."""
    if config.recipient in RECIPIENTS:
        return []
    return [ActionProblem("recipient", f"{config.recipient!r} is none of {', '.join(RECIPIENTS)}.")]
