"""Alerts: opened once per problem, mailed to the organizer and the admins, closed when the problem has ended."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db.models import Q

from automation import clock
from automation.actions import suppressions
from automation.alarms import MAIL_TASK, close_alert, close_all_but, open_alert
from automation.models import Alert, Channel, NotificationLog, NotificationStatus, User
from automation.providers.email import Email, EmailFailed, EmailRefused, MailConnection, send

__all__ = ["MAIL_TASK", "close_alert", "close_all_but", "mail_open_alerts", "open_alert"]

logger = logging.getLogger(__name__)

MAIL_BATCH = 100
"""Alerts mailed in one go."""

MAX_FAILURES = 5
"""Mails that fail before the rest waits for the next time."""


def mail_open_alerts() -> int:
    """Mail the alerts that were not mailed yet, however they were opened; returns how many mails went out.

    What fails for now is tried again with the next call. A recipient who has got the mail does not get it again, and
    one who is refused for good holds nobody up.
    """
    sent = failed = 0
    alerts = Alert.objects.filter(mailed_at=None, closed_at=None).select_related("workflow__organizer")
    with MailConnection() as connection:
        for alert in alerts.order_by("opened_at")[:MAIL_BATCH]:
            results = [_mail(alert, recipient, connection) for recipient in _recipients(alert)]
            sent += results.count(NotificationStatus.SENT)
            if NotificationStatus.PENDING not in results:
                Alert.objects.filter(pk=alert.pk).update(mailed_at=clock.now())
            failed += results.count(NotificationStatus.PENDING)
            if failed > MAX_FAILURES:  # the server is away, and each attempt may take EMAIL_TIMEOUT
                break
    return sent


def _recipients(alert: Alert) -> list[User]:
    """The workflow's organizer, and the admins."""
    concerned = Q(is_superuser=True)
    if alert.workflow is not None:
        concerned |= Q(pk=alert.workflow.organizer_id)
    return list(User.objects.filter(concerned, is_active=True).order_by("pk"))


def _mail(alert: Alert, recipient: User, connection: MailConnection) -> NotificationStatus | None:
    """Send to one; None where that had been dealt with before, and PENDING where it is to be tried again. An address
    that mails come back from gets none: the alert itself stays open in `alerts/`."""
    name = alert.workflow.name if alert.workflow else ""
    link = f"{settings.PUBLIC_URL}/workflows/{alert.workflow_id}/" if alert.workflow else settings.PUBLIC_URL
    email = Email(
        to=recipient.email,
        subject=f"[Weir] {alert.get_severity_display()}: {alert.message}"[:200],
        text="\n".join(
            [alert.message, "", *([f"Workflow: {name}"] if name else []), f"Since: {alert.opened_at:%F %T} UTC", link]
        ),
        idempotency_key=f"alert:{alert.pk}",
    )
    log, created = NotificationLog.objects.get_or_create(
        channel=Channel.EMAIL,
        recipient=recipient.email,
        provider_id=email.message_id,
        defaults={
            "organizer": recipient,
            "execution_id": alert.execution_id,
            "subject": email.subject,
            "body": email.text,
        },
    )
    if not created and log.status != NotificationStatus.PENDING:
        return None
    kept_back = suppressions.reasons(recipient.pk, Channel.EMAIL, {log.recipient: log}).get(log.recipient.lower())
    if kept_back:
        log.status, log.error = NotificationStatus.SUPPRESSED, kept_back
        log.save(update_fields=["status", "error"])
        return NotificationStatus.SUPPRESSED
    log.attempts += 1
    try:
        send(email, connection)
    except EmailRefused as error:
        log.status, log.error = NotificationStatus.BOUNCED, error.message
        if error.suppress:
            suppressions.suppress(recipient.pk, Channel.EMAIL, log.recipient, error.suppress, error.message, log)
    except EmailFailed as error:
        log.error = error.message
        logger.warning("the alert %s could not be mailed to %s: %s", alert.pk, recipient.email, error.message)
    else:
        log.status, log.error, log.sent_at = NotificationStatus.SENT, "", clock.now()
    log.save(update_fields=["attempts", "status", "error", "sent_at"])
    return NotificationStatus(log.status)
