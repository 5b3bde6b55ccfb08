"""The audit log of bookings."""

from __future__ import annotations

from django.db import models

from automation import clock


class BookingAuditLog(models.Model):
    """Who changed what in a booking; never edited."""

    booking = models.ForeignKey("automation.Booking", models.CASCADE, related_name="audit_log")
    action = models.CharField(max_length=50)
    actor = models.CharField(max_length=254, help_text="An email, 'workflow:<name>', or a channel such as 'admin'.")
    execution = models.ForeignKey("automation.WorkflowExecution", models.SET_NULL, null=True, blank=True)
    step_seq = models.IntegerField(null=True, blank=True)
    old_values = models.JSONField(default=dict)
    new_values = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # An update by a step is audited, and so takes effect, once.
            models.UniqueConstraint(
                fields=["execution", "step_seq"],
                condition=models.Q(step_seq__isnull=False),
                name="booking_audit_once_per_step",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
