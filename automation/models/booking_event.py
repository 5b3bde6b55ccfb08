"""The event inbox: what happened to a booking, committed together with it, and waiting to trigger workflows."""

from __future__ import annotations

from django.db import models

from automation import clock
from automation.models.ids import uuid7


class Trigger(models.TextChoices):
    BOOKING_CREATED = "booking_created", "A booking is created"
    BOOKING_CANCELLED = "booking_cancelled", "A booking is cancelled"
    BOOKING_RESCHEDULED = "booking_rescheduled", "A booking is rescheduled"
    BOOKING_COMPLETED = "booking_completed", "A booking is completed"
    BOOKING_NO_SHOW = "booking_no_show", "An invitee does not show up"
    BEFORE_MEETING = "before_meeting", "Before a meeting"
    AFTER_MEETING = "after_meeting", "After a meeting"


PLAN_CHANGED = "plan_changed"
"""An event that starts no workflow, and yet what is planned around the meeting has to be looked at again: the booking
was replaced by another, or a booking that is over got other times."""


class BookingEvent(models.Model):
    """One event. `due` is when a sweep publishes it (again); it is cleared, and `processed_at` set, when the event's
    executions have been created, in one transaction with them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    booking = models.ForeignKey("automation.Booking", models.CASCADE, related_name="events")
    trigger = models.CharField(max_length=30, choices=[*Trigger.choices, (PLAN_CHANGED, "The plan changes")])
    booking_sequence = models.PositiveIntegerField(default=0)
    source = models.CharField(max_length=100, default="code", help_text="The way in: api, admin, code, cal.com …")
    # The workflow whose action caused this event, and how many workflows deep the chain of causes is.
    caused_by = models.ForeignKey("automation.WorkflowExecution", models.SET_NULL, null=True, blank=True)
    depth = models.PositiveSmallIntegerField(default=0)
    occurred_at = models.DateTimeField(default=clock.now)
    due = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    processed_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, help_text="Why nothing was started, or what went wrong.")

    class Meta:
        ordering = ["-occurred_at", "-id"]
        indexes = [
            # The sweep of events whose message was lost.
            models.Index(fields=["due"], condition=models.Q(due__isnull=False), name="booking_event_due"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(trigger__in=[*Trigger.values, PLAN_CHANGED]), name="booking_event_trigger_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trigger} of {self.booking_id}"
