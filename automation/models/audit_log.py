"""Who changed what, with the values before and after. Bookings have a log of their own, `BookingAuditLog`."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class AuditAction(models.TextChoices):
    CREATED = "created", "Created"
    CHANGED = "changed", "Changed"
    DELETED = "deleted", "Deleted"


class AuditLog(models.Model):
    """One change of one thing. The thing is named, not referred to: its log outlives it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="+", help_text="Whose thing it is.")
    actor = models.ForeignKey(
        "automation.User", models.SET_NULL, null=True, blank=True, related_name="+", help_text="Null: Weir itself."
    )
    action = models.CharField(max_length=20, choices=AuditAction)
    subject = models.CharField(max_length=50, help_text="workflow, action, event_type, notification_preference, …")
    subject_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255, blank=True)
    changes = models.JSONField(default=dict, help_text="Field → [before, after]; secrets are masked.")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(action__in=AuditAction.values), name="audit_log_action_known"),
        ]
        indexes = [
            # One organizer's changes, and those of one thing, newest first.
            models.Index(fields=["organizer", "-id"], name="audit_log_by_organizer"),
            models.Index(fields=["subject", "subject_id", "-id"], name="audit_log_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.name or self.subject_id} {self.action}"
