"""A meeting between an organizer and an invitee.

Every change that automations react to is written through `Booking.save()`, which records a `BookingEvent` in the
same transaction (`automation.services.booking_events` decides which): the booking and its event commit together.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from automation import clock
from automation.models.ids import uuid7
from automation.models.validators import validate_timezone


class BookingStatus(models.TextChoices):
    CONFIRMED = "confirmed", "Confirmed"
    CANCELLED = "cancelled", "Cancelled"
    RESCHEDULED = "rescheduled", "Rescheduled"
    COMPLETED = "completed", "Completed"
    NO_SHOW = "no_show", "No-show"


def new_access_token() -> str:
    """The secret in an invitee's cancel and reschedule links: 32 URL-safe characters."""
    return secrets.token_urlsafe(24)


class Booking(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event_type = models.ForeignKey("automation.EventType", models.PROTECT, related_name="bookings")
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="bookings")
    invitee_name = models.CharField(max_length=200)
    invitee_email = models.EmailField()
    invitee_phone = models.CharField(max_length=32, blank=True)
    invitee_timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    status = models.CharField(max_length=20, choices=BookingStatus, default=BookingStatus.CONFIRMED)
    attendee_count = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    custom_answers = models.JSONField(default=dict, blank=True)
    meeting_link = models.URLField(max_length=500, blank=True)
    meeting_id = models.CharField(max_length=200, blank=True)
    meeting_password = models.CharField(max_length=200, blank=True)
    cancellation_reason = models.TextField(blank=True)
    cancelled_by = models.CharField(max_length=254, blank=True, help_text="Who cancelled: an email, or a channel.")
    rescheduled_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="rescheduled_to")
    access_token = models.CharField(max_length=64, unique=True, default=new_access_token, editable=False)
    sequence = models.PositiveIntegerField(default=0, editable=False, help_text="Grows whenever the time changes.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-start_time", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(end_time__gt=models.F("start_time")), name="booking_ends_after_start"
            ),
            models.CheckConstraint(condition=models.Q(attendee_count__gte=1), name="booking_attendees_positive"),
            models.CheckConstraint(condition=models.Q(status__in=BookingStatus.values), name="booking_status_known"),
        ]
        indexes = [
            # The organizer's list of bookings, by time.
            models.Index(fields=["organizer", "start_time"], name="booking_by_organizer_time"),
            # Planning a workflow for the bookings that have not passed.
            models.Index(fields=["event_type", "start_time"], name="booking_by_event_type_time"),
        ]

    def __str__(self) -> str:
        return f"{self.invitee_name}, {self.start_time:%Y-%m-%d %H:%M} UTC"

    def clean(self) -> None:
        if self.start_time and self.end_time and self.end_time <= self.start_time:
            raise ValidationError({"end_time": "The end must lie after the start."})
        if not isinstance(self.custom_answers, dict):
            raise ValidationError({"custom_answers": "Expected an object of answers by key."})

    @property
    def duration_minutes(self) -> int:
        return int((self.end_time - self.start_time).total_seconds() // 60)

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
