"""One run of a workflow: the same model for what organizers build and for Python classes.

The row is written by the engine alone: `automation.durable.states` and `automation.durable.statements` are the only
code that changes `status`.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.booking_event import Trigger
from automation.models.ids import uuid7


class ExecutionStatus(models.TextChoices):
    PENDING = "pending", "Pending"  # created; waits for its planned time or for a worker
    RUNNING = "running", "Running"  # its first advance has begun
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    TERMINATED = "terminated", "Terminated"
    TIMED_OUT = "timed_out", "Timed out"
    CONTINUED = "continued_as_new", "Continued as new"
    PARKED = "parked", "Parked"  # its code no longer fits its history; goes on when the code is put back
    DEAD_LETTER = "dead_letter", "Dead letter"  # given up after a bounded number of recoveries; can be re-driven


OPEN_STATUSES = (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)
"""An execution in one of these goes on by itself."""

ENDED_STATUSES = tuple(status for status in ExecutionStatus if status not in OPEN_STATUSES)


class WorkflowExecution(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    namespace = models.CharField(max_length=64, db_default="default", default="default")
    business_id = models.CharField(
        max_length=255, blank=True, db_default="", default="", help_text="The caller's id; one open execution each."
    )
    definition = models.CharField(max_length=200, help_text="The registered name of the workflow's Python class.")

    workflow = models.ForeignKey(
        "automation.Workflow", models.CASCADE, null=True, blank=True, related_name="executions", db_index=False
    )
    version = models.ForeignKey(
        "automation.WorkflowVersion", models.RESTRICT, null=True, blank=True, related_name="executions", db_index=False
    )
    booking = models.ForeignKey(
        "automation.Booking", models.CASCADE, null=True, blank=True, related_name="executions", db_index=False
    )
    # Whose it is: the workflow's organizer, or the booking's; kept here so that a long list needs no other table.
    organizer = models.ForeignKey(
        "automation.User", models.CASCADE, null=True, blank=True, related_name="executions", db_index=False
    )
    trigger = models.CharField(max_length=30, blank=True, db_default="", choices=Trigger)
    booking_sequence = models.PositiveIntegerField(null=True, blank=True)
    # While it is the booking's sequence, a person has set the planned time, and planning leaves it alone.
    fixed_sequence = models.PositiveIntegerField(null=True, blank=True)
    depth = models.PositiveSmallIntegerField(db_default=0, default=0, help_text="Workflows that led to this one.")

    status = models.CharField(
        max_length=20, choices=ExecutionStatus, db_default=ExecutionStatus.PENDING, default=ExecutionStatus.PENDING
    )
    queue = models.CharField(max_length=100)
    priority = models.PositiveSmallIntegerField(db_default=0, default=0)

    # Who may append steps: every takeover adds one, and an append names the epoch that it was decided in.
    epoch = models.PositiveIntegerField(db_default=0, default=0)
    # When a sweep looks at this row: the planned start, the time to publish again, or the end of an advance's lease.
    # Null while the execution waits for its steps, each of which has a `due` of its own.
    due = models.DateTimeField(null=True, blank=True)
    # The worker process that is advancing this execution; empty when none is.
    worker = models.CharField(max_length=120, blank=True, db_default="", default="")
    recoveries = models.PositiveSmallIntegerField(db_default=0, default=0)
    inbox_seq = models.PositiveIntegerField(db_default=0, default=0, help_text="Signals and requests received.")
    paused_at = models.DateTimeField(null=True, blank=True)
    reopened = models.PositiveSmallIntegerField(db_default=0, default=0, help_text="Retries from a failed step.")

    # Beyond one run. Null for most, which costs a row nothing.
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="children", db_index=False, editable=False
    )
    parent_seq = models.IntegerField(null=True, blank=True, help_text="The parent's step that waits for this one.")
    first_run_id = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="The run that a chain of continue-as-new, retry or cron began with.",
    )
    previous_run_id = models.UUIDField(null=True, blank=True, editable=False)
    deadline = models.DateTimeField(null=True, blank=True, help_text="When its execution or run timeout is over.")
    options = models.TextField(
        blank=True, db_default="", default="", help_text="JSON: timeouts, retry policy, parent close policy, …"
    )
    memo = models.TextField(blank=True, db_default="", default="", help_text="JSON: notes of the starter and the code.")
    search_attributes = models.JSONField(null=True, blank=True, help_text="Name → value, for finding executions.")

    input = models.TextField(blank=True, db_default="")
    result = models.TextField(blank=True, db_default="")
    failure = models.TextField(blank=True, db_default="")
    error_message = models.TextField(blank=True, db_default="")

    scheduled_for = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    actions_executed = models.PositiveIntegerField(db_default=0, default=0)
    actions_failed = models.PositiveIntegerField(db_default=0, default=0)
    counted = models.BooleanField(db_default=False, default=False, help_text="Rolled up into statistics.")

    class Meta:
        ordering = ["-id"]  # ids sort by the time of their making
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=ExecutionStatus.values), name="workflow_execution_status_known"
            ),
            models.UniqueConstraint(
                fields=["namespace", "business_id"],
                condition=Q(status__in=OPEN_STATUSES) & ~Q(business_id=""),
                name="workflow_execution_open_business_id",
            ),
            # A repeated event makes no second execution.
            models.UniqueConstraint(
                fields=["workflow", "booking", "trigger", "booking_sequence"],
                condition=Q(booking_sequence__isnull=False),
                name="workflow_execution_once_per_event",
            ),
        ]
        indexes = [
            # The sweep: rows that are due. 'due IS NOT NULL' and not a status, so that no hot statement's
            # condition implies it and the planner keeps to the primary key there.
            models.Index(fields=["due"], condition=Q(due__isnull=False), name="workflow_execution_due"),
            # All of one organizer's, newest first.
            models.Index(
                fields=["organizer", "-id"], condition=Q(organizer__isnull=False), name="workflow_execution_of"
            ),
            # Runs of one organizer's workflow, newest first; and of one booking. Partial, as are all but the primary
            # key: each index costs every change of a Python workflow's row.
            models.Index(
                fields=["workflow", "-id"], condition=Q(workflow__isnull=False), name="workflow_execution_by_workflow"
            ),
            models.Index(fields=["booking"], condition=Q(booking__isnull=False), name="workflow_execution_by_booking"),
            # The end of a parent: its children. The end of a child: none is needed, it knows its parent.
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="workflow_execution_by_parent"),
            # The runs of one workflow id, newest first.
            models.Index(
                fields=["namespace", "business_id", "-id"],
                condition=~Q(business_id=""),
                name="workflow_execution_by_business",
            ),
            # The sweep of timeouts.
            models.Index(fields=["deadline"], condition=Q(deadline__isnull=False), name="workflow_execution_deadline"),
            # Rolling up statistics: runs of organizers' workflows that have ended and are not counted yet.
            models.Index(
                fields=["completed_at"],
                condition=Q(counted=False, completed_at__isnull=False, workflow__isnull=False),
                name="workflow_execution_uncounted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.definition} {self.id}"

    def save(self, *args: Any, **options: Any) -> None:
        """Save; for whoever makes a row by hand, its organizer is filled in. The engine writes rows by other ways."""
        if self._state.adding and self.organizer_id is None:
            owned = self.workflow or self.booking
            self.organizer_id = owned.organizer_id if owned is not None else None
        super().save(*args, **options)

    @property
    def workflow_id_of_caller(self) -> str:
        """The caller's own id, or this row's."""
        return self.business_id or str(self.id)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES
