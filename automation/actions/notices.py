"""One message to one person, sent from any activity: its row first, then the provider, and once for each step.

    answer = notices.email("ina@example.com", "Your session", "…")

Nothing goes to an address that is suppressed for the organizer whose execution it is. What organizers' workflows send
goes through `automation.actions.messages` instead, which asks for people's wishes too.
"""

from __future__ import annotations

import uuid
from typing import Any

from automation.actions import deliveries, suppressions
from automation.durable import activity
from automation.durable.exceptions import ApplicationError
from automation.models import Channel, NotificationLog, NotificationStatus, WorkflowExecution
from automation.providers import email as mail
from automation.providers.sms import BadPhone, SmsFailed, SmsMessage, SmsRefused, parse_phone
from automation.providers.sms import send_sms as send_text

Answer = dict[str, Any]


def email(
    to: str,
    subject: str,
    body: str,
    *,
    html: str = "",
    reply_to: str = "",
    from_email: str = "",
    calendar: mail.CalendarFile | None = None,
    key: str = "",
    organizer_id: int | None = None,
) -> Answer:
    """status "sent", "already_sent" by an earlier attempt of this step, or "suppressed" (nothing goes to that address;
    `reason` says why); `to` and `message_id`. `key` makes the Message-ID: the step's where empty, and of its own for
    every call outside of an activity. `organizer_id`: whose message it is; the execution's organizer's where None.

    Raises ApplicationError: RecipientRefused is final, DeliveryFailed is not.
    """
    message = mail.Email(
        to=to,
        subject=subject,
        text=body,
        html=html,
        reply_to=reply_to,
        from_email=from_email,
        calendar=calendar,
        idempotency_key=key or _key(),
    )
    row = _row(Channel.EMAIL, deliveries.Draft(to, mail.one_line(subject), body), organizer_id)
    if row is not None and row.status in deliveries.DONE:
        return {**_already(row), "to": to, "message_id": row.provider_id}
    if row is not None and (reason := _kept_back(row)):
        return {"status": "suppressed", "reason": reason, "to": to, "message_id": ""}
    retried = row is not None and row.status == NotificationStatus.BOUNCED
    try:
        message_id = mail.send(message)
    except mail.EmailRefused as error:
        raise _refused(row, error.message, error.suppress) from error
    except mail.EmailFailed as error:
        raise _failed(row, error.message) from error
    if row is not None:
        _sent(row, message_id, retried)
    return {"status": "sent", "to": to, "message_id": message_id}


def sms(to: str, text: str, *, timezone: str = "", key: str = "", organizer_id: int | None = None) -> Answer:
    """status "sent", "already_sent" or "suppressed" as of `email`; `to` as E.164 and `provider_id`. A number without
    its country code is read as of the time zone's country.

    Raises ApplicationError: BadPhone and RecipientRefused are final, DeliveryFailed is not.
    """
    try:
        number = parse_phone(to, timezone).e164
    except BadPhone as error:
        raise ApplicationError(error.message, type="BadPhone", non_retryable=True) from error
    row = _row(Channel.SMS, deliveries.Draft(number, "", text), organizer_id)
    if row is not None and row.status in deliveries.DONE:
        return {**_already(row), "to": number, "provider_id": row.provider_id}
    if row is not None and (reason := _kept_back(row)):
        return {"status": "suppressed", "reason": reason, "to": number, "provider_id": ""}
    retried = row is not None and row.status == NotificationStatus.BOUNCED
    try:
        since = row.created_at if row is not None and activity.info().attempt > 1 else None
        receipt = send_text(SmsMessage(to=number, text=text, idempotency_key=key or _key(), since=since))
    except SmsRefused as error:
        raise _refused(row, error.message, error.suppress) from error
    except SmsFailed as error:
        raise _failed(row, error.message, error) from error
    if row is not None:
        _sent(row, receipt.provider_id, retried)
    return {"status": "sent", "to": number, "provider_id": receipt.provider_id}


def execution_id() -> uuid.UUID | None:
    """The execution at work; an activity that a test runs by itself has none."""
    found = activity.info().execution_id if activity.in_activity() else None
    return found if found is not None and found.int else None


def _key() -> str:
    return activity.info().idempotency_key if activity.in_activity() else uuid.uuid4().hex


def _row(channel: Channel, draft: deliveries.Draft, organizer_id: int | None) -> NotificationLog | None:
    """This step's row; None outside of an execution."""
    execution = execution_id()
    if execution is None:
        return None
    if organizer_id is None:
        organizer_id = WorkflowExecution.objects.filter(id=execution).values_list("organizer_id", flat=True).first()
    rows = deliveries.rows_of(execution, activity.info().seq, channel, [draft], organizer_id)
    return rows[deliveries.recipient_key(draft.recipient)]


def _already(row: NotificationLog) -> Answer:
    """What an earlier attempt came to."""
    if row.status == NotificationStatus.SUPPRESSED:
        return {"status": "suppressed", "reason": row.error}
    return {"status": "already_sent"}


def _kept_back(row: NotificationLog) -> str:
    """Why the message is not sent, written into its row; the empty string where it is."""
    if row.organizer_id is None:
        return ""
    found = suppressions.reasons(row.organizer_id, row.channel, {row.recipient: row})
    reason = found.get(row.recipient.lower(), "")
    if reason:
        deliveries.mark(row, NotificationStatus.SUPPRESSED, reason)
    return reason


def _sent(row: NotificationLog, provider_id: str, retried: bool) -> None:
    deliveries.mark_sent(row, provider_id)
    if retried:
        suppressions.got_through(row)


def _refused(row: NotificationLog | None, message: str, reason: str) -> ApplicationError:
    if row is not None:
        deliveries.mark(row, NotificationStatus.BOUNCED, message)
        if reason and row.organizer_id is not None:
            suppressions.suppress(row.organizer_id, row.channel, row.recipient, reason, message, row)
    return ApplicationError(message, type="RecipientRefused", non_retryable=True)


def _failed(row: NotificationLog | None, message: str, error: SmsFailed | None = None) -> ApplicationError:
    if row is not None:
        deliveries.mark(row, NotificationStatus.FAILED, message)
    wait = error.retry_after if error is not None else None
    return ApplicationError(message, type="DeliveryFailed", next_retry_delay=wait)
