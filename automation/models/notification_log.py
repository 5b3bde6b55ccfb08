"""Messages to people: what was sent, to whom, and what became of it."""

from __future__ import annotations

import json

from django.db import models
from django.db.models import Q

from automation import clock, secrets
from automation.models.ids import uuid7


class NotificationStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"
    BOUNCED = "bounced", "Bounced"
    DELIVERED = "delivered", "Delivered"
    OPENED = "opened", "Opened"
    CLICKED = "clicked", "Clicked"
    SUPPRESSED = "suppressed", "Suppressed"


class Channel(models.TextChoices):
    EMAIL = "email", "Email"
    SMS = "sms", "SMS"
    WEBHOOK = "webhook", "Webhook"
    SLACK = "slack", "Slack"


class NotificationLog(models.Model):
    """One message to one recipient; written before it is sent. `automation.actions.progress` moves its status."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, null=True, blank=True, related_name="+")
    execution = models.ForeignKey(
        "automation.WorkflowExecution", models.SET_NULL, null=True, blank=True, related_name="notifications"
    )
    step_seq = models.IntegerField(null=True, blank=True)
    # What it was about; these stay when the execution is cleaned away.
    workflow = models.ForeignKey("automation.Workflow", models.SET_NULL, null=True, blank=True, related_name="+")
    booking = models.ForeignKey("automation.Booking", models.SET_NULL, null=True, blank=True, related_name="+")
    channel = models.CharField(max_length=20, choices=Channel)
    recipient = models.CharField(max_length=320)
    subject = models.TextField(blank=True)
    body = models.TextField(blank=True)
    status = models.CharField(max_length=20, choices=NotificationStatus, default=NotificationStatus.PENDING)
    provider_id = models.CharField(max_length=255, blank=True, help_text="Message-ID, or the provider's id.")
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    deferred_until = models.DateTimeField(null=True, blank=True, help_text="It waits for the end of quiet hours.")
    # It has taken one of its recipient's messages of the day, and is about to be sent.
    reserved_at = models.DateTimeField(null=True, blank=True, editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True, help_text="The first time.")
    clicked_at = models.DateTimeField(null=True, blank=True, help_text="The first time.")

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # A retried step finds its own row, and sends once to each recipient that already got its message.
            models.UniqueConstraint(
                fields=["execution", "step_seq", "channel", "recipient"],
                condition=Q(step_seq__isnull=False),
                name="notification_once_per_step_and_recipient",
            ),
            models.CheckConstraint(condition=Q(status__in=NotificationStatus.values), name="notification_status_known"),
            models.CheckConstraint(condition=Q(channel__in=Channel.values), name="notification_channel_known"),
        ]
        indexes = [
            # The organizer's log, newest first.
            models.Index(fields=["organizer", "-created_at"], name="notification_by_organizer"),
            # A provider's callback names the message.
            models.Index(fields=["provider_id"], condition=~Q(provider_id=""), name="notification_by_provider_id"),
            # What a recipient got today.
            models.Index(fields=["recipient", "sent_at"], name="notification_by_recipient"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.recipient}"

    @property
    def shown_body(self) -> str:
        """The body as people may see it: of a call's JSON, what sits under a telling name is masked. The bytes that
        go out stay as they are, for the next attempt."""
        if self.channel not in (Channel.WEBHOOK, Channel.SLACK):
            return self.body
        try:
            return json.dumps(secrets.masked(json.loads(self.body)), ensure_ascii=False)
        except ValueError:
            return self.body
