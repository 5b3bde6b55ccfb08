"""What is ours and what is the practitioner's: commissions, earnings, and payouts of them."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from automation import clock
from automation.domains.payment.models.fields import currency_field, key_field, money_field
from automation.domains.payment.models.payments import Payment

HALF = Decimal("0.0005")


class Commission(models.Model):
    """How a sale, or the completed part of a package, was split. Rates are percentages."""

    key = models.CharField(max_length=200, unique=True, help_text="payment:… or package:…:sessions.")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="commissions")
    gross = money_field()
    base_rate = models.DecimalField(max_digits=5, decimal_places=2)
    adjustment = models.DecimalField(max_digits=5, decimal_places=2, help_text="Points, by the practitioner's tier.")
    rate = models.DecimalField(max_digits=5, decimal_places=2)
    tier = models.CharField(max_length=20)
    amount = money_field(help_text="Ours.")
    net = money_field(help_text="The practitioner's.")
    currency = currency_field()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # To half of the smallest unit: SQLite adds decimals as floats.
            models.CheckConstraint(
                condition=Q(gross__gt=F("amount") + F("net") - HALF) & Q(gross__lt=F("amount") + F("net") + HALF),
                name="commission_splits_the_gross",
            ),
            models.CheckConstraint(condition=Q(amount__gte=0) & Q(net__gte=0), name="commission_not_negative"),
        ]

    def __str__(self) -> str:
        return f"commission {self.pk}"


class PayoutAccount(models.Model):
    """Where a practitioner's money goes."""

    practitioner = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="payout_account")
    destination = models.CharField(max_length=255, help_text="The provider's name for the account, such as acct_….")
    currency = currency_field()
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["practitioner"]

    def __str__(self) -> str:
        return f"account of practitioner {self.practitioner_id}"


class PayoutStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    PAID = "paid", "Paid"
    REFUSED = "refused", "Refused"


class PayoutKind(models.TextChoices):
    EARNINGS = "earnings", "Earnings"
    PACKAGE = "package", "Share of a package"


class Payout(models.Model):
    """A transfer of earnings. While it is pending, the earnings it is made of belong to it, and a practitioner has no
    second one in that currency, shares of packages apart."""

    kind = models.CharField(max_length=20, choices=PayoutKind, default=PayoutKind.EARNINGS)
    practitioner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="payouts")
    amount = money_field()
    currency = currency_field()
    destination = models.CharField(max_length=255)
    status = models.CharField(max_length=20, choices=PayoutStatus, default=PayoutStatus.PENDING)
    idempotency_key = key_field()
    provider_id = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    paid_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payout_amount_positive"),
            models.UniqueConstraint(
                fields=["practitioner", "currency"],
                condition=Q(status="pending", kind="earnings"),
                name="payout_one_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"payout {self.pk}"


class EarningKind(models.TextChoices):
    SALE = "sale", "Sale"
    RELEASE = "release", "Share of a package"
    REVERSAL = "reversal", "Reversal by a refund"


class Earning(models.Model):
    """A practitioner's money: positive when earned, negative when a refund takes it back. It can be paid out from
    `available_at` on, once."""

    key = models.CharField(max_length=200, unique=True)
    practitioner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="earnings")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="earnings")
    kind = models.CharField(max_length=20, choices=EarningKind)
    amount = money_field()
    currency = currency_field()
    available_at = models.DateTimeField()
    payout = models.ForeignKey(Payout, models.PROTECT, null=True, blank=True, related_name="earnings")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="reversal", amount__lt=0) | (~Q(kind="reversal") & Q(amount__gt=0)),
                name="earning_sign_follows_kind",
            ),
        ]
        indexes = [
            # What can be paid out, by practitioner.
            models.Index(
                fields=["practitioner", "currency", "available_at"],
                condition=Q(payout__isnull=True),
                name="earning_to_pay_out",
            ),
        ]

    def __str__(self) -> str:
        return f"earning {self.pk}"
