"""A practitioner, and what an onboarding asks of them. Services are the user's event types; subscriptions are kept
where they are paid."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from automation import clock


class PractitionerStatus(models.TextChoices):
    NEW = "new", "New"
    ONBOARDING = "onboarding", "Onboarding"
    STALLED = "stalled", "Stalled"
    REJECTED = "rejected", "Rejected"
    ACTIVE = "active", "Active"


class Practitioner(models.Model):
    """The profile. Name, phone and time zone are the user's."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="practitioner")
    headline = models.CharField(max_length=200, blank=True)
    bio = models.TextField(blank=True)
    status = models.CharField(max_length=20, choices=PractitionerStatus, default=PractitionerStatus.NEW)
    status_reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    onboarding_started_at = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=PractitionerStatus.values), name="practitioner_status_known"),
        ]

    def __str__(self) -> str:
        return str(self.user)


class DocumentKind(models.TextChoices):
    IDENTITY = "identity", "Identity document"
    QUALIFICATION = "qualification", "Qualification"
    INSURANCE = "insurance", "Insurance"


class DocumentStatus(models.TextChoices):
    SUBMITTED = "submitted", "Submitted"
    VERIFIED = "verified", "Verified"
    REJECTED = "rejected", "Rejected"


class Document(models.Model):
    """One document of each kind is asked for; handing in another one replaces it."""

    practitioner = models.ForeignKey(Practitioner, models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=20, choices=DocumentKind)
    reference = models.CharField(max_length=500, help_text="Where it is kept.")
    status = models.CharField(max_length=20, choices=DocumentStatus, default=DocumentStatus.SUBMITTED)
    reason = models.TextField(blank=True, help_text="Why it was rejected.")
    submitted_at = models.DateTimeField(default=clock.now)
    reviewed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["practitioner", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["practitioner", "kind"], name="document_once_per_kind"),
            models.CheckConstraint(condition=Q(status__in=DocumentStatus.values), name="document_status_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.practitioner_id}"


class CheckStatus(models.TextChoices):
    REQUESTED = "requested", "Requested"
    CLEAR = "clear", "Clear"
    FAILED = "failed", "Failed"


class BackgroundCheck(models.Model):
    """Requested by an onboarding, and answered by whoever makes it. One at a time is open."""

    practitioner = models.ForeignKey(Practitioner, models.CASCADE, related_name="background_checks")
    status = models.CharField(max_length=20, choices=CheckStatus, default=CheckStatus.REQUESTED)
    reason = models.TextField(blank=True, help_text="Why it failed.")
    requested_at = models.DateTimeField(default=clock.now)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-requested_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["practitioner"], condition=Q(status="requested"), name="background_check_one_open"
            ),
            models.CheckConstraint(condition=Q(status__in=CheckStatus.values), name="background_check_status_known"),
        ]

    def __str__(self) -> str:
        return f"background check of {self.practitioner_id}: {self.status}"


class TrainingModule(models.Model):
    code = models.SlugField(max_length=100, unique=True)
    title = models.CharField(max_length=200)
    is_required = models.BooleanField(default=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.title


class TrainingCompletion(models.Model):
    practitioner = models.ForeignKey(Practitioner, models.CASCADE, related_name="trainings")
    module = models.ForeignKey(TrainingModule, models.CASCADE, related_name="completions")
    completed_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-completed_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["practitioner", "module"], name="training_once")]

    def __str__(self) -> str:
        return f"{self.module_id} by {self.practitioner_id}"


class Part(models.TextChoices):
    """What an onboarding goes through, in this order."""

    PROFILE = "profile", "Profile"
    DOCUMENTS = "documents", "Documents"
    BACKGROUND_CHECK = "background_check", "Background check"
    TRAINING = "training", "Training"
    SUBSCRIPTION = "subscription", "Subscription"
    SERVICES = "services", "Services"


class PartStatus(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DONE = "done", "Done"
    STALLED = "stalled", "Stalled"
    FAILED = "failed", "Failed"


class OnboardingPart(models.Model):
    """How far a practitioner is with one part, and who said so."""

    practitioner = models.ForeignKey(Practitioner, models.CASCADE, related_name="parts")
    part = models.CharField(max_length=20, choices=Part)
    status = models.CharField(max_length=20, choices=PartStatus, default=PartStatus.WAITING)
    source = models.CharField(max_length=20, blank=True, help_text="check: found in the rows; signal: said so.")
    reason = models.TextField(blank=True)
    began_at = models.DateTimeField(default=clock.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["practitioner", "began_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["practitioner", "part"], name="onboarding_part_once"),
            models.CheckConstraint(condition=Q(status__in=PartStatus.values), name="onboarding_part_status_known"),
        ]

    def __str__(self) -> str:
        return f"{self.part} of {self.practitioner_id}: {self.status}"
