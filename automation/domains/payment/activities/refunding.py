"""Giving money back: never more than was captured, and with it what was earned by it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from automation import clock
from automation.domains.payment import ledger, standing
from automation.domains.payment.calls import missing, once, refused, step_key
from automation.domains.payment.models import (
    Earning,
    EarningKind,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    TransactionStatus,
)
from automation.domains.payment.rates import part
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.durable.exceptions import ApplicationError
from automation.providers.payments import get_backend, money


@activity.defn(name="open_refund")
@monitored_activity(name="open_refund")
@transactional_activity
def open_refund(payment_id: int, key: str, amount: Decimal | None = None, reason: str = "") -> dict[str, Any]:
    """Put a refund down under its business key: of `amount`, or of all that is left. One with that key stays as it is.

    status "nothing_to_refund" where nothing is left. Raises ApplicationError: RefundTooLarge for more than is left,
    NotRefundable for a payment that was never captured.
    """
    payment = Payment.objects.select_for_update().filter(pk=payment_id).first()
    if payment is None:
        raise missing("payment", payment_id)
    known = Refund.objects.filter(key=key).first()
    if known is not None:
        return describe(known)
    stands = standing.of(payment)
    if not stands.captured:
        raise ApplicationError(
            f"Payment {payment_id} has not been captured: there is nothing to give back.",
            type="NotRefundable",
            non_retryable=True,
        )
    wanted = stands.refundable if amount is None else amount
    if amount is None and not wanted:
        return {"status": "nothing_to_refund", "payment_id": payment_id, "amount": "0", "currency": payment.currency}
    if not 0 < wanted <= stands.refundable or wanted != money.rounded(wanted, payment.currency):
        raise ApplicationError(
            f"{wanted} {payment.currency} cannot be refunded: expected whole minor units, at most {stands.refundable}, "
            f"which are left of the {stands.captured} captured.",
            {"refundable": str(stands.refundable)},
            type="RefundTooLarge",
            non_retryable=True,
        )
    refund = Refund.objects.create(
        key=key,
        payment=payment,
        amount=wanted,
        currency=payment.currency,
        reason=reason[:200],
        idempotency_key=step_key(),
    )
    return describe(refund)


@activity.defn(name="send_refund")
@monitored_activity(name="send_refund")
def send_refund(refund_id: int) -> dict[str, Any]:
    """Have the provider give the money back. Raises ApplicationError: PaymentRefused is final, PaymentFailed is not."""
    refund = _refund(refund_id)
    if refund.status == RefundStatus.REFUSED:
        raise refused(refund.error)
    if refund.status == RefundStatus.PENDING and not refund.provider_id:
        captured = refund.payment.transactions.get(status=TransactionStatus.CAPTURED)
        amount, key = money.rounded(refund.amount, refund.currency), refund.idempotency_key
        try:
            operation = once(
                refund,
                "refund",
                lambda: get_backend().refund(captured.provider_id, amount, refund.currency, key),
                captured.provider_id,
            )
        except ApplicationError as error:
            if error.non_retryable:
                Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.REFUSED, error=error.message)
            raise
        Refund.objects.filter(pk=refund.pk).update(provider_id=operation.id)
    return describe(_refund(refund_id))


@activity.defn(name="record_refund")
@monitored_activity(name="record_refund")
@transactional_activity
def record_refund(refund_id: int) -> dict[str, Any]:
    """Enter a refund: first from what nobody has earned yet, then by taking commission and earnings back in the
    proportion in which they were given."""
    refund = _refund(refund_id)
    payment = Payment.objects.select_for_update().get(pk=refund.payment_id)
    refund = _refund(refund_id)
    if refund.status != RefundStatus.PENDING:
        return describe(refund)
    stands, currency = standing.of(payment), refund.currency
    amount = money.rounded(refund.amount, currency)
    from_unearned = min(amount, stands.unearned)
    gross = amount - from_unearned
    commission = Decimal(0)
    if gross:
        upto = part(stands.commission, stands.reversed_gross + gross, stands.recognized, currency)
        commission = min(max(upto - stands.reversed_commission, Decimal(0)), gross)
    net = gross - commission
    refund.gross_reversed, refund.commission_reversed = gross, commission
    refund.status, refund.completed_at = RefundStatus.SUCCEEDED, clock.now()
    refund.save()
    if net:
        Earning.objects.create(
            key=f"refund:{refund.pk}",
            practitioner_id=payment.practitioner_id,
            payment=payment,
            kind=EarningKind.REVERSAL,
            amount=-net,
            currency=currency,
            available_at=clock.now(),
        )
    ledger.post(
        f"refund:{refund.pk}",
        currency,
        {
            ledger.PROCESSOR: -amount,
            ledger.UNEARNED: from_unearned,
            ledger.COMMISSION: commission,
            ledger.practitioner(payment.practitioner_id): net,
        },
        f"Refund of payment {payment.pk}",
    )
    all_of_it = stands.refunded + amount >= stands.captured
    payment.status = PaymentStatus.REFUNDED if all_of_it else PaymentStatus.PARTIALLY_REFUNDED
    payment.save(update_fields=["status"])
    return describe(refund)


def describe(refund: Refund) -> dict[str, Any]:
    """A refund as workflows see it; amounts are text."""
    return {
        "refund_id": refund.pk,
        "payment_id": refund.payment_id,
        "status": refund.status,
        "amount": str(money.rounded(refund.amount, refund.currency)),
        "currency": refund.currency,
        "commission_reversed": str(money.rounded(refund.commission_reversed, refund.currency)),
        "earnings_reversed": str(money.rounded(refund.gross_reversed - refund.commission_reversed, refund.currency)),
    }


def _refund(refund_id: int) -> Refund:
    found = Refund.objects.select_related("payment").filter(pk=refund_id).first()
    if found is None:
        raise missing("refund", refund_id)
    return found


ACTIVITIES: list[Callable[..., Any]] = [open_refund, send_refund, record_refund]
