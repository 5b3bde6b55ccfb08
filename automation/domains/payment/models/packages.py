"""Packages of sessions, paid in advance and paid out as the sessions take place."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from automation import clock
from automation.domains.payment.models.earnings import Commission, Payout
from automation.domains.payment.models.payments import Payment


class PackageStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"


class Package(models.Model):
    practitioner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="packages")
    payment = models.OneToOneField(Payment, models.PROTECT, related_name="package")
    title = models.CharField(max_length=200)
    sessions_total = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    status = models.CharField(max_length=20, choices=PackageStatus, default=PackageStatus.ACTIVE)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(sessions_total__gte=1), name="package_has_sessions"),
            models.CheckConstraint(condition=Q(status__in=PackageStatus.values), name="package_status_known"),
        ]

    def __str__(self) -> str:
        return self.title


class PackageSession(models.Model):
    """One of a package's sessions; it counts once `completed_at` is set."""

    package = models.ForeignKey(Package, models.CASCADE, related_name="sessions")
    number = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    booking = models.OneToOneField(
        "automation.Booking", models.SET_NULL, null=True, blank=True, related_name="package_session"
    )
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["package", "number"]
        constraints = [
            models.UniqueConstraint(fields=["package", "number"], name="package_session_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="package_session_from_one"),
        ]

    def __str__(self) -> str:
        return f"session {self.number}"


class PackagePayout(models.Model):
    """The share that was due when so many sessions were completed: each share once."""

    package = models.ForeignKey(Package, models.PROTECT, related_name="payouts")
    sessions_completed = models.PositiveIntegerField()
    commission = models.OneToOneField(Commission, models.PROTECT, related_name="package_payout")
    payout = models.OneToOneField(
        Payout, models.PROTECT, null=True, related_name="package_payout", help_text="None where all of it was ours."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["package", "sessions_completed"]
        constraints = [
            models.UniqueConstraint(fields=["package", "sessions_completed"], name="package_payout_once_per_share"),
        ]

    def __str__(self) -> str:
        return f"share of {self.sessions_completed} sessions"
