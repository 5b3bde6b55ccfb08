"""A schedule of a Python workflow: when it is started, and what happens when its last run is still going on.

Written by `automation.durable.schedules` alone. Beat's row beside it (`periodic_task`) ticks; what is due is decided
by this one, so a tick that is lost, late or doubled changes nothing.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class WorkflowSchedule(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    namespace = models.CharField(max_length=64, default="default")
    schedule_id = models.CharField(max_length=255)
    periodic_task = models.ForeignKey(
        "django_celery_beat.PeriodicTask", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    spec = models.JSONField(help_text="When: calendars, intervals, cron expressions, …")
    action = models.JSONField(help_text="What: the workflow, its arguments as a payload, its options.")
    policy = models.JSONField(default=dict, help_text="Overlap, catch-up window, pause on failure.")
    paused = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    remaining = models.PositiveIntegerField(null=True, blank=True, help_text="Starts that are left; null: no limit.")
    memo = models.TextField(blank=True)
    search_attributes = models.JSONField(null=True, blank=True)

    # The times up to here are dealt with.
    seen_until = models.DateTimeField(default=clock.now)
    # When a sweep looks at it: its next time, or soon while starts wait for a run to end. Null: never again.
    due = models.DateTimeField(null=True, blank=True)
    buffered = models.JSONField(default=list, help_text="Times whose start waits for the run before.")
    running = models.JSONField(default=list, help_text="Workflow ids of runs that may be going on.")
    recent = models.JSONField(default=list, help_text="The last starts, oldest first.")
    starts = models.PositiveIntegerField(default=0)
    missed_catchup = models.PositiveIntegerField(default=0)
    skipped_overlap = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["schedule_id"]
        constraints = [
            models.UniqueConstraint(fields=["namespace", "schedule_id"], name="workflow_schedule_id"),
        ]
        indexes = [
            # The sweep: schedules whose time has come.
            models.Index(fields=["due"], condition=Q(due__isnull=False), name="workflow_schedule_due"),
        ]

    def __str__(self) -> str:
        return self.schedule_id
