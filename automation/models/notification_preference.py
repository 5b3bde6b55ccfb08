"""Who wants which messages, and when."""

from __future__ import annotations

from typing import Any

from django.db import models

from automation.models.ids import uuid7
from automation.models.validators import validate_timezone


class NotificationPreference(models.Model):
    """What a recipient, known by address, wants from one organizer."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="notification_preferences")
    recipient = models.CharField(max_length=320, help_text="An email address or an E.164 phone number.")
    timezone = models.CharField(
        max_length=64, blank=True, validators=[validate_timezone], help_text="Empty: the one that the booking names."
    )
    quiet_from = models.TimeField(null=True, blank=True, help_text="In the recipient's own time zone.")
    quiet_until = models.TimeField(null=True, blank=True)
    daily_limit = models.PositiveIntegerField(null=True, blank=True)
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    unsubscribed_by = models.CharField(
        max_length=20, blank=True, choices=[("recipient", "The recipient"), ("organizer", "The organizer")]
    )

    class Meta:
        ordering = ["recipient"]
        constraints = [
            models.UniqueConstraint(fields=["organizer", "recipient"], name="notification_preference_per_recipient"),
        ]

    def __str__(self) -> str:
        return self.recipient

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As messages name their recipients, whoever typed it in."""
        self.recipient = self.recipient.strip().lower()
        super().save(*args, **kwargs)
