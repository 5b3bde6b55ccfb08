"""Addresses that get no more messages, because messages to them came back or were complained about."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class SuppressionReason(models.TextChoices):
    BOUNCED = "bounced", "The address does not exist"
    COMPLAINED = "complained", "The recipient reported a message as spam"
    OPTED_OUT = "opted_out", "The recipient told the provider to stop"
    MANUAL = "manual", "Put on the list by hand"


class Suppression(models.Model):
    """An address, as its organizer's messages know it. Lifting keeps the row: who was on the list, and why."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="+")
    channel = models.CharField(max_length=20, choices=[("email", "Email"), ("sms", "SMS")])
    recipient = models.CharField(max_length=320, help_text="An email address in lower case, or an E.164 number.")
    reason = models.CharField(max_length=20, choices=SuppressionReason)
    detail = models.TextField(blank=True, help_text="What the other end said.")
    notification = models.ForeignKey(
        "automation.NotificationLog", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organizer", "channel", "recipient"],
                condition=Q(lifted_at__isnull=True),
                name="suppression_in_force_once",
            ),
            models.CheckConstraint(condition=Q(reason__in=SuppressionReason.values), name="suppression_reason_known"),
        ]

    def __str__(self) -> str:
        return f"{self.recipient} ({self.reason})"
