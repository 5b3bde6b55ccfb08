"""What an organizer offers: 'Discovery Call, 30 minutes'."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.text import slugify

from automation import clock
from automation.models.ids import uuid7


class LocationType(models.TextChoices):
    VIDEO = "video", "Video call"
    PHONE = "phone", "Phone call"
    IN_PERSON = "in_person", "In person"
    CUSTOM = "custom", "Custom"


class EventType(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="event_types")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    duration = models.PositiveIntegerField(help_text="Minutes.", validators=[MinValueValidator(1)])
    location_type = models.CharField(max_length=20, choices=LocationType, default=LocationType.VIDEO)
    max_attendees = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["organizer", "slug"], name="event_type_slug_per_organizer"),
            models.CheckConstraint(condition=models.Q(duration__gte=1), name="event_type_duration_positive"),
            models.CheckConstraint(condition=models.Q(max_attendees__gte=1), name="event_type_attendees_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.slug:
            self.slug = self._free_slug()
        super().save(*args, **kwargs)

    def _free_slug(self) -> str:
        base = slugify(self.name)[:180] or "event"
        taken = set(
            EventType.objects.filter(organizer_id=self.organizer_id, slug__startswith=base).values_list(
                "slug", flat=True
            )
        )
        if base not in taken:
            return base
        number = 2
        while f"{base}-{number}" in taken:
            number += 1
        return f"{base}-{number}"
