"""What an execution runs: an immutable snapshot of a workflow."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models.base import ModelBase

from automation import clock
from automation.models.ids import uuid7


class WorkflowVersion(models.Model):
    """An immutable snapshot of a workflow with its actions; an execution runs the version it started with."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.ForeignKey("automation.Workflow", models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(null=True, help_text="Null: a draft that somebody tried, never published.")
    snapshot = models.JSONField(help_text="The workflow's fields, and under 'actions' each action's.")
    note = models.TextField(blank=True, default="", help_text="What its author, or Weir, has to say about it.")
    created_by = models.ForeignKey("automation.User", models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["workflow", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["workflow", "number"], name="workflow_version_number"),
        ]

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save a new version, or the note of one. Raises TypeError for any other change: executions run it."""
        if not self._state.adding and (update_fields is None or not set(update_fields) <= {"note"}):
            raise TypeError(
                f"version {self} never changes, but for its note (update_fields=['note']); make another one"
            )
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=update_fields)

    def __str__(self) -> str:
        return f"{self.workflow_id} v{self.number}" if self.number is not None else f"{self.workflow_id} (a trial)"
