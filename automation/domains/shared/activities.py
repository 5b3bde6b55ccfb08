"""Activities that every worker runs, called by name from the workflows of every domain.

A message is a NotificationLog row before it goes out; a step that is tried again finds its row, and sends to nobody who
got the message. Its idempotency key travels as Message-ID, or to the SMS provider.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import F

from automation import clock
from automation.actions import notices
from automation.domains.shared.models import Event, Figure, UserProcessing
from automation.domains.shared.payloads import EmailPayload, UserProcessingPayload
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.durable.exceptions import ApplicationError
from automation.models import User

Answer = dict[str, Any]


# -- messages ----------------------------------------------------------------------------------------------------------


@activity.defn(name="send_email")
@monitored_activity(name="send_email")
def send_email(to: str, subject: str, body: str, html: str = "", reply_to: str = "") -> Answer:
    """One email to one address. status "sent", "already_sent" by an earlier attempt, or "suppressed" (the address is
    on the organizer's list; `reason`); `message_id`.

    Raises ApplicationError: RecipientRefused is final, DeliveryFailed is not.
    """
    return notices.email(to, subject, body, html=html, reply_to=reply_to)


@activity.defn(name="send_email_activity")
@monitored_activity(name="send_email_activity")
async def send_email_activity(payload: EmailPayload) -> Answer:
    """`send_email` for code that calls it with one payload, also outside of a workflow."""
    send = sync_to_async(notices.email)
    return await send(payload.to, payload.subject, payload.body, from_email=payload.from_email or "")


@activity.defn(name="send_sms")
@monitored_activity(name="send_sms")
def send_sms(to: str, message: str, timezone: str = "") -> Answer:
    """One SMS to one number, which may lack its country code where the time zone tells the country.

    Raises ApplicationError: BadPhone and RecipientRefused are final, DeliveryFailed is not.
    """
    return notices.sms(to, message, timezone=timezone)


# -- events and figures ------------------------------------------------------------------------------------------------


@activity.defn(name="log_event")
@monitored_activity(name="log_event")
@transactional_activity
def log_event(name: str, data: dict[str, Any] | None = None) -> Answer:
    """Write down that something has happened, exactly once."""
    info = activity.info()
    event, _ = Event.objects.get_or_create(
        key=info.idempotency_key, defaults={"name": name, "data": data or {}, "execution_id": notices.execution_id()}
    )
    return {"event_id": event.pk, "name": event.name}


@activity.defn(name="update_analytics")
@monitored_activity(name="update_analytics")
@transactional_activity
def update_analytics(name: str, value: Decimal = Decimal(1), dimensions: dict[str, str] | None = None) -> Answer:
    """Add to today's figure of that name, exactly once; the figure as it is now, as text."""
    figure, _ = Figure.objects.select_for_update().get_or_create(
        name=name, day=clock.now().date(), dimensions=_dimensions(dimensions or {})
    )
    added = Decimal(str(value))  # also for a caller that sends a JSON number
    Figure.objects.filter(pk=figure.pk).update(value=F("value") + added)
    figure.refresh_from_db()
    return {"name": name, "day": figure.day.isoformat(), "value": str(figure.value)}


def _dimensions(found: dict[str, str]) -> str:
    return ",".join(f"{key}={found[key]}" for key in sorted(found))[:500]


# -- users -------------------------------------------------------------------------------------------------------------


@activity.defn(name="process_user_activity")
@monitored_activity(name="process_user_activity")
@transactional_activity
def process_user_activity(payload: UserProcessingPayload) -> Answer:
    """Process a user's record: "process" notes that it was seen, "activate" and "deactivate" switch the account.

    Raises ApplicationError: UserNotFound and BadAction are final.
    """
    known = {"process": None, "activate": True, "deactivate": False}
    if payload.action not in known:
        raise ApplicationError(
            f"There is no action {payload.action!r}: expected one of {', '.join(known)}",
            type="BadAction",
            non_retryable=True,
        )
    user = User.objects.select_for_update().filter(pk=payload.user_id).first()
    if user is None:
        raise ApplicationError(f"There is no user {payload.user_id}.", type="UserNotFound", non_retryable=True)
    active = known[payload.action]
    if active is not None and user.is_active != active:
        user.is_active = active
        user.save(update_fields=["is_active"])
    row, _ = UserProcessing.objects.get_or_create(
        key=activity.info().idempotency_key,
        defaults={"user": user, "action": payload.action, "processed_at": clock.now()},
    )
    return {
        "status": "processed",
        "user_id": user.pk,
        "action": row.action,
        "email": user.email,
        "processed_at": row.processed_at.isoformat(),
    }


ACTIVITIES: list[Callable[..., Any]] = [
    send_email,
    send_sms,
    log_event,
    update_analytics,
    send_email_activity,
    process_user_activity,
]
