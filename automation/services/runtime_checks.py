"""What the surroundings of a workflow have to say: is it on, are there bookings for it, does everybody answer?

Nothing is sent: a webhook's host is looked up, the mail server connected to and left.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation import clock, outbound, secrets
from automation.models import Alert, Booking, BookingStatus, CircuitState, Destination, EventType, Workflow
from automation.providers import sms
from automation.rules import templating
from automation.rules.context import custom_fields
from automation.rules.fields import CUSTOM_PREFIX
from automation.rules.problems import nearest
from automation.rules.workflow_analysis import condition_fields, texts
from automation.services import health
from automation.services.differences import SECRET
from automation.services.workflow_checks import template_fields

RECENT = 100
"""Bookings that are looked at for phone numbers and answers."""
MAX_HOSTS = 10
LOOK_UP_SECONDS = 2.0
CONNECT_SECONDS = 1.0


CheckStatus = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One look at the surroundings. `status`: ok, warning (it may not work) or failed (it does not, at present)."""

    name: str
    status: CheckStatus
    message: str


def check(workflow: Workflow, content: Mapping[str, Any], event_types: Sequence[EventType]) -> list[Check]:
    """A number of queries that does not depend on the workflow; a few seconds at the most, where servers are silent."""
    actions = [action for action in content.get("actions", ()) if action.get("is_active", True)]
    bookings = list(_bookings(workflow, event_types))
    return [
        *_switched_on(workflow),
        *_event_types(content, event_types),
        *_upcoming(workflow, event_types),
        *_phones(actions, bookings),
        *_answers(actions, bookings),
        *_secrets(actions),
        *_webhooks(actions),
        *_destinations(workflow, actions),
        *_providers(actions),
        *_engine(),
        *_alerts(workflow),
    ]


def _bookings(workflow: Workflow, event_types: Sequence[EventType]) -> Any:
    rows = Booking.objects.filter(organizer_id=workflow.organizer_id, event_type__in=[row.pk for row in event_types])
    return rows.order_by("-start_time").only("invitee_phone", "custom_answers")[:RECENT]


def _switched_on(workflow: Workflow) -> Iterator[Check]:
    if workflow.is_active:
        yield Check("switched_on", "ok", "The workflow is on.")
    else:
        yield Check("switched_on", "warning", "The workflow is switched off, and reacts to nothing.")


def _event_types(content: Mapping[str, Any], event_types: Sequence[EventType]) -> Iterator[Check]:
    if content.get("event_types") and not any(event_type.is_active for event_type in event_types):
        yield Check("event_types", "failed", "None of its event types is active: nobody can book what it reacts to.")
    elif not event_types:
        yield Check("event_types", "warning", "The organizer has no active event type yet.")
    else:
        names = ", ".join(event_type.name for event_type in event_types[:3])
        more = f" and {len(event_types) - 3} more" if len(event_types) > 3 else ""
        yield Check("event_types", "ok", f"It reacts to bookings of {names}{more}.")


def _upcoming(workflow: Workflow, event_types: Sequence[EventType]) -> Iterator[Check]:
    ahead = Booking.objects.filter(
        organizer_id=workflow.organizer_id,
        event_type__in=[row.pk for row in event_types],
        status=BookingStatus.CONFIRMED,
        start_time__gt=clock.now(),
    ).count()
    yield Check("bookings", "ok", f"{ahead} confirmed {'booking lies' if ahead == 1 else 'bookings lie'} ahead.")


def _phones(actions: Sequence[Mapping[str, Any]], bookings: Sequence[Booking]) -> Iterator[Check]:
    texting = [a for a in actions if a.get("action_type") == "send_sms" and a.get("recipient") in ("invitee", "both")]
    if not texting or not bookings:
        return
    without = sum(1 for booking in bookings if not booking.invitee_phone.strip())
    message = f"{without} of the last {len(bookings)} bookings came without the phone number that a text needs."
    yield Check("phone_numbers", "warning" if without else "ok", message)


def _answers(actions: Sequence[Mapping[str, Any]], bookings: Sequence[Booking]) -> Iterator[Check]:
    """Answers that actions read and that no recent booking has: a question renamed, or a slip of the pen."""
    if not bookings:
        return
    known = {
        name
        for booking in bookings
        for name in custom_fields(booking.custom_answers if isinstance(booking.custom_answers, dict) else {})
    }
    used = {name for action in actions for name in _used(action) if name.startswith(CUSTOM_PREFIX)}
    for name in sorted(used - known):
        meant = nearest(name, known)
        hint = f" Did you mean {meant}?" if meant else ""
        message = f"None of the last {len(bookings)} bookings has an answer {name.removeprefix(CUSTOM_PREFIX)!r}.{hint}"
        yield Check("answers", "warning", message)


