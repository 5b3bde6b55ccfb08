"""Alerts of operations: one open per kind and key. The mail about it goes out with the periodic task for all alerts."""

from __future__ import annotations

from automation import clock
from automation.models import Alert, Severity


def open_alert(kind: str, key: str, message: str) -> bool:
    """Open an alert; False where one is open already, whose message is then brought up to date."""
    # A constraint allows one open alert per kind and key: of two that find the problem, one opens it.
    alert = Alert(kind=kind, key=key[:255], message=message, severity=Severity.CRITICAL)
    Alert.objects.bulk_create([alert], ignore_conflicts=True)
    if Alert.objects.filter(pk=alert.pk).exists():
        return True
    Alert.objects.filter(kind=kind, key=key[:255], closed_at=None).update(message=message)
    return False


def close_alert(kind: str, key: str) -> bool:
    """Close the open alert; False where there is none."""
    return bool(Alert.objects.filter(kind=kind, key=key[:255], closed_at=None).update(closed_at=clock.now()))
