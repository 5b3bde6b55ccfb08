"""What an organizer is working on, beside the workflow that is live."""

from __future__ import annotations

from django.db import models

from automation import clock


class WorkflowDraft(models.Model):
    """The edit of a workflow that nobody runs yet: one each, in the shape of a version's snapshot.

    It may be unfinished in ways that the workflow's own rows may not be. `revision` grows with every edit, so that a
    lost update can be told; `base_version` is the live version that the draft began with.
    """

    workflow = models.OneToOneField("automation.Workflow", models.CASCADE, primary_key=True, related_name="draft")
    content = models.JSONField(help_text="As a version's snapshot.")
    base_version = models.PositiveIntegerField()
    revision = models.PositiveIntegerField(default=1)
    updated_by = models.ForeignKey("automation.User", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return f"draft of {self.workflow_id}, revision {self.revision}"
