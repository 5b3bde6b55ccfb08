"""One action of a workflow: what to do, for whom, after which delay, under which conditions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.base import ModelBase

from automation import clock
from automation.models.ids import uuid7
from automation.models.statistics import ExecutionStatistics
from automation.models.workflow import Workflow


class OnFailure(models.TextChoices):
    CONTINUE = "continue", "Go on with the next action"
    STOP = "stop", "Skip the actions that follow"


class Recipient(models.TextChoices):
    ORGANIZER = "organizer", "Organizer"
    INVITEE = "invitee", "Invitee"
    BOTH = "both", "Organizer and invitee"
    CUSTOM = "custom", "Custom"


class WorkflowActionQuerySet(models.QuerySet["WorkflowAction"]):
    """Bulk edits and deletes mark the workflows as `WorkflowAction.save` does; counting runs is no edit."""

    def update(self, **kwargs: Any) -> int:
        if kwargs.keys() <= {field.name for field in ExecutionStatistics._meta.local_fields}:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            self._mark_workflows()
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic(using=self.db):
            self._mark_workflows()
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _mark_workflows(self) -> None:
        ids = list(self.order_by().values_list("workflow_id", flat=True).distinct())
        Workflow._base_manager.using(self.db).filter(pk__in=ids).update(plan_due=clock.now())


class WorkflowAction(ExecutionStatistics):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.ForeignKey("automation.Workflow", models.CASCADE, related_name="actions")
    name = models.CharField(max_length=200)
    action_type = models.CharField(max_length=50, help_text="The name of a registered action type.")
    order = models.PositiveIntegerField(default=0, help_text="Equal orders run in parallel.")
    delay_minutes = models.PositiveIntegerField(default=0, help_text="Waited before this action.")
    on_failure = models.CharField(max_length=20, choices=OnFailure, default=OnFailure.CONTINUE)
    recipient = models.CharField(max_length=20, choices=Recipient, default=Recipient.INVITEE)
    custom_email = models.EmailField(blank=True)
    custom_phone = models.CharField(max_length=32, blank=True)
    subject = models.CharField(max_length=500, blank=True)
    message = models.TextField(blank=True)
    webhook_url = models.URLField(max_length=2000, blank=True)
    webhook_data = models.JSONField(default=dict, blank=True)
    webhook_secret_encrypted = models.TextField(blank=True, editable=False)
    conditions = models.JSONField(default=list, blank=True)
    update_booking_fields = models.JSONField(default=dict, blank=True)
    config = models.JSONField(default=dict, blank=True, help_text="What the action's type has for settings of its own.")
    is_active = models.BooleanField(default=True)
    disabled_reason = models.TextField(blank=True, help_text="Why Weir switched this action off, e.g. a 410 answer.")

    objects = WorkflowActionQuerySet.as_manager()

    class Meta:
        ordering = ["workflow", "order", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(on_failure__in=OnFailure.values), name="workflow_action_on_failure_known"
            ),
            models.CheckConstraint(condition=Q(recipient__in=Recipient.values), name="workflow_action_recipient_known"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.recipient == Recipient.CUSTOM and not (self.custom_email or self.custom_phone):
            raise ValidationError({"custom_email": "Required when the recipient is 'custom'."})

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save; what waits for its planned time is to run with this action as it is now (`Workflow.plan_due`)."""
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=update_fields)
        self._mark_workflow(using)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        deleted = super().delete(using, keep_parents)
        self._mark_workflow(using)
        return deleted

    def _mark_workflow(self, using: str | None) -> None:
        Workflow._base_manager.using(using).filter(pk=self.workflow_id).update(plan_due=clock.now())