def _used(action: Mapping[str, Any]) -> Iterator[str]:
    for field in template_fields().get(str(action.get("action_type")), ()):
        for _, text in texts(field, action.get(field)):
            yield from templating.variables_of(text)
    for _, name in condition_fields("conditions", action.get("conditions")):
        yield name


def _secrets(actions: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    for action in actions:
        try:
            secrets.decrypt(action.get(SECRET) or "")
        except secrets.CannotDecrypt as error:
            yield Check("secrets", "failed", f"The secret of {action.get('name', '')!r}: {error.message}")


def _webhooks(actions: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    urls = {urlsplit(url).netloc: url for action in actions if (url := _url(action))}
    hosts = dict(sorted(urls.items())[:MAX_HOSTS])
    if not hosts:
        return
    with ThreadPoolExecutor(len(hosts)) as pool:  # the look-ups wait beside each other
        yield from pool.map(_webhook, hosts, hosts.values())


def _url(action: Mapping[str, Any]) -> str:
    """Where an action calls; a Slack message's URL is its secret."""
    match action.get("action_type"):
        case "webhook":
            return str(action.get("webhook_url") or "")
        case "slack_message":
            with suppress(secrets.CannotDecrypt):  # told by itself
                return secrets.decrypt(action.get(SECRET) or "")
    return ""


def _destinations(workflow: Workflow, actions: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Hosts to which no call is made at present, because too many have failed."""
    hosts = {urlsplit(url).netloc.lower() for action in actions if (url := _url(action))}
    if not hosts:
        return
    rows = Destination.objects.filter(organizer_id=workflow.organizer_id, host__in=hosts)
    for row in rows.exclude(state=CircuitState.CLOSED):
        yield Check("destination", "failed", f"Calls to {row.host} wait: the last ones failed ({row.last_cause}).")


def _webhook(host: str, url: str) -> Check:
    try:
        outbound.check_url(url, timeout=LOOK_UP_SECONDS)
    except outbound.OutboundError as error:
        status: CheckStatus = "failed" if isinstance(error, outbound.OutboundRefused) else "warning"
        return Check("webhook", status, error.message)
    return Check("webhook", "ok", f"{host} can be called.")


def _providers(actions: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    kinds = {action.get("action_type") for action in actions}
    if "send_email" in kinds:
        yield _mail()
    if "send_sms" in kinds:
        yield _texts()


def _mail() -> Check:
    backend = settings.EMAIL_BACKEND.rsplit(".", 2)[-2]
    if backend != "smtp":
        if backend in ("console", "dummy", "filebased", "locmem"):
            return Check("email", "warning", f"Mail goes to the {backend} backend, which does not deliver it.")
        return Check("email", "ok", f"Mail goes out by {backend}.")
    try:
        socket.create_connection((settings.EMAIL_HOST, settings.EMAIL_PORT), CONNECT_SECONDS).close()
    except OSError as error:
        return Check("email", "failed", f"The mail server does not answer ({error.strerror or error}).")
    return Check("email", "ok", "The mail server answers.")


def _texts() -> Check:
    try:
        backend = type(sms.get_backend()).__module__.rsplit(".", 1)[-1]
    except ImproperlyConfigured as error:
        return Check("sms", "failed", str(error))
    if backend in ("console", "memory"):
        return Check("sms", "warning", f"Texts go to the {backend} backend, which does not deliver them.")
    return Check("sms", "ok", f"Texts go out by {backend}.")


def _engine() -> Iterator[Check]:
    found = health.check()
    if not found.broker.ok:
        yield Check("broker", "warning", f"The broker: {found.broker.error}.")
    if settings.WORKFLOW_TASK_QUEUE in found.unserved_queues:
        yield Check("workers", "failed", f"No worker serves the queue {settings.WORKFLOW_TASK_QUEUE!r}: nothing runs.")
    else:
        yield Check("workers", "ok", "Workers serve its queue.")
    if not found.beat.ok:
        yield Check("beat", "warning", "Beat shows no sign of life: what is planned ahead runs when it is back.")


def _alerts(workflow: Workflow) -> Iterator[Check]:
    for alert in Alert.objects.filter(workflow=workflow, closed_at=None).order_by("opened_at")[:5]:
        yield Check("alert", "failed" if alert.severity == "critical" else "warning", alert.message)
