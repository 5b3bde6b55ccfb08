"""Streams, who takes part, and what was recorded."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from automation import clock, secrets


class StreamStatus(models.TextChoices):
    SCHEDULED = "scheduled", "Scheduled"
    READY = "ready", "Ready"
    FAILED = "failed", "Could not be set up"
    ENDED = "ended", "Ended"
    ARCHIVED = "archived", "Archived"


class Stream(models.Model):
    title = models.CharField(max_length=200)
    host = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="streams")
    booking = models.ForeignKey("automation.Booking", models.SET_NULL, null=True, blank=True, related_name="streams")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    status = models.CharField(max_length=20, choices=StreamStatus, default=StreamStatus.SCHEDULED)
    config = models.JSONField(default=dict, blank=True, help_text="quality, recording, max_participants.")
    room_name = models.CharField(max_length=128, blank=True)
    room_url = models.URLField(max_length=500, blank=True)
    problem = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="stream_ends_after_start"),
            models.CheckConstraint(condition=Q(status__in=StreamStatus.values), name="stream_status_known"),
        ]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": "The end must lie after the start."})


class StreamParticipant(models.Model):
    """Somebody who is let in. The token is what lets them in, and is kept encrypted until the stream is archived."""

    stream = models.ForeignKey(Stream, models.CASCADE, related_name="participants")
    name = models.CharField(max_length=200)
    email = models.EmailField()
    is_host = models.BooleanField(default=False)
    token_encrypted = models.TextField(blank=True, editable=False)
    token_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["stream", "email"], name="stream_participant_once")]

    def __str__(self) -> str:
        return f"{self.name} in {self.stream_id}"

    @property
    def token(self) -> str:
        """The meeting token in the clear; empty where there is none."""
        return secrets.decrypt(self.token_encrypted)

    @property
    def join_url(self) -> str:
        """The link that lets them in; empty before the stream is ready and after it has been archived."""
        return f"{self.stream.room_url}?t={self.token}" if self.token_encrypted and self.stream.room_url else ""


class StreamRecording(models.Model):
    """A recording at the provider. Its link ends; the provider's id gets a new one."""

    stream = models.ForeignKey(Stream, models.CASCADE, related_name="recordings")
    provider_id = models.CharField(max_length=100, unique=True)
    status = models.CharField(max_length=20, help_text="in-progress, finished, canceled")
    started_at = models.DateTimeField()
    duration = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds.")
    link = models.URLField(max_length=2000, blank=True)
    link_expires_at = models.DateTimeField(null=True, blank=True)
    stored_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at", "-id"]

    def __str__(self) -> str:
        return self.provider_id
