"""Sends an SMS to the organizer, the invitee, both, or a number of one's own.

Numbers go out as E.164. One typed without its country code is read as of the recipient's country, which the time zone
tells (see `automation.providers.sms.phones`). With `both`, one who has no usable number does not keep the message from
the other: the result says so.

Retry schedule: up to 10 attempts, 5 s after the first, then doubling up to 30 min, or when the provider asks for it.
Not retried: a number that the provider refuses, a template that does not render, nobody with a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from automation.actions import people
from automation.actions.base import ActionProblem, ActionType, ConfigField, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.messages import RETRY_POLICY, Letter, deliver
from automation.actions.people import Person
from automation.actions.report import Outcome, Report
from automation.actions.send_email import RECIPIENTS, check_recipient
from automation.models import Channel, NotificationLog, Recipient
from automation.providers.sms import BadPhone, SmsMessage, callback_url, count_segments, parse_phone, send_sms
from automation.rules import templating

MAX_SEGMENTS = 10
"""Parts of one message; providers refuse longer ones (1,600 characters), and each is charged."""


class SendSms(ActionType):
    name = "send_sms"
    label = "Send SMS"
    description = "Texts the organizer, the invitee, both, or another number."
    activity = "execute_sms_action"
    retry_policy = RETRY_POLICY
    timeout = timedelta(minutes=2)
    fields = (
        ConfigField("recipient", "To", "choice", required=True, choices=RECIPIENTS),
        ConfigField("custom_phone", "Number", "phone", help="Where the recipient is 'custom'; with its country code."),
        ConfigField("message", "Message", "template", required=True),
    )

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        text = templating.render_text(invocation.action.message, invocation.context).text
        report.rendered = _rendered(text)
        if not text.strip():
            raise report.failure("The message is empty.", "EmptyMessage")
        if report.rendered["segments"] > MAX_SEGMENTS:
            raise report.failure(
                f"The message takes {report.rendered['segments']} SMS segments; at most {MAX_SEGMENTS} are sent.",
                "MessageTooLong",
            )
        letters: dict[str, Letter] = {}
        for person in people.of_booking(invocation.action, invocation.booking):
            number = _number(person, report)
            if number:
                message = SmsMessage(to=number, text=text, idempotency_key=invocation.idempotency_key)
                letters.setdefault(
                    number,
                    Letter(number, "", text, partial(_send, message, invocation.attempt), timezone=person.timezone),
                )
        if not letters:
            reasons = " ".join(outcome.detail for outcome in report.recipients)
            raise report.failure(f"There is nobody to send this SMS to. {reasons}", "NoRecipient")
        return deliver(invocation, Channel.SMS, list(letters.values()), report)

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        problems = check_recipient(config)
        if config.recipient == Recipient.CUSTOM:
            if not config.custom_phone:
                problems.append(ActionProblem("custom_phone", "A number is required for a custom recipient."))
            elif config.custom_phone.strip().startswith("+"):
                try:
                    parse_phone(config.custom_phone)
                except BadPhone as error:
                    problems.append(ActionProblem("custom_phone", error.message))
            else:
                problems.append(
                    ActionProblem(
                        "custom_phone",
                        "A number without its country code is read as of the organizer's country.",
                        severity="warning",
                    )
                )
        if not config.message:
            problems.append(ActionProblem("message", "A message is required."))
        else:
            problems += templates("message", config.message)
        return problems

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        report = Report()
        for person in people.of_context(config, context):
            if person.role == "organizer":
                preview.recipients.append("organizer")  # whose number a context does not hold
            elif number := _number(person, report):
                preview.recipients.append(number)
        preview.notes += report.notes
        preview.rendered |= _rendered(preview.used(templating.render_text(config.message, context)))
        if preview.rendered["segments"] > 1:
            preview.notes.append(f"Sent, and charged, as {preview.rendered['segments']} SMS.")


def _send(message: SmsMessage, attempt: int, row: NotificationLog) -> str:
    since = row.created_at if attempt > 1 else None  # the row is as old as the first attempt
    return send_sms(replace(message, status_callback=callback_url(str(row.id)), since=since)).provider_id


def _rendered(text: str) -> dict[str, Any]:
    counted = count_segments(text)
    return {"text": text, "segments": counted.segments, "encoding": counted.encoding, "units": counted.units}


def _number(person: Person, report: Report) -> str:
    """The person's number, or the empty string with the reason in the report."""
    if not person.phone.strip():
        reason = f"The {person.role} has no phone number."
        report.recipients.append(Outcome(person.role, "missing", reason))
        report.notes.append(reason)
        return ""
    try:
        phone = parse_phone(person.phone, person.timezone)
    except BadPhone as error:
        report.recipients.append(Outcome(person.phone[:40], "refused", error.message))
        report.notes.append(f"The {person.role}: {error.message}")
        return ""
    if phone.note:
        report.notes.append(f"The {person.role}: {phone.note}.")
    return phone.e164
