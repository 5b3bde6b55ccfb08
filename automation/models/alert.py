"""Problems that want a person's attention: opened once, closed when they end."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class Severity(models.TextChoices):
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class Alert(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=50, help_text="dead_letter, failure_rate, …")
    key = models.CharField(max_length=255, help_text="What it is about; one open alert per kind and key.")
    severity = models.CharField(max_length=20, choices=Severity, default=Severity.WARNING)
    message = models.TextField()
    workflow = models.ForeignKey("automation.Workflow", models.CASCADE, null=True, blank=True, related_name="alerts")
    execution = models.ForeignKey(
        "automation.WorkflowExecution", models.SET_NULL, null=True, blank=True, related_name="alerts"
    )
    opened_at = models.DateTimeField(default=clock.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True, help_text="When everybody concerned had been mailed.")

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key"], condition=Q(closed_at__isnull=True), name="alert_open_once"
            ),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="alert_severity_known"),
        ]

    def __str__(self) -> str:
        return self.message
