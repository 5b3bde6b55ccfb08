"""What other schedulers tell: where it comes from, each event as it came, and which bookings it is about."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class SourceKind(models.TextChoices):
    CAL_COM = "cal_com", "Cal.com"
    CALENDLY = "calendly", "Calendly"
    STANDARD = "standard", "Standard Webhooks"


class InboundSource(models.Model):
    """A sender of events, whose id is in the URL it posts to. After a rotation the former secret holds for a while."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="inbound_sources")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=SourceKind)
    secret_encrypted = models.TextField(editable=False)
    former_secret_encrypted = models.TextField(blank=True, editable=False)
    former_secret_until = models.DateTimeField(null=True, blank=True)
    event_types = models.JSONField(
        default=dict, blank=True, help_text="The sender's id, URI or slug of an event type → the id of one of ours."
    )
    default_event_type = models.ForeignKey(
        "automation.EventType", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_active = models.BooleanField(default=True)
    received = models.PositiveIntegerField(default=0, editable=False)
    refused = models.PositiveIntegerField(default=0, editable=False, help_text="Requests whose signature was wrong.")
    last_received_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_refused_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=SourceKind.values), name="inbound_source_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name


class InboundStatus(models.TextChoices):
    RECEIVED = "received", "Received"  # stored; is being dealt with
    PROCESSED = "processed", "Processed"
    IGNORED = "ignored", "Ignored"  # nothing follows from it; the note says why
    FAILED = "failed", "Failed"  # could not be carried out; can be processed again


class InboundEvent(models.Model):
    """One event, stored as it came before anything follows from it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey("automation.InboundSource", models.CASCADE, related_name="events")
    external_id = models.CharField(max_length=255, help_text="The sender's id of it, or the SHA-256 of its body.")
    body_hash = models.CharField(max_length=64)
    type = models.CharField(max_length=100, blank=True)
    payload = models.TextField(help_text="The body, as JSON text.")
    status = models.CharField(max_length=20, choices=InboundStatus, default=InboundStatus.RECEIVED)
    note = models.TextField(blank=True)
    booking = models.ForeignKey(
        "automation.Booking", models.SET_NULL, null=True, blank=True, related_name="inbound_events"
    )
    occurred_at = models.DateTimeField(null=True, blank=True, help_text="When it happened, as the sender says.")
    received_at = models.DateTimeField(default=clock.now, editable=False)
    processed_at = models.DateTimeField(null=True, blank=True)
    deliveries = models.PositiveIntegerField(default=1, help_text="How often it came.")
    attempts = models.PositiveIntegerField(default=0)
    due = models.DateTimeField(null=True, blank=True, help_text="When a sweep deals with it, if nobody has.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="inbound_event_once"),
            models.CheckConstraint(condition=Q(status__in=InboundStatus.values), name="inbound_event_status_known"),
        ]
        indexes = [
            models.Index(fields=["due"], condition=Q(due__isnull=False), name="inbound_event_due"),
            # Deleting what is old.
            models.Index(fields=["received_at"], name="inbound_event_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.external_id}"


class InboundBooking(models.Model):
    """A sender's id of a meeting, and the booking that it is here. A meeting that was moved may have several ids.

    `last_event_at` is when the newest event that was applied had happened: what happened earlier and comes later
    changes nothing.
    """

    source = models.ForeignKey("automation.InboundSource", models.CASCADE, related_name="bookings")
    external_id = models.CharField(max_length=255)
    booking = models.ForeignKey("automation.Booking", models.CASCADE, null=True, blank=True, related_name="inbound_ids")
    last_event_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="inbound_booking_once"),
        ]

    def __str__(self) -> str:
        return self.external_id
