"""Trials of many workflows, with many bookings: what was asked for, and what has come of each pair so far."""

from __future__ import annotations

from django.db import models

from automation import clock
from automation.models.ids import uuid7


class TestType(models.TextChoices):
    __test__ = False  # no test of pytest's

    MOCK_DATA = "mock_data", "With an invented booking"
    REAL_DATA = "real_data", "With a booking that there is"
    LIVE_TEST = "live_test", "For real"


class BulkTest(models.Model):
    """One bulk test. It runs as an execution of the engine, whose status is its own; its progress is its results'
    count. Lists of ids are kept as they were when it was asked for."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="bulk_tests")
    execution = models.ForeignKey("automation.WorkflowExecution", models.SET_NULL, null=True, blank=True)
    test_type = models.CharField(max_length=20, choices=TestType)
    workflow_ids = models.JSONField(help_text="The workflows, as UUIDs.")
    booking_ids = models.JSONField(help_text="The bookings, as UUIDs; empty for invented ones.")
    draft = models.BooleanField(default=False, help_text="Whether drafts are tried, where there are any.")
    total = models.PositiveIntegerField(help_text="Pairs of a workflow and a booking.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["organizer", "-id"], name="bulk_test_by_organizer")]

    def __str__(self) -> str:
        return f"bulk test {self.id} of {self.total}"


class BulkTestResult(models.Model):
    """What came of one pair. Its position in the test says which pair it is, so a repeated attempt adds nothing."""

    bulk_test = models.ForeignKey(BulkTest, models.CASCADE, related_name="results", db_index=False)
    position = models.PositiveIntegerField()
    workflow_id = models.UUIDField()
    workflow_name = models.CharField(max_length=200)
    booking_id = models.UUIDField(null=True)
    passed = models.BooleanField()
    result = models.JSONField(help_text="The trial in short: each action's status, problems and fallbacks.")

    class Meta:
        ordering = ["bulk_test", "position"]
        constraints = [
            models.UniqueConstraint(fields=["bulk_test", "position"], name="bulk_test_result_position"),
        ]

    def __str__(self) -> str:
        return f"#{self.position} {self.workflow_name}"
