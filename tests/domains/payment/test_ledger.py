"""The ledger sums to zero, whatever is entered, and the rows' own constraints hold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automation.domains.payment import ledger, standing
from automation.domains.payment.activities.commissions import calculate_commission
from automation.domains.payment.activities.refunding import open_refund, record_refund
from automation.domains.payment.models import Capture, Earning, LedgerEntry, LedgerLine, Refund, Transaction
from automation.domains.payment.rates import ADJUSTMENTS, BASE_RATES, part, split
from automation.durable.testing import ActivityEnvironment
from automation.errors import InvalidInput
from automation.providers.payments import money
from tests.domains.payment import factories as make

AMOUNTS = st.decimals(Decimal("0.01"), Decimal("99999.99"), places=2)


def test_an_entry_that_does_not_balance_is_not_written(db: None) -> None:
    with pytest.raises(ledger.Unbalanced, match=r"sum to 0\.01"):
        ledger.post("k", "EUR", {"a": Decimal("1.00"), "b": Decimal("-0.99")})
    assert not LedgerEntry.objects.exists()


def test_a_key_is_entered_once(db: None) -> None:
    for amount in ("1.00", "2.00"):
        ledger.post("k", "EUR", {"a": Decimal(amount), "b": -Decimal(amount)})
    assert make.lines("k") == {"a": 1, "b": -1}


def test_a_fraction_of_a_cent_does_not_get_in(db: None) -> None:
    with pytest.raises(InvalidInput, match="minor units"):
        ledger.post("k", "EUR", {"a": Decimal("0.001"), "b": Decimal("-0.001")})


def enter(**amounts: str) -> None:
    """Lines past `post`."""
    entry = LedgerEntry.objects.create(key="past", currency="EUR")
    for account, amount in amounts.items():
        LedgerLine.objects.create(entry=entry, account=account, amount=Decimal(amount))


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the trigger is PostgreSQL's")
def test_the_database_refuses_what_does_not_balance(transactional_db: None) -> None:
    with pytest.raises(IntegrityError, match="not to zero"), transaction.atomic():
        enter(a="1.00", b="-0.99")
    ledger.post("k", "EUR", {"a": Decimal("1.00"), "b": Decimal("-1.00")})
    with pytest.raises(IntegrityError, match="cannot be changed"), transaction.atomic():
        LedgerLine.objects.update(amount=5)
    with pytest.raises(IntegrityError, match="cannot be changed"), transaction.atomic():
        LedgerLine.objects.all().delete()


@given(AMOUNTS, st.sampled_from(sorted(BASE_RATES)), st.sampled_from(sorted(ADJUSTMENTS)))
def test_a_split_gives_everything_to_somebody(gross: Decimal, kind: str, tier: str) -> None:
    found = split(gross, kind, tier, "EUR")
    assert found.commission + found.net == gross
    assert 0 <= found.commission <= gross
    assert found.rate == BASE_RATES[kind] + ADJUSTMENTS[tier]


@pytest.mark.parametrize(("kind", "tier", "wrong"), [("tour", "basic", "no kind"), ("session", "gold", "no tier")])
def test_what_has_no_rate_is_refused(kind: str, tier: str, wrong: str) -> None:
    with pytest.raises(InvalidInput, match=wrong):
        split(Decimal(1), kind, tier, "EUR")


@given(AMOUNTS, st.integers(1, 60))
def test_shares_add_up(whole: Decimal, count: int) -> None:
    given_so_far = Decimal(0)
    for done in range(1, count + 1):
        share = part(whole, Decimal(done), Decimal(count), "EUR") - given_so_far
        assert share >= 0
        given_so_far += share
    assert given_so_far == whole


STEPS = st.lists(st.one_of(st.just("split"), AMOUNTS), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amount=st.decimals(Decimal("1.00"), Decimal("500.00"), places=2), steps=STEPS)
def test_any_order_of_splits_and_refunds_balances(db: None, amount: Decimal, steps: list[Any]) -> None:
    """Money captured, split at some point and refunded in parts: nothing appears, and nothing is lost."""
    with transaction.atomic():
        _play(amount, steps)
        transaction.set_rollback(True)


def _play(amount: Decimal, steps: list[Any]) -> None:
    sale = make.payment(str(amount))
    tx = Transaction.objects.create(
        payment=sale, amount=amount, currency="EUR", status="captured", idempotency_key=f"t{sale.pk}"
    )
    Capture.objects.create(
        transaction=tx, amount=amount, currency="EUR", idempotency_key=f"c{sale.pk}", captured_at=sale.created_at
    )
    ledger.post("capture", "EUR", {ledger.PROCESSOR: amount, ledger.UNEARNED: -amount})
    refunded = Decimal(0)
    for number, step in enumerate(steps):
        if step == "split":
            ActivityEnvironment().run(calculate_commission, sale.pk)
            continue
        wanted = min(step, amount - refunded)
        if not wanted:
            continue
        run = ActivityEnvironment()
        run.info = type(run.info)(idempotency_key=f"refund-{sale.pk}-{number}", started_time=sale.created_at)
        refund = run.run(open_refund, sale.pk, f"wish-{number}", wanted)
        run.run(record_refund, refund["refund_id"])
        refunded += wanted
    stands = standing.of(sale)
    who = ledger.practitioner(sale.practitioner_id)
    earned = sum(Earning.objects.filter(payment=sale).values_list("amount", flat=True), Decimal(0))
    assert make.ledger_balances()
    assert ledger.balance(ledger.PROCESSOR, "EUR") == amount - refunded
    assert ledger.balance(ledger.UNEARNED, "EUR") == -stands.unearned <= 0
    assert ledger.balance(who, "EUR") == -money.rounded(earned, "EUR") <= 0
    assert ledger.balance(ledger.COMMISSION, "EUR") <= 0
    if refunded == amount:
        assert {ledger.balance(one, "EUR") for one in (ledger.UNEARNED, who, ledger.COMMISSION)} == {0}
    assert Refund.objects.filter(payment=sale, status="succeeded").count() <= len(steps)


def test_a_payment_has_one_live_transaction(db: None) -> None:
    sale = make.payment()
    Transaction.objects.create(payment=sale, amount=1, currency="EUR", status="declined", idempotency_key="1")
    Transaction.objects.create(payment=sale, amount=1, currency="EUR", idempotency_key="2")
    with pytest.raises(IntegrityError), transaction.atomic():
        Transaction.objects.create(payment=sale, amount=1, currency="EUR", idempotency_key="3")


@pytest.mark.parametrize("amount", ["0.00", "-1.00"])
def test_nobody_owes_nothing(db: None, amount: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make.payment(amount)


def test_the_sign_of_an_earning_follows_its_kind(db: None) -> None:
    sale = make.payment()
    common = {"practitioner": sale.practitioner, "payment": sale, "currency": "EUR", "available_at": sale.created_at}
    for kind, amount in (("sale", -1), ("reversal", 1)):
        with pytest.raises(IntegrityError), transaction.atomic():
            Earning.objects.create(key=kind, kind=kind, amount=amount, **common)
