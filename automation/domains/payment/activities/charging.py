"""Being paid: authorize, capture, record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from automation import clock
from automation.domains.payment import ledger
from automation.domains.payment.calls import exact, missing, once, step_key
from automation.domains.payment.models import LIVE, Capture, Payment, PaymentStatus, Transaction, TransactionStatus
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.durable.exceptions import ApplicationError
from automation.providers.payments import Charge, get_backend, money


@activity.defn(name="authorize_payment")
@monitored_activity(name="authorize_payment")
def authorize_payment(payment_id: int) -> dict[str, Any]:
    """Reserve a payment's amount at the payer's bank: the transaction, which may be an earlier one, captured already.

    Raises ApplicationError: PaymentNotFound, BadAmount, CardDeclined, PaymentRefused are final; PaymentFailed is not.
    """
    found = _claim(payment_id)
    if found.status != TransactionStatus.PENDING:
        return describe(found)
    payment = found.payment
    charge = Charge(
        amount=money.rounded(found.amount, found.currency),
        currency=found.currency,
        payment_method=payment.payment_method,
        customer=payment.customer,
        reference=f"payment:{payment.pk}",
        idempotency_key=found.idempotency_key,
    )
    try:
        operation = once(found, "authorization", lambda: get_backend().authorize(charge))
    except ApplicationError as error:
        if error.non_retryable:
            _give_up(found, error)
        raise
    Transaction.objects.filter(pk=found.pk, status=TransactionStatus.PENDING).update(
        status=TransactionStatus.AUTHORIZED, provider_id=operation.id
    )
    found.refresh_from_db()
    return describe(found)


@activity.defn(name="capture_payment")
@monitored_activity(name="capture_payment")
def capture_payment(transaction_id: int) -> dict[str, Any]:
    """Take what was authorized. Raises ApplicationError: PaymentRefused is final, PaymentFailed is not."""
    found = _transaction(transaction_id)
    capture, _ = Capture.objects.get_or_create(
        transaction=found,
        defaults={"amount": found.amount, "currency": found.currency, "idempotency_key": step_key()},
    )
    if capture.captured_at is None:
        amount, key = money.rounded(capture.amount, capture.currency), capture.idempotency_key
        operation = once(
            capture,
            "capture",
            lambda: get_backend().capture(found.provider_id, amount, capture.currency, key),
            found.provider_id,
        )
        Capture.objects.filter(pk=capture.pk, captured_at=None).update(
            captured_at=clock.now(), provider_id=operation.id
        )
    return describe(found)


@activity.defn(name="void_payment")
@monitored_activity(name="void_payment")
def void_payment(transaction_id: int, reason: str = "") -> dict[str, Any]:
    """Let an authorization go whose capture the provider refused; the payment has failed. What the provider has let go
    by itself is gone all the same."""
    found = _transaction(transaction_id)
    try:
        once(found, "void", lambda: get_backend().void(found.provider_id, step_key()), found.provider_id)
    except ApplicationError as error:
        if not error.non_retryable:
            raise
    with transaction.atomic():
        Transaction.objects.filter(pk=found.pk).update(status=TransactionStatus.FAILED, error=reason)
        Payment.objects.filter(pk=found.payment_id, status=PaymentStatus.PENDING).update(status=PaymentStatus.FAILED)
    found.refresh_from_db()
    return describe(found)


@activity.defn(name="record_payment")
@monitored_activity(name="record_payment")
@transactional_activity
def record_payment(transaction_id: int) -> dict[str, Any]:
    """Enter a captured transaction into the ledger: the payment is paid."""
    found = _transaction(transaction_id)
    capture = found.capture
    if capture.captured_at is None:
        raise ApplicationError(f"{found} has not been captured.", type="NotCaptured", non_retryable=True)
    amount = money.rounded(capture.amount, capture.currency)
    Transaction.objects.filter(pk=found.pk).update(status=TransactionStatus.CAPTURED)
    unpaid = (PaymentStatus.PENDING, PaymentStatus.DECLINED, PaymentStatus.FAILED)
    Payment.objects.filter(pk=found.payment_id, status__in=unpaid).update(status=PaymentStatus.PAID)
    ledger.post(
        f"capture:{capture.pk}",
        capture.currency,
        {ledger.PROCESSOR: amount, ledger.UNEARNED: -amount},
        f"Payment {found.payment_id}",
    )
    found.refresh_from_db()
    return describe(found)


def describe(found: Transaction) -> dict[str, Any]:
    """A transaction as workflows see it; the amount is text."""
    return {
        "transaction_id": found.pk,
        "payment_id": found.payment_id,
        "status": found.status,
        "amount": str(money.rounded(found.amount, found.currency)),
        "currency": found.currency,
    }


def _claim(payment_id: int) -> Transaction:
    """The payment's live transaction, made where there is none."""
    with transaction.atomic():
        payment = Payment.objects.select_for_update().filter(pk=payment_id).first()
        if payment is None:
            raise missing("payment", payment_id)
        exact(payment.amount, payment.currency)
        live = payment.transactions.filter(status__in=LIVE).select_related("payment").first()
        if live is not None:
            return live
        return Transaction.objects.create(
            payment=payment,
            amount=payment.amount,
            currency=payment.currency,
            idempotency_key=step_key(payment.transactions.count() + 1),
        )


def _give_up(found: Transaction, error: ApplicationError) -> None:
    declined = error.type == "CardDeclined"
    details: dict[str, Any] = error.details[0] if error.details else {}
    with transaction.atomic():
        Transaction.objects.filter(pk=found.pk, status=TransactionStatus.PENDING).update(
            status=TransactionStatus.DECLINED if declined else TransactionStatus.FAILED,
            decline_code=details.get("decline_code", ""),
            error=error.message,
        )
        Payment.objects.filter(pk=found.payment_id, status=PaymentStatus.PENDING).update(
            status=PaymentStatus.DECLINED if declined else PaymentStatus.FAILED
        )


def _transaction(transaction_id: int) -> Transaction:
    found = Transaction.objects.select_related("payment").filter(pk=transaction_id).first()
    if found is None:
        raise missing("transaction", transaction_id)
    return found


ACTIVITIES: list[Callable[..., Any]] = [authorize_payment, capture_payment, void_payment, record_payment]
