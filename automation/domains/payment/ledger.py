"""Writing the ledger: double entry, in one transaction, once per key.

Accounts: `processor` (our money at the payments provider), `unearned` (what customers paid for and have not got yet),
`commission` and `subscriptions` (our income), `practitioner:<id>` (what we owe a practitioner). Debits are above zero,
credits below: what comes in is a debit of `processor` and a credit of `unearned`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum

from automation.domains.payment.models import LedgerEntry, LedgerLine
from automation.errors import WeirError
from automation.providers.payments import money

PROCESSOR = "processor"
UNEARNED = "unearned"
COMMISSION = "commission"
SUBSCRIPTIONS = "subscriptions"


class Unbalanced(WeirError):
    """The lines of an entry do not sum to zero: a defect, and nothing has been written."""

    code = "unbalanced"
    status = 500


def practitioner(identifier: int) -> str:
    """The account of what we owe a practitioner."""
    return f"practitioner:{identifier}"


def post(key: str, currency: str, lines: Mapping[str, Decimal], description: str = "") -> LedgerEntry:
    """Enter amounts by account; those of zero are left out. What was entered under this key stays as it is.

    Raises Unbalanced unless the amounts sum to exactly zero.
    """
    amounts = {account: amount for account, amount in lines.items() if amount}
    for amount in amounts.values():
        money.to_minor(amount, currency)  # no fractions of a minor unit get in
    if total := sum(amounts.values(), Decimal(0)):
        raise Unbalanced(f"the lines of ledger entry {key!r} sum to {total}, not to zero: {dict(lines)}")
    with transaction.atomic():
        entry, made = LedgerEntry.objects.get_or_create(
            key=key, defaults={"currency": currency, "description": description[:200]}
        )
        if made:
            LedgerLine.objects.bulk_create(
                LedgerLine(entry=entry, account=account, amount=amount) for account, amount in amounts.items()
            )
    return entry


def balance(account: str, currency: str) -> Decimal:
    """The sum of an account's lines in one currency."""
    lines = LedgerLine.objects.filter(account=account, entry__currency=currency)
    return money.rounded(lines.aggregate(sum=Sum("amount"))["sum"] or Decimal(0), currency)
