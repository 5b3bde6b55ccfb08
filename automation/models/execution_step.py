"""One durable thing that an execution asked for or received; an execution's steps, in order, are its history."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock


class StepKind(models.TextChoices):
    ACTIVITY = "activity", "Activity"
    LOCAL_ACTIVITY = "local_activity", "Local activity"
    TIMER = "timer", "Timer"
    CHILD = "child", "Child workflow"
    EXTERNAL = "external", "Message to another execution"
    MARKER = "marker", "Marker"
    SIGNAL = "signal", "Signal"
    UPDATE = "update", "Update"
    CANCEL = "cancel", "Cancel request"


class StepStatus(models.TextChoices):
    PENDING = "pending", "Pending"  # waits for its time, its stage, or a worker
    RUNNING = "running", "Running"  # claimed: one attempt is in progress
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"  # no attempt is left
    CANCELLED = "cancelled", "Cancelled"
    SKIPPED = "skipped", "Skipped"  # a step before it in its canvas failed
    DEAD_LETTER = "dead_letter", "Dead letter"  # lost its worker too often


ENDED_STEP_STATUSES = tuple(status for status in StepStatus if status not in (StepStatus.PENDING, StepStatus.RUNNING))


class ExecutionStep(models.Model):
    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey("automation.WorkflowExecution", models.CASCADE, related_name="steps", db_index=False)
    # The order in which the code asked for it, from 1. What came from outside (signals, requests) counts down from -1.
    seq = models.IntegerField()
    kind = models.CharField(max_length=20, choices=StepKind)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=StepStatus)
    # Each claim adds one; an outcome names the attempt it belongs to.
    attempt = models.PositiveIntegerField(db_default=0, default=0)
    recoveries = models.PositiveSmallIntegerField(db_default=0, default=0)
    # The order in which its outcome was seen by the code, from 1; null until it was.
    resolved_seq = models.IntegerField(null=True, blank=True)

    queue = models.CharField(max_length=100, blank=True, db_default="", default="")
    priority = models.PositiveSmallIntegerField(db_default=0, default=0)
    # A canvas is known by its first member's seq; its stages run one after the other, a stage's members in parallel.
    canvas = models.IntegerField(null=True, blank=True)
    stage = models.PositiveIntegerField(db_default=0, default=0)

    options = models.TextField(blank=True, db_default="", help_text="JSON: timeouts, retry policy, …")
    input = models.TextField(blank=True, db_default="")
    output = models.TextField(blank=True, db_default="")
    failure = models.TextField(blank=True, db_default="")
    heartbeat = models.TextField(blank=True, db_default="", help_text="Details of the last heartbeat.")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(db_default=False, default=False)

    # The earliest time to run: a timer's end, a retry's time, a delayed start.
    run_at = models.DateTimeField(null=True, blank=True)
    # When a sweep looks at this row: to fire, publish again, check its worker and deadline, or wake its execution.
    # Null when nothing is left to do for it.
    due = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True, db_default="", default="")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["execution", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "seq"], name="execution_step_seq"),
            models.CheckConstraint(condition=Q(status__in=StepStatus.values), name="execution_step_status_known"),
            models.CheckConstraint(condition=Q(kind__in=StepKind.values), name="execution_step_kind_known"),
        ]
        indexes = [
            # The sweep: timers, retries, leases and outcomes not yet seen.
            models.Index(fields=["due"], condition=Q(due__isnull=False), name="execution_step_due"),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} {self.name}"

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step; goes out with every call to the world."""
        return f"{self.execution_id}:{self.seq}"
