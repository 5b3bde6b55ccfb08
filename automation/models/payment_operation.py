"""The books of the offline payments provider: what it was asked to move, by idempotency key."""

from __future__ import annotations

from django.db import models

from automation import clock


class PaymentOperation(models.Model):
    """One call that `automation.providers.payments.memory` carried out or declined. Nothing of it is real money."""

    provider_id = models.CharField(max_length=64, unique=True)
    idempotency_key = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=20)
    amount = models.DecimalField(max_digits=18, decimal_places=3)
    currency = models.CharField(max_length=3)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")
    payment_method = models.CharField(max_length=255, blank=True)
    destination = models.CharField(max_length=255, blank=True)
    reference = models.CharField(max_length=255, blank=True)
    declined = models.CharField(max_length=64, blank=True, help_text="The bank's word for why; empty where it agreed.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payment_operation_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} {self.currency}"
