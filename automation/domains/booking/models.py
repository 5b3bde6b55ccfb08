"""What is known of a session besides its booking: who came, what was sent about it, and what was thought of it."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from automation import clock


class Role(models.TextChoices):
    INVITEE = "invitee", "Invitee"
    ORGANIZER = "organizer", "Organizer"


class Attendance(models.Model):
    """That somebody has joined; the first time counts."""

    booking = models.ForeignKey("automation.Booking", models.CASCADE, related_name="attendance")
    role = models.CharField(max_length=20, choices=Role)
    joined_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["booking", "joined_at"]
        verbose_name_plural = "attendance"
        constraints = [models.UniqueConstraint(fields=["booking", "role"], name="attendance_once_per_role")]

    def __str__(self) -> str:
        return f"{self.role} joined"


class MessageStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"


class SessionMessage(models.Model):
    """A message about a session, to one of its two people: of each kind one, for each time that the session has had.
    `key` is that of the step which was first to want it, and the same for all who try to send it."""

    booking = models.ForeignKey("automation.Booking", models.CASCADE, related_name="session_messages")
    sequence = models.PositiveIntegerField(help_text="The booking's, which grows when its time changes.")
    kind = models.CharField(max_length=40)
    role = models.CharField(max_length=20, choices=Role)
    key = models.CharField(max_length=255)
    status = models.CharField(max_length=20, choices=MessageStatus, default=MessageStatus.PENDING)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["booking", "sequence", "kind", "role"], name="session_message_once"),
            models.CheckConstraint(condition=Q(status__in=MessageStatus.values), name="session_message_status_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.role}"


class Follower(models.Model):
    """A workflow that wants to know when the booking changes. It may have ended."""

    booking = models.ForeignKey("automation.Booking", models.CASCADE, related_name="followers")
    execution = models.ForeignKey("automation.WorkflowExecution", models.CASCADE, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["booking", "execution"], name="follower_once")]

    def __str__(self) -> str:
        return f"execution {self.execution_id}"


class Feedback(models.Model):
    """What the invitee thought of the session: one to five stars."""

    booking = models.OneToOneField("automation.Booking", models.CASCADE, related_name="feedback")
    rating = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(5)])
    comment = models.TextField(blank=True)
    submitted_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-submitted_at"]
        verbose_name_plural = "feedback"
        constraints = [
            models.CheckConstraint(condition=Q(rating__gte=1) & Q(rating__lte=5), name="feedback_rating_of_five")
        ]

    def __str__(self) -> str:
        return f"{self.rating} of 5"
