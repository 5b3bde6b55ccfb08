"""A workflow's runs by day: small rows that outlive the runs, for trends over months."""

from __future__ import annotations

from django.db import models


class WorkflowTrend(models.Model):
    """The runs of one workflow that ended on one day (UTC); rolled up in batches with the other statistics."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey("automation.Workflow", models.CASCADE, related_name="trends")
    day = models.DateField()
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0, help_text="Cancelled, terminated or skipped.")
    seconds = models.FloatField(default=0.0, help_text="From start to end, waits included, summed over the completed.")
    longest = models.FloatField(default=0.0, help_text="Seconds that the longest completed run took.")
    actions_executed = models.PositiveIntegerField(default=0)
    actions_failed = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["workflow", "day"]
        constraints = [models.UniqueConstraint(fields=["workflow", "day"], name="workflow_trend_day")]
        indexes = [
            # All workflows' days in a span of time, for staff.
            models.Index(fields=["day"], name="workflow_trend_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow_id} {self.day}"
