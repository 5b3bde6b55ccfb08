"""What operations have done: backups, what is monitored, plans and their commands."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock


class BackupStatus(models.TextChoices):
    RUNNING = "running", "Being made"
    STORED = "stored", "Stored, not verified yet"
    VERIFIED = "verified", "Verified"
    FAILED = "failed", "Failed"
    PRUNED = "pruned", "Pruned"


class Backup(models.Model):
    """One backup of the project's database. `tables` holds the rows of each table at the moment of the dump."""

    key = models.CharField(max_length=100, unique=True, editable=False, help_text="The step that began it.")
    vendor = models.CharField(max_length=20, help_text="sqlite or postgresql")
    database = models.CharField(max_length=500)
    path = models.CharField(max_length=1000, blank=True)
    size = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)
    tables = models.JSONField(default=dict)
    status = models.CharField(max_length=20, choices=BackupStatus, default=BackupStatus.RUNNING)
    problem = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    verified_at = models.DateTimeField(null=True, blank=True)
    pruned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=BackupStatus.values), name="backup_status_known"),
        ]

    def __str__(self) -> str:
        return f"{self.vendor} backup of {self.created_at:%F %T} UTC"


class Monitor(models.Model):
    """A URL that is probed, and what its last probe said."""

    url = models.URLField(max_length=2000, unique=True)
    is_up = models.BooleanField(null=True, blank=True)
    status_code = models.PositiveIntegerField(null=True, blank=True)
    elapsed_ms = models.PositiveIntegerField(null=True, blank=True)
    problem = models.TextField(blank=True)
    probed_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True, help_text="Since when it is as it is.")

    class Meta:
        ordering = ["url"]

    def __str__(self) -> str:
        return self.url


class PlanStatus(models.TextChoices):
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    UNDONE = "undone", "Failed, and undone"
    STUCK = "stuck", "Failed, and not all of it could be undone"


class PlanRun(models.Model):
    """One deployment or provisioning."""

    key = models.CharField(max_length=100, unique=True, editable=False, help_text="The step that began it.")
    kind = models.CharField(max_length=20, help_text="deployment or provisioning")
    name = models.CharField(max_length=200)
    runner = models.CharField(max_length=100)
    status = models.CharField(max_length=20, choices=PlanStatus, default=PlanStatus.RUNNING)
    problem = models.TextField(blank=True)
    started_at = models.DateTimeField(default=clock.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(status__in=PlanStatus.values), name="plan_status_known")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class PlanCommand(models.Model):
    """One command that was run. The output is its end."""

    run = models.ForeignKey(PlanRun, models.CASCADE, related_name="commands")
    step = models.CharField(max_length=200)
    phase = models.CharField(max_length=20, help_text="check, run, health or undo")
    target = models.CharField(max_length=255, blank=True)
    argv = models.JSONField()
    attempt = models.PositiveIntegerField(default=1)
    exit_code = models.IntegerField(null=True, blank=True, help_text="None where it was ended.")
    stdout = models.TextField(blank=True)
    stderr = models.TextField(blank=True)
    seconds = models.FloatField()
    ended_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["run", "id"]

    def __str__(self) -> str:
        return f"{self.phase} of {self.step}"
