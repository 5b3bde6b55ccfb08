"""Rows for tests of money."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from automation import clock
from automation.domains.payment.models import (
    Earning,
    EarningKind,
    LedgerLine,
    Package,
    PackageSession,
    Payment,
    PayoutAccount,
    Subscription,
)
from automation.models import User


def practitioner(email: str = "pia@example.com", *, account: str = "acct_pia") -> User:
    """Somebody who sells; with an account for payouts unless it is empty."""
    found = User.objects.filter(email=email).first() or User.objects.create_user(email, first_name="Pia")
    if account:
        PayoutAccount.objects.get_or_create(practitioner=found, defaults={"destination": account, "currency": "EUR"})
    return found


def payment(amount: str = "100.00", **fields: Any) -> Payment:
    defaults: dict[str, Any] = {
        "practitioner": fields.pop("practitioner", None) or practitioner(),
        "amount": Decimal(amount),
        "currency": "EUR",
        "payer_name": "Carl",
        "payer_email": "carl@example.com",
        "payment_method": "pm_card_visa",
    }
    return Payment.objects.create(**{**defaults, **fields})


def earning(amount: str, who: User | None = None, *, available_in: dt.timedelta = dt.timedelta(0)) -> Earning:
    """Something that can be paid out, or taken back where it is below zero."""
    who = who or practitioner()
    sale = payment(practitioner=who)
    return Earning.objects.create(
        key=f"test:{sale.pk}",
        practitioner=who,
        payment=sale,
        kind=EarningKind.SALE if Decimal(amount) > 0 else EarningKind.REVERSAL,
        amount=Decimal(amount),
        currency="EUR",
        available_at=clock.now() + available_in,
    )


def package(sale: Payment, sessions: int) -> Package:
    made = Package.objects.create(practitioner=sale.practitioner, payment=sale, title="Ten", sessions_total=sessions)
    PackageSession.objects.bulk_create(PackageSession(package=made, number=number + 1) for number in range(sessions))
    return made


def complete(made: Package, count: int) -> None:
    """The next `count` sessions have taken place."""
    waiting = made.sessions.filter(completed_at=None).order_by("number")[:count]
    PackageSession.objects.filter(pk__in=[one.pk for one in waiting]).update(completed_at=clock.now())


def subscription(days: float = 20, **fields: Any) -> Subscription:
    """One whose period ends in so many days."""
    defaults: dict[str, Any] = {
        "practitioner": fields.pop("practitioner", None) or practitioner(),
        "tier": "professional",
        "price": Decimal("29.00"),
        "currency": "EUR",
        "payment_method": "pm_card_visa",
        "current_period_end": clock.now() + dt.timedelta(days=days),
    }
    return Subscription.objects.create(**{**defaults, **fields})


def lines(key: str) -> dict[str, Decimal]:
    """The lines of a ledger entry, by account."""
    return dict(LedgerLine.objects.filter(entry__key=key).values_list("account", "amount"))


def ledger_balances() -> bool:
    """Whether every entry's lines sum to zero."""
    sums = LedgerLine.objects.values("entry").annotate(sum=Sum("amount")).values_list("sum", flat=True)
    return all(round(total, 3) == 0 for total in sums)
