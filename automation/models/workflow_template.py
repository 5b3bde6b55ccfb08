"""Pre-built workflows that organizers start from."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class TemplateCategory(models.TextChoices):
    BOOKING = "booking", "Booking"
    FOLLOW_UP = "follow_up", "Follow-up"
    REMINDER = "reminder", "Reminder"
    FEEDBACK = "feedback", "Feedback"


class WorkflowTemplate(models.Model):
    """A pre-built workflow that organizers start from."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Shipped templates have a key and no organizer; `gallery.sync` keeps them as the code says.
    key = models.SlugField(max_length=100, unique=True, null=True, blank=True, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, null=True, blank=True, related_name="templates")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    category = models.CharField(max_length=20, choices=TemplateCategory)
    template_data = models.JSONField(default=dict, help_text="A workflow's document, as it is exported.")
    is_public = models.BooleanField(default=False)
    usage_count = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["category", "name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(category__in=TemplateCategory.values), name="workflow_template_category_known"
            ),
            models.UniqueConstraint(
                fields=["organizer", "name"],
                condition=Q(organizer__isnull=False),
                name="workflow_template_name_per_organizer",
            ),
        ]

    def __str__(self) -> str:
        return self.name
