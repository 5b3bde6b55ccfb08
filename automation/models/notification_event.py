"""What became of a message after it went out, as its provider or its reader tells: kept as it came in."""

from __future__ import annotations

from django.db import models

from automation import clock
from automation.models.ids import uuid7


class NotificationEvent(models.Model):
    """One event of one message. `kind` is one of `automation.providers.callbacks.base.Kind`; an event that its provider
    tells twice is one row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    notification = models.ForeignKey("automation.NotificationLog", models.CASCADE, related_name="events")
    source = models.CharField(max_length=30, help_text="The provider, or 'reader' for opens and clicks that we saw.")
    event_id = models.CharField(max_length=255, help_text="The provider's name for the event.")
    kind = models.CharField(max_length=20)
    detail = models.TextField(blank=True)
    occurred_at = models.DateTimeField(help_text="By the provider's clock.")
    received_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["occurred_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["notification", "source", "event_id"], name="notification_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.source})"
