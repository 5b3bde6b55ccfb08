"""Workflows that organizers build: a trigger, a delay, and actions in versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.base import ModelBase

from automation import clock
from automation.models.booking_event import Trigger
from automation.models.ids import uuid7
from automation.models.statistics import ExecutionStatistics
from automation.models.validators import validate_tags


class LatePolicy(models.TextChoices):
    SKIP = "skip", "Do not run when the planned time has passed"
    RUN_NOW = "run_now", "Run at once when the planned time has passed"


PLANNED_BY = ("is_active", "trigger", "delay_minutes", "late_policy")
"""The fields that decide what is planned for a booking; so do the event types and the actions."""


class WorkflowQuerySet(models.QuerySet["Workflow"]):
    """Bulk edits mark the plan as `Workflow.save` does; `bulk_update` comes through here too."""

    def update(self, **kwargs: Any) -> int:
        if not kwargs.keys().isdisjoint(PLANNED_BY):
            kwargs.setdefault("plan_due", clock.now())
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]


class Workflow(ExecutionStatistics):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="workflows")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    trigger = models.CharField(max_length=30, choices=Trigger)
    tags = models.JSONField(default=list, blank=True, validators=[validate_tags], help_text="Words to find it by.")
    event_types = models.ManyToManyField("automation.EventType", blank=True, related_name="workflows")
    delay_minutes = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    late_policy = models.CharField(max_length=20, choices=LatePolicy, default=LatePolicy.SKIP)
    version = models.PositiveIntegerField(default=0, editable=False, help_text="The live version's number.")
    # When a sweep brings what is planned for existing bookings in line with this row; null when it is.
    plan_due = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    objects = WorkflowQuerySet.as_manager()

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
            # The sweep of workflows whose plan is to be brought in line.
            models.Index(fields=["plan_due"], condition=Q(plan_due__isnull=False), name="workflow_plan_due"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save; a change of what decides about the plan is marked, so that a sweep brings the plan in line."""
        fields = None if update_fields is None else set(update_fields)
        if fields is not None and not fields:
            return
        self.updated_at = clock.now()
        written = set(PLANNED_BY) if fields is None else fields.intersection(PLANNED_BY)
        if written and self._changes(written, using):
            self.plan_due = clock.now()
            if fields is not None:
                fields.add("plan_due")
        if fields is not None:
            fields.add("updated_at")
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=fields)

    def _changes(self, names: set[str], using: str | None) -> bool:
        if self._state.adding:
            return True
        row = type(self)._base_manager.using(using).filter(pk=self.pk).values(*names).first()
        return row is None or any(getattr(self, name) != value for name, value in row.items())
