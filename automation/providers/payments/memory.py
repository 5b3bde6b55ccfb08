"""Payments that move nothing: every operation is a row (`PaymentOperation`) and a line in the log. For development,
demonstrations and tests.

It refuses what a real provider refuses (capturing twice, refunding more than was captured, a key used for another
request), and its ids follow from the keys. Payment methods are named as Stripe's test cards are: `pm_card_visa` is
good, and so is any other name but the ones in `DECLINES`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum

from automation.models import PaymentOperation
from automation.providers.payments.base import (
    CardDeclined,
    Charge,
    Kind,
    Operation,
    PaymentFailed,
    PaymentRefused,
    PaymentsBackend,
)
from automation.providers.payments.money import rounded, shown, to_minor

logger = logging.getLogger(__name__)

DECLINES: Mapping[str, str] = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_chargeCustomerFail": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_authenticationRequired": "authentication_required",
}
"""Payment methods whose bank says no, and its word for why."""

CLOSED_ACCOUNT = "acct_closed"
"""A destination that takes no transfers."""

outage: list[PaymentFailed] = []
"""What every call raises while something is in it."""

_PREFIXES: Mapping[Kind, str] = {
    "authorization": "pi", "charge": "pi", "capture": "cap", "refund": "re", "transfer": "tr", "void": "void",
}  # fmt: skip


@dataclass(frozen=True)
class _Request:
    kind: Kind
    amount: Decimal
    currency: str
    key: str
    payment_method: str = ""
    destination: str = ""
    reference: str = ""


class MemoryBackend(PaymentsBackend):
    def authorize(self, charge: Charge) -> Operation:
        return self._carry_out(_of_charge("authorization", charge))

    def charge_subscription(self, charge: Charge) -> Operation:
        return self._carry_out(_of_charge("charge", charge))

    def capture(self, authorization: str, amount: Decimal, currency: str, idempotency_key: str) -> Operation:
        return self._carry_out(_Request("capture", amount, currency, idempotency_key), authorization)

    def void(self, authorization: str, idempotency_key: str) -> Operation:
        row = _find(authorization, PaymentOperation.objects.all())
        return self._carry_out(_Request("void", row.amount, row.currency, idempotency_key), authorization)

    def refund(self, payment: str, amount: Decimal, currency: str, idempotency_key: str) -> Operation:
        return self._carry_out(_Request("refund", amount, currency, idempotency_key), payment)

    def transfer(
        self, destination: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
    ) -> Operation:
        if not destination or destination == CLOSED_ACCOUNT:
            raise PaymentRefused(f"There is no account {destination!r} that takes transfers.", "account_invalid")
        request = _Request("transfer", amount, currency, idempotency_key, destination=destination, reference=reference)
        return self._carry_out(request)

    def lookup(self, kind: Kind, idempotency_key: str, within: str = "") -> Operation | None:
        _check_outage()
        row = PaymentOperation.objects.filter(idempotency_key=idempotency_key, kind=kind, declined="").first()
        return _operation(row) if row is not None else None

    def _carry_out(self, request: _Request, parent_id: str = "") -> Operation:
        _check_outage()
        if to_minor(request.amount, request.currency) <= 0:
            raise PaymentRefused(f"{request.amount} {request.currency} is no amount above zero.", "amount_too_small")
        try:
            with transaction.atomic():
                row = self._known(request) or self._write(request, parent_id)
        except IntegrityError:  # another attempt with the same key was faster
            row = PaymentOperation.objects.get(idempotency_key=request.key)
        if row.declined:
            raise CardDeclined("Your card was declined.", row.declined)
        return _operation(row)

    def _known(self, request: _Request) -> PaymentOperation | None:
        row = PaymentOperation.objects.filter(idempotency_key=request.key).first()
        if row is not None and (row.kind, row.amount, row.currency) != (
            request.kind,
            request.amount,
            request.currency,
        ):
            raise PaymentRefused(
                f"The key {request.key} was used for another request: {row}, not {request.kind} {request.amount}.",
                "idempotency_error",
            )
        return row

    def _write(self, request: _Request, parent_id: str) -> PaymentOperation:
        parent = _find(parent_id, PaymentOperation.objects.select_for_update()) if parent_id else None
        if parent is not None:
            _check_parent(request, parent)
        row = PaymentOperation.objects.create(
            provider_id=_identifier(request),
            idempotency_key=request.key,
            kind=request.kind,
            amount=request.amount,
            currency=request.currency,
            parent=parent,
            payment_method=request.payment_method,
            destination=request.destination,
            reference=request.reference,
            declined=DECLINES.get(request.payment_method, ""),
        )
        verdict = f"declined ({row.declined})" if row.declined else row.provider_id
        logger.info("payments: %s of %s: %s", row.kind, shown(row.amount, row.currency), verdict)
        return row


def _of_charge(kind: Kind, charge: Charge) -> _Request:
    return _Request(
        kind,
        charge.amount,
        charge.currency,
        charge.idempotency_key,
        payment_method=charge.payment_method,
        reference=charge.reference,
    )


def _check_outage() -> None:
    if outage:
        raise outage[0]


def _find(provider_id: str, rows: QuerySet[PaymentOperation]) -> PaymentOperation:
    row = rows.filter(provider_id=provider_id, declined="").first()
    if row is None:
        raise PaymentRefused(f"There is no payment {provider_id!r}.", "resource_missing")
    return row


def _check_parent(request: _Request, parent: PaymentOperation) -> None:
    """Refuse what the payment does not allow any more. Its row is locked."""
    if request.currency != parent.currency:
        raise PaymentRefused(f"{parent.provider_id} is in {parent.currency}, not {request.currency}.", "currency")
    done = {kind: parent.children.filter(kind=kind).aggregate(sum=Sum("amount"))["sum"] for kind in _PREFIXES}
    if request.kind in ("capture", "void"):
        if done["capture"] or done["void"] or parent.kind != "authorization":
            raise PaymentRefused(f"{parent.provider_id} has been captured or let go already.", "unexpected_state")
        if request.amount > parent.amount:
            raise PaymentRefused(f"{request.amount} is more than the {parent.amount} authorized.", "amount_too_large")
    elif request.kind == "refund":
        captured = parent.amount if parent.kind == "charge" else done["capture"] or Decimal(0)
        left = captured - (done["refund"] or Decimal(0))
        if request.amount > left:
            raise PaymentRefused(
                f"{request.amount} is more than the {rounded(left, parent.currency)} left to refund.",
                "amount_too_large",
            )


def _identifier(request: _Request) -> str:
    digest = hashlib.sha256(f"{request.kind}\n{request.key}".encode()).hexdigest()
    return f"{_PREFIXES[request.kind]}_memory_{digest[:24]}"


def _operation(row: PaymentOperation) -> Operation:
    kind: Kind = row.kind  # type: ignore[assignment]
    parent = row.parent
    identifier = parent.provider_id if parent is not None and row.kind == "capture" else row.provider_id
    return Operation(identifier, kind, rounded(row.amount, row.currency), row.currency)
