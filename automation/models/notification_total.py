"""How many messages there were, kept when the messages themselves are deleted."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation.models.notification_log import Channel, NotificationStatus


class NotificationTotal(models.Model):
    """The deleted messages of one organizer (null: Weir's own) that were made on one day, by channel and by the status
    that they had come to."""

    id = models.BigAutoField(primary_key=True)
    organizer = models.ForeignKey(
        "automation.User", models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    day = models.DateField(help_text="In UTC.")
    channel = models.CharField(max_length=20, choices=Channel)
    status = models.CharField(max_length=20, choices=NotificationStatus)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["day", "channel", "status"]
        constraints = [
            models.UniqueConstraint(
                fields=["organizer", "day", "channel", "status"], name="notification_total_of_organizer"
            ),
            # A unique constraint takes every null for another value.
            models.UniqueConstraint(
                fields=["day", "channel", "status"],
                condition=Q(organizer__isnull=True),
                name="notification_total_of_nobody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.channel} {self.status}: {self.count}"
