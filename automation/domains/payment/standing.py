"""Where a payment stands: how much was captured, given back, and split already."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q, Sum

from automation import clock
from automation.domains.payment.models import (
    Capture,
    Payment,
    RefundStatus,
    Subscription,
    SubscriptionStatus,
    Tier,
)
from automation.providers.payments import money


@dataclass(frozen=True)
class Standing:
    """Amounts of one payment. `refunding` counts refunds that are on their way as well. Of what was recognized (split
    between us and the practitioner), refunds have reversed a part."""

    captured: Decimal
    refunded: Decimal
    refunding: Decimal
    recognized: Decimal
    commission: Decimal
    reversed_gross: Decimal
    reversed_commission: Decimal

    @property
    def refundable(self) -> Decimal:
        return self.captured - self.refunding

    @property
    def unearned(self) -> Decimal:
        """What the customer paid for and that has been neither split nor given back."""
        return self.captured - self.recognized - (self.refunded - self.reversed_gross)


def of(payment: Payment) -> Standing:
    """Read it; lock the payment's row first where something follows from it."""
    captures = Capture.objects.filter(transaction__payment=payment, captured_at__isnull=False)
    refunds = payment.refunds.exclude(status=RefundStatus.REFUSED)
    done = refunds.filter(status=RefundStatus.SUCCEEDED)

    def total(rows: object, field: str) -> Decimal:
        found: Decimal | None = rows.aggregate(sum=Sum(field))["sum"]  # type: ignore[attr-defined]
        return money.rounded(found or Decimal(0), payment.currency)

    return Standing(
        captured=total(captures, "amount"),
        refunded=total(done, "amount"),
        refunding=total(refunds, "amount"),
        recognized=total(payment.commissions, "gross"),
        commission=total(payment.commissions, "amount"),
        reversed_gross=total(done, "gross_reversed"),
        reversed_commission=total(done, "commission_reversed"),
    )


def tier_of(practitioner_id: int) -> str:
    """The practitioner's tier: that of a subscription that runs, cancelled ones to the end of their period; else
    basic."""
    running = Q(status__in=(SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE))
    paid = Q(status=SubscriptionStatus.CANCELLED, current_period_end__gt=clock.now())
    rows = Subscription.objects.filter(running | paid, practitioner_id=practitioner_id)
    found = rows.order_by("-current_period_end", "-pk").first()
    return found.tier if found is not None else Tier.BASIC
