"""Practitioners' subscriptions, which set their tier, and the charges for them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from automation import clock
from automation.domains.payment.models.fields import check_money, currency_field, key_field, money_field


class Tier(models.TextChoices):
    BASIC = "basic", "Basic"
    PROFESSIONAL = "professional", "Professional"
    PREMIUM = "premium", "Premium"


class Interval(models.TextChoices):
    MONTHLY = "monthly", "Monthly (30 days)"
    YEARLY = "yearly", "Yearly (365 days)"


class SubscriptionStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    PAST_DUE = "past_due", "Past due"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"


class Subscription(models.Model):
    """A cancelled one runs to the end of its period; an expired one could not be charged."""

    practitioner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="subscriptions")
    tier = models.CharField(max_length=20, choices=Tier, default=Tier.BASIC)
    interval = models.CharField(max_length=20, choices=Interval, default=Interval.MONTHLY)
    price = money_field()
    currency = currency_field()
    payment_method = models.CharField(max_length=255)
    customer = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=20, choices=SubscriptionStatus, default=SubscriptionStatus.ACTIVE)
    current_period_end = models.DateTimeField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(price__gt=0), name="subscription_price_positive"),
            models.CheckConstraint(condition=Q(status__in=SubscriptionStatus.values), name="subscription_status_known"),
            models.UniqueConstraint(
                fields=["practitioner"], condition=Q(status__in=("active", "past_due")), name="subscription_one_running"
            ),
        ]

    def __str__(self) -> str:
        return f"subscription {self.pk}"

    def clean(self) -> None:
        if self.price is not None:
            check_money(self.price, self.currency, "price")


class ChargeStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    SUCCEEDED = "succeeded", "Succeeded"
    DECLINED = "declined", "Declined"


class SubscriptionCharge(models.Model):
    """One try at charging a period, which is known by its start; at most one succeeds."""

    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="charges")
    period_start = models.DateTimeField()
    attempt = models.PositiveSmallIntegerField(default=0)
    amount = money_field()
    currency = currency_field()
    status = models.CharField(max_length=20, choices=ChargeStatus, default=ChargeStatus.PENDING)
    idempotency_key = key_field()
    provider_id = models.CharField(max_length=255, blank=True)
    decline_code = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["subscription", "period_start", "attempt"], name="charge_once_per_attempt"),
            models.UniqueConstraint(
                fields=["subscription", "period_start"],
                condition=Q(status__in=("pending", "succeeded")),
                name="charge_one_live_per_period",
            ),
        ]

    def __str__(self) -> str:
        return f"charge {self.pk}"
