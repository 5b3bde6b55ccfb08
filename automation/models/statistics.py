"""Counters of runs, shared by workflows and their actions."""

from __future__ import annotations

from django.db import models
from django.db.models import F

from automation import clock


class ExecutionStatistics(models.Model):
    """Counters of runs; rolled up in batches, so that a busy row is not locked once per execution."""

    total_executions = models.PositiveIntegerField(default=0, editable=False)
    successful_executions = models.PositiveIntegerField(default=0, editable=False)
    failed_executions = models.PositiveIntegerField(default=0, editable=False)
    last_executed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def get_success_rate(self) -> float:
        """Successful runs in percent of all, with two decimals; 0 when there was none."""
        if not self.total_executions:
            return 0.0
        return round(100 * self.successful_executions / self.total_executions, 2)

    def increment_execution_stats(self, success: bool, count: int = 1) -> None:
        """Add `count` runs with one UPDATE, and refresh this instance."""
        outcome = "successful_executions" if success else "failed_executions"
        type(self)._default_manager.filter(pk=self.pk).update(
            total_executions=F("total_executions") + count,
            last_executed_at=clock.now(),
            **{outcome: F(outcome) + count},
        )
        self.refresh_from_db(
            fields=["total_executions", "successful_executions", "failed_executions", "last_executed_at"]
        )
