"""The rooms that Weir has made at the video provider."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock


class RoomStatus(models.TextChoices):
    PENDING = "pending", "Being made"
    ACTIVE = "active", "Active"
    FAILED = "failed", "Could not be made"
    DELETED = "deleted", "Deleted"


class Room(models.Model):
    """One room. Its row is written before the provider is called, and is what maintenance holds the provider to."""

    name = models.CharField(max_length=128, unique=True, help_text="The provider's name for it, and its URL's end.")
    booking = models.ForeignKey("automation.Booking", models.SET_NULL, null=True, blank=True, related_name="rooms")
    purpose = models.CharField(max_length=100, blank=True, help_text="What it is for: a booking, stream 12, …")
    provider_id = models.CharField(max_length=100, blank=True)
    url = models.URLField(max_length=500, blank=True)
    status = models.CharField(max_length=20, choices=RoomStatus, default=RoomStatus.PENDING)
    private = models.BooleanField(default=True)
    recording = models.BooleanField(default=False, help_text="Whether it may be recorded.")
    max_participants = models.PositiveIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When it was last compared with the provider's.")
    problem = models.TextField(blank=True, help_text="What went wrong, or what maintenance has mended.")

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(status__in=RoomStatus.values), name="room_status_known")]
        indexes = [
            # Cleaning up asks for the active rooms that have expired.
            models.Index(fields=["expires_at"], condition=Q(status="active"), name="room_to_expire"),
        ]

    def __str__(self) -> str:
        return self.name
