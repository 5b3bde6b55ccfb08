"""Workflows that organizers build: a trigger, a delay, and actions in versions."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.booking_event import Trigger
from automation.models.ids import uuid7
from automation.models.statistics import ExecutionStatistics


class LatePolicy(models.TextChoices):
    SKIP = "skip", "Do not run when the planned time has passed"
    RUN_NOW = "run_now", "Run at once when the planned time has passed"


class Workflow(ExecutionStatistics):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="workflows")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    trigger = models.CharField(max_length=30, choices=Trigger)
    event_types = models.ManyToManyField("automation.EventType", blank=True, related_name="workflows")
    delay_minutes = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    late_policy = models.CharField(max_length=20, choices=LatePolicy, default=LatePolicy.SKIP)
    version = models.PositiveIntegerField(default=0, editable=False, help_text="The live version's number.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["organizer", "name"], name="workflow_name_per_organizer"),
            models.CheckConstraint(condition=Q(trigger__in=Trigger.values), name="workflow_trigger_known"),
        ]
        indexes = [
            # Matching an event: the organizer's active workflows of one trigger.
            models.Index(
                fields=["organizer", "trigger"], condition=Q(is_active=True), name="workflow_active_by_trigger"
            ),
        ]

    def __str__(self) -> str:
        return self.name
