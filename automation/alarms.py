"""Opening and closing alerts; `automation.services.alerts` mails them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection

from django.db import transaction

from automation import clock
from automation.durable import canvas
from automation.models import Alert, Severity

logger = logging.getLogger(__name__)

MAIL_TASK = "send_alert_mails"


def open_alert(
    kind: str,
    key: str,
    message: str,
    *,
    severity: Severity = Severity.WARNING,
    workflow_id: uuid.UUID | None = None,
    execution_id: uuid.UUID | None = None,
) -> Alert | None:
    """Open an alert; None where one is open for this kind and key, whose message is then brought up to date."""
    alert = Alert(
        kind=kind, key=key, message=message, severity=severity, workflow_id=workflow_id, execution_id=execution_id
    )
    with transaction.atomic():
        # A constraint allows one open alert per kind and key: of two processes that find the problem, one opens it.
        Alert.objects.bulk_create([alert], ignore_conflicts=True)
        if not Alert.objects.filter(pk=alert.pk).exists():
            Alert.objects.filter(kind=kind, key=key, closed_at=None).update(message=message, severity=severity)
            return None
        transaction.on_commit(lambda: canvas.send(MAIL_TASK, []))
    logger.warning("alert opened: %s", message)
    return alert


def close_alert(kind: str, key: str) -> bool:
    """Close the open alert of this kind and key; False where there is none."""
    return bool(Alert.objects.filter(kind=kind, key=key, closed_at=None).update(closed_at=clock.now()))


def close_all_but(kind: str, keys: Collection[str]) -> int:
    """Close the open alerts of a kind whose problem was looked for and not found; returns how many."""
    return Alert.objects.filter(kind=kind, closed_at=None).exclude(key__in=keys).update(closed_at=clock.now())
