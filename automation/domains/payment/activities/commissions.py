"""Splitting what was paid: our commission and the practitioner's earning."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from automation import clock
from automation.domains.payment import ledger, standing
from automation.domains.payment.calls import missing
from automation.domains.payment.models import Commission, Earning, EarningKind, Payment, SaleKind
from automation.domains.payment.rates import Split, split
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.providers.payments import money

HOLD = dt.timedelta(hours=48)
"""How long an earning waits for complaints before it can be paid out."""


@activity.defn(name="calculate_commission")
@monitored_activity(name="calculate_commission")
@transactional_activity
def calculate_commission(payment_id: int, hold_hours: float = 48) -> dict[str, Any]:
    """Split what is left of a payment, once: a Commission, an Earning that is available after the hold, and ledger
    lines that sum to zero.

    status "calculated"; "nothing_to_calculate" where nothing was captured, or all of it was given back; "by_sessions"
    for a package, whose parts are split as its sessions take place.
    """
    payment = Payment.objects.select_for_update().filter(pk=payment_id).first()
    if payment is None:
        raise missing("payment", payment_id)
    if payment.kind == SaleKind.PACKAGE:
        return {"status": "by_sessions", "payment_id": payment_id}
    key = f"payment:{payment_id}"
    known = Commission.objects.filter(key=key).first()
    if known is not None:
        return describe(known)
    gross = standing.of(payment).unearned
    if not gross:
        return {"status": "nothing_to_calculate", "payment_id": payment_id}
    tier = standing.tier_of(payment.practitioner_id)
    commission = recognize(payment, key, split(gross, payment.kind, tier, payment.currency), tier)
    if commission.net:
        Earning.objects.create(
            key=key,
            practitioner_id=payment.practitioner_id,
            payment=payment,
            kind=EarningKind.SALE,
            amount=commission.net,
            currency=payment.currency,
            available_at=clock.now() + dt.timedelta(hours=hold_hours),
        )
    return describe(commission)


@activity.defn(name="create_booking_earnings")
@monitored_activity(name="create_booking_earnings")
@transactional_activity
def create_booking_earnings(booking_id: uuid.UUID) -> dict[str, Any]:
    """The earnings of a completed booking, available 48 hours later; status "no_payment" for one that cost nothing."""
    payment = Payment.objects.filter(booking_id=booking_id).first()
    if payment is None:
        return {"status": "no_payment", "booking_id": str(booking_id)}
    found: dict[str, Any] = calculate_commission(payment.pk, HOLD / dt.timedelta(hours=1))
    return found


def recognize(payment: Payment, key: str, found: Split, tier: str) -> Commission:
    """Write a split down, in rows and in the ledger. The caller holds the payment's row and has looked for the key."""
    commission = Commission.objects.create(
        key=key,
        payment=payment,
        gross=found.gross,
        base_rate=found.base_rate,
        adjustment=found.adjustment,
        rate=found.rate,
        tier=tier,
        amount=found.commission,
        net=found.net,
        currency=payment.currency,
    )
    ledger.post(
        f"commission:{key}",
        payment.currency,
        {
            ledger.UNEARNED: found.gross,
            ledger.COMMISSION: -found.commission,
            ledger.practitioner(payment.practitioner_id): -found.net,
        },
        f"Split of payment {payment.pk}",
    )
    return commission


def describe(commission: Commission) -> dict[str, Any]:
    """A commission as workflows see it; amounts and rates are text."""

    def shown(amount: Decimal) -> str:
        return str(money.rounded(amount, commission.currency))

    return {
        "status": "calculated",
        "payment_id": commission.payment_id,
        "gross": shown(commission.gross),
        "base_rate": _rate(commission.base_rate),
        "adjustment": _rate(commission.adjustment),
        "rate": _rate(commission.rate),
        "tier": commission.tier,
        "commission": shown(commission.amount),
        "net": shown(commission.net),
        "currency": commission.currency,
    }


def _rate(value: Decimal) -> str:
    return str(value.quantize(Decimal("0.01")))


ACTIVITIES: list[Callable[..., Any]] = [calculate_commission, create_booking_earnings]
