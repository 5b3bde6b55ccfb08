"""What happened, and how often."""

from __future__ import annotations

from django.db import models

from automation import clock


class Event(models.Model):
    """Something that a workflow says has happened; once for each step that says so."""

    key = models.CharField(max_length=255, unique=True, help_text="The step's idempotency key.")
    name = models.CharField(max_length=100)
    data = models.JSONField(default=dict, blank=True)
    execution = models.ForeignKey(
        "automation.WorkflowExecution", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    occurred_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-occurred_at", "-id"]
        indexes = [models.Index(fields=["name", "occurred_at"], name="shared_event_by_name")]

    def __str__(self) -> str:
        return self.name


class Figure(models.Model):
    """A counter of one day (UTC), split by dimensions: how many bookings, how much turnover in EUR."""

    name = models.CharField(max_length=100)
    day = models.DateField()
    dimensions = models.CharField(max_length=500, blank=True, help_text="key=value, in order, joined by commas.")
    value = models.DecimalField(max_digits=20, decimal_places=3, default=0)

    class Meta:
        ordering = ["-day", "name", "dimensions"]
        constraints = [
            models.UniqueConstraint(fields=["name", "day", "dimensions"], name="shared_figure_once_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.name} on {self.day}"


class UserProcessing(models.Model):
    """That a user's record has been processed, once for each step that did it."""

    key = models.CharField(max_length=255, unique=True)
    user = models.ForeignKey("automation.User", models.CASCADE, related_name="+")
    action = models.CharField(max_length=50)
    processed_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-processed_at", "-id"]

    def __str__(self) -> str:
        return f"{self.action} of {self.user_id}"
