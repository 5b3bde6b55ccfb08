"""Paying practitioners what they have earned."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from automation import clock
from automation.domains.payment import ledger
from automation.domains.payment.calls import missing, once, provider_errors, refused, step_key
from automation.domains.payment.models import Earning, Payout, PayoutAccount, PayoutKind, PayoutStatus
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.durable.exceptions import ApplicationError
from automation.models import User
from automation.providers.payments import get_backend, money

MINIMUM = Decimal("10.00")
"""What has to come together before it is paid out, in units of the currency."""


@activity.defn(name="find_practitioners_to_pay")
@monitored_activity(name="find_practitioners_to_pay")
def find_practitioners_to_pay(min_amount: Decimal = MINIMUM, after: int = 0, limit: int = 100) -> list[int]:
    """Practitioners with an account and at least so much available, by id, from the one `after`; at most `limit`."""
    rows = (
        Earning.objects.filter(payout=None, available_at__lte=clock.now(), practitioner_id__gt=after)
        .filter(practitioner__payout_account__is_enabled=True)
        .values("practitioner_id", "currency", "practitioner__payout_account__currency")
        .annotate(sum=Sum("amount"))
        .order_by("practitioner_id")
    )
    found = [
        row["practitioner_id"]
        for row in rows
        if row["currency"] == row["practitioner__payout_account__currency"]
        and money.rounded(row["sum"], row["currency"]) >= min_amount
    ]
    return found[:limit]


@activity.defn(name="open_payout")
@monitored_activity(name="open_payout")
@transactional_activity
def open_payout(practitioner_id: int, min_amount: Decimal = MINIMUM) -> dict[str, Any]:
    """Put together what a practitioner can be paid, and reserve it for one payout. A payout that is still pending is
    the one.

    status "pending"; "below_minimum", which is an answer and no error; "no_account" where there is nowhere to send it.
    """
    # The practitioner's row is the lock: two payouts at once are one after the other.
    if not User.objects.select_for_update().filter(pk=practitioner_id).exists():
        raise missing("practitioner", practitioner_id)
    account = PayoutAccount.objects.filter(practitioner_id=practitioner_id, is_enabled=True).first()
    if account is None:
        return {"status": "no_account", "practitioner_id": practitioner_id}
    open_one = Payout.objects.filter(
        practitioner_id=practitioner_id,
        currency=account.currency,
        status=PayoutStatus.PENDING,
        kind=PayoutKind.EARNINGS,
    ).first()
    if open_one is not None:
        return describe(open_one)
    earnings = Earning.objects.select_for_update().filter(
        practitioner_id=practitioner_id, currency=account.currency, payout=None, available_at__lte=clock.now()
    )
    rows = list(earnings)
    available = money.rounded(sum((row.amount for row in rows), Decimal(0)), account.currency)
    if available < min_amount or available <= 0:
        return {
            "status": "below_minimum",
            "practitioner_id": practitioner_id,
            "amount": str(available),
            "minimum": str(min_amount),
            "currency": account.currency,
        }
    payout = Payout.objects.create(
        practitioner_id=practitioner_id,
        amount=available,
        currency=account.currency,
        destination=account.destination,
        idempotency_key=step_key(),
    )
    Earning.objects.filter(pk__in=[row.pk for row in rows]).update(payout=payout)
    return describe(payout)


@activity.defn(name="send_payout")
@monitored_activity(name="send_payout")
def send_payout(payout_id: int) -> dict[str, Any]:
    """Transfer a payout. Raises ApplicationError: PaymentRefused is final and frees the earnings; PaymentFailed is
    not."""
    payout = _payout(payout_id)
    if payout.status == PayoutStatus.REFUSED:
        raise refused(payout.error)
    if payout.status == PayoutStatus.PENDING and not payout.provider_id:
        amount, reference = money.rounded(payout.amount, payout.currency), f"payout:{payout.pk}"
        key, currency = payout.idempotency_key, payout.currency
        try:
            operation = once(
                payout,
                "transfer",
                lambda: get_backend().transfer(payout.destination, amount, currency, reference, key),
                reference,
            )
        except ApplicationError as error:
            if not error.non_retryable:
                raise
            # Another execution may have asked for this payout at the same moment, and been heard.
            with provider_errors():
                found = get_backend().lookup("transfer", key, reference)
            if found is None:
                if _free(payout, error.message):
                    raise
                return send_payout(payout_id)
            operation = found
        Payout.objects.filter(pk=payout.pk).update(provider_id=operation.id)
    return describe(_payout(payout_id))


@activity.defn(name="record_payout")
@monitored_activity(name="record_payout")
@transactional_activity
def record_payout(payout_id: int) -> dict[str, Any]:
    """Enter a transferred payout: we owe the practitioner that much less."""
    payout = _payout(payout_id)
    amount = money.rounded(payout.amount, payout.currency)
    Payout.objects.filter(pk=payout.pk, status=PayoutStatus.PENDING).update(
        status=PayoutStatus.PAID, paid_at=clock.now()
    )
    ledger.post(
        f"payout:{payout.pk}",
        payout.currency,
        {ledger.practitioner(payout.practitioner_id): amount, ledger.PROCESSOR: -amount},
        f"Payout {payout.pk}",
    )
    return describe(_payout(payout_id))


def describe(payout: Payout) -> dict[str, Any]:
    """A payout as workflows see it; the amount is text."""
    return {
        "payout_id": payout.pk,
        "practitioner_id": payout.practitioner_id,
        "status": payout.status,
        "amount": str(money.rounded(payout.amount, payout.currency)),
        "currency": payout.currency,
    }


def _free(payout: Payout, error: str) -> bool:
    """What the provider refused to send can be paid out some other time; False where it was sent, or refused, before
    this could be noted."""
    with transaction.atomic():
        unsent = Payout.objects.filter(pk=payout.pk, status=PayoutStatus.PENDING, provider_id="")
        if not unsent.update(status=PayoutStatus.REFUSED, error=error):
            return False
        Earning.objects.filter(payout=payout).update(payout=None)
        return True


def _payout(payout_id: int) -> Payout:
    found = Payout.objects.filter(pk=payout_id).first()
    if found is None:
        raise missing("payout", payout_id)
    return found


ACTIVITIES: list[Callable[..., Any]] = [find_practitioners_to_pay, open_payout, send_payout, record_payout]
