"""What a customer owes and has paid: payments, their transactions, captures and refunds."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q

from automation import clock
from automation.domains.payment.models.fields import check_money, currency_field, key_field, money_field


def new_key() -> str:
    return uuid.uuid4().hex


class SaleKind(models.TextChoices):
    SESSION = "session", "Session"
    PACKAGE = "package", "Package"
    WORKSHOP = "workshop", "Workshop"
    COURSE = "course", "Course"
    BUNDLE = "bundle", "Bundle"


class PaymentStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    PAID = "paid", "Paid"
    DECLINED = "declined", "Declined"
    FAILED = "failed", "Failed"
    PARTIALLY_REFUNDED = "partially_refunded", "Partially refunded"
    REFUNDED = "refunded", "Refunded"


class Payment(models.Model):
    """An amount that somebody is to pay for something that a practitioner sells. `key` is the seller's own name for
    it (`booking:…`), which keeps the same thing from being charged twice."""

    key = models.CharField(max_length=200, unique=True, default=new_key)
    practitioner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="sales")
    booking = models.OneToOneField("automation.Booking", models.SET_NULL, null=True, blank=True, related_name="payment")
    kind = models.CharField(max_length=20, choices=SaleKind, default=SaleKind.SESSION)
    description = models.CharField(max_length=200, blank=True)
    payer_name = models.CharField(max_length=200, blank=True)
    payer_email = models.EmailField()
    amount = money_field()
    currency = currency_field()
    payment_method = models.CharField(max_length=255, help_text="The provider's name for it, such as pm_….")
    customer = models.CharField(max_length=255, blank=True, help_text="The provider's name for the payer, if on file.")
    status = models.CharField(max_length=20, choices=PaymentStatus, default=PaymentStatus.PENDING)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_amount_positive"),
            models.CheckConstraint(condition=Q(status__in=PaymentStatus.values), name="payment_status_known"),
            models.CheckConstraint(condition=Q(kind__in=SaleKind.values), name="payment_kind_known"),
        ]

    def __str__(self) -> str:
        return f"payment {self.pk}"

    def clean(self) -> None:
        if self.amount is not None:
            check_money(self.amount, self.currency)


class TransactionStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    AUTHORIZED = "authorized", "Authorized"
    CAPTURED = "captured", "Captured"
    DECLINED = "declined", "Declined"
    FAILED = "failed", "Failed"


LIVE = (TransactionStatus.PENDING, TransactionStatus.AUTHORIZED, TransactionStatus.CAPTURED)


class Transaction(models.Model):
    """One try at being paid. A payment has at most one that has not come to nothing."""

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="transactions")
    amount = money_field()
    currency = currency_field()
    status = models.CharField(max_length=20, choices=TransactionStatus, default=TransactionStatus.PENDING)
    idempotency_key = key_field()
    provider_id = models.CharField(max_length=255, blank=True)
    decline_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["payment"], condition=Q(status__in=LIVE), name="transaction_one_live"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="transaction_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"transaction {self.pk}"


class Capture(models.Model):
    """The money of a transaction being taken; `captured_at` is empty until it has been."""

    transaction = models.OneToOneField(Transaction, models.PROTECT, related_name="capture")
    amount = money_field()
    currency = currency_field()
    idempotency_key = key_field()
    provider_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    captured_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="capture_amount_positive")]

    def __str__(self) -> str:
        return f"capture {self.pk}"


class RefundStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    SUCCEEDED = "succeeded", "Succeeded"
    REFUSED = "refused", "Refused"


class Refund(models.Model):
    """Money given back. `gross_reversed` is the part of it that had been earned already: of that, `commission_reversed`
    was ours and the rest the practitioner's."""

    key = models.CharField(max_length=200, unique=True, help_text="The same wish is carried out once.")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount = money_field()
    currency = currency_field()
    reason = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=20, choices=RefundStatus, default=RefundStatus.PENDING)
    idempotency_key = key_field()
    provider_id = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    gross_reversed = money_field(default=Decimal(0))
    commission_reversed = money_field(default=Decimal(0))
    created_at = models.DateTimeField(default=clock.now, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=Q(gross_reversed__lte=models.F("amount"))
                & Q(commission_reversed__lte=models.F("gross_reversed"))
                & Q(commission_reversed__gte=0),
                name="refund_reversal_within_amount",
            ),
        ]

    def __str__(self) -> str:
        return f"refund {self.pk}"
