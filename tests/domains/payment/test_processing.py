"""A payment from the card to the ledger, and back."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.core import mail
from django.core.exceptions import ValidationError

from automation import clock
from automation.domains.payment import ledger
from automation.domains.payment.activities.charging import authorize_payment
from automation.domains.payment.models import (
    Capture,
    Commission,
    Earning,
    LedgerEntry,
    Payment,
    Refund,
    Transaction,
)
from automation.durable.exceptions import ApplicationError, WorkflowFailureError
from automation.durable.testing import ActivityEnvironment, WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import NotificationLog, PaymentOperation
from automation.providers.payments import get_backend
from tests.domains.payment import factories as make
from tests.support.stripe_api import StripeApi

PROCESS = "PaymentProcessingWorkflow"


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


def paid(env: WorkflowEnvironment, amount: str = "100.00", **fields: object) -> Payment:
    """A payment that has been captured."""
    row = make.payment(amount, **fields)
    assert env.run(PROCESS, row.pk)["status"] == "paid"
    row.refresh_from_db()
    return row


# -- PaymentProcessingWorkflow -----------------------------------------------------------------------------------------


def test_a_payment_is_authorized_captured_recorded_and_receipted(env: WorkflowEnvironment) -> None:
    row = make.payment("100.00", description="Yoga")
    handle = env.start(PROCESS, row.pk)
    assert handle.result() == {
        "transaction_id": Transaction.objects.get().pk,
        "payment_id": row.pk,
        "status": "paid",
        "amount": "100.00",
        "currency": "EUR",
        "already": False,
        "receipt": True,
    }
    assert [name for name, _ in handle.activities()] == [
        "authorize_payment",
        "capture_payment",
        "record_payment",
        "compose_payment_letter",
        "send_email",
    ]
    row.refresh_from_db()
    assert row.status == "paid"
    assert make.lines(f"capture:{Capture.objects.get().pk}") == {"processor": 100, "unearned": -100}
    [letter] = mail.outbox
    assert letter.to == ["carl@example.com"]
    assert "100.00 EUR" in letter.body
    assert "Yoga" in letter.subject
    assert NotificationLog.objects.get().status == "sent"


def test_a_payment_that_was_captured_is_not_captured_again(env: WorkflowEnvironment) -> None:
    row = paid(env)
    again = env.run(PROCESS, row.pk)
    assert (again["status"], again["already"]) == ("paid", True)
    assert Capture.objects.count() == 1
    assert PaymentOperation.objects.count() == 2  # one authorization, one capture
    assert len(mail.outbox) == 1


def test_a_declined_card_ends_it_at_once(env: WorkflowEnvironment) -> None:
    row = make.payment(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    handle = env.start(PROCESS, row.pk)
    assert handle.result() == {
        "payment_id": row.pk,
        "status": "declined",
        "decline_code": "insufficient_funds",
        "told": True,
    }
    [authorize, *_] = handle.steps
    assert (authorize.attempt, authorize.status) == (1, "failed")
    row.refresh_from_db()
    assert row.status == "declined"
    assert not LedgerEntry.objects.exists()
    assert "declined" in mail.outbox[0].body


def test_another_card_after_a_declined_one_is_a_new_transaction(env: WorkflowEnvironment) -> None:
    row = make.payment(payment_method="pm_card_chargeDeclined")
    assert env.run(PROCESS, row.pk)["status"] == "declined"
    Payment.objects.filter(pk=row.pk).update(payment_method="pm_card_visa")
    assert env.run(PROCESS, row.pk)["status"] == "paid"
    assert sorted(Transaction.objects.values_list("status", flat=True)) == ["captured", "declined"]
    row.refresh_from_db()
    assert row.status == "paid"


def test_a_step_that_is_retried_after_a_declined_card_charges_the_new_one(db: None) -> None:
    """An operator's retry runs the same step again, with the same key."""
    row = make.payment(payment_method="pm_card_chargeDeclined")
    with pytest.raises(ApplicationError, match="CardDeclined"):
        ActivityEnvironment().run(authorize_payment, row.pk)
    Payment.objects.filter(pk=row.pk).update(payment_method="pm_card_visa")
    assert ActivityEnvironment().run(authorize_payment, row.pk)["status"] == "authorized"
    assert Transaction.objects.count() == 2


def test_two_workflows_of_one_payment_move_its_money_once(env: WorkflowEnvironment) -> None:
    row = make.payment()
    first, second = env.start(PROCESS, row.pk), env.start(PROCESS, row.pk)
    assert {first.result()["status"], second.result()["status"]} == {"paid"}
    assert Capture.objects.count() == 1
    assert ledger.balance(ledger.PROCESSOR, "EUR") == 100


def test_an_unknown_payment_fails_it_and_is_named(env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(PROCESS, 12345)
    assert "There is no payment 12345" in str(caught.value.cause.__cause__)


@pytest.mark.parametrize(("amount", "currency"), [("100.50", "JPY"), ("10.005", "EUR"), ("10.00", "eur")])
def test_an_amount_that_the_currency_does_not_have_is_not_rounded_but_refused(
    env: WorkflowEnvironment, amount: str, currency: str
) -> None:
    row = make.payment(amount, currency=currency)
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(PROCESS, row.pk)
    assert "BadAmount" in str(caught.value.cause.__cause__)
    assert not PaymentOperation.objects.exists()
    with pytest.raises(ValidationError):
        row.full_clean()


def test_a_provider_that_is_away_for_an_hour_is_waited_for(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    row, start = make.payment(), clock.now()
    stripe_api.away = lambda: clock.now() < start + dt.timedelta(hours=1)
    handle = env.start(PROCESS, row.pk)
    assert handle.result()["status"] == "paid"
    # 5, 10, 20 and 40 minutes of waiting: the fifth attempt comes after an hour.
    assert handle.steps[0].attempt == 5
    assert stripe_api.moved == {"payment_intent": 1, "capture": 1}
    assert len({request.key for request in stripe_api.to("payment_intents")}) == 2


def test_a_rate_limit_is_obeyed(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    row, start = make.payment(), clock.now()
    stripe_api.fail("rate limit", retry_after=30)
    handle = env.start(PROCESS, row.pk)
    assert handle.result()["status"] == "paid"
    assert (handle.steps[0].completed_at - start).total_seconds() == pytest.approx(30, abs=2)


def test_a_lost_answer_captures_once(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    row = make.payment()
    stripe_api.fail("lost answer", count=2, path="/capture")
    assert env.run(PROCESS, row.pk)["status"] == "paid"
    assert stripe_api.moved["capture"] == 1


def test_a_forgotten_key_after_a_day_does_not_charge_twice(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    """The answer to the authorization is lost, and the provider is away until it has forgotten the key."""
    row, start = make.payment(), clock.now()
    stripe_api.fail("lost answer", count=2, path="/v1/payment_intents")
    handle = env.start(PROCESS, row.pk)
    stripe_api.away = lambda: clock.now() < start + dt.timedelta(days=2)
    env.skip(dt.timedelta(days=1))
    stripe_api.forget_keys()
    assert handle.result()["status"] == "paid"
    assert stripe_api.moved["payment_intent"] == 1


def test_a_capture_that_is_refused_lets_the_authorization_go(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    row = make.payment()
    stripe_api.fail("error", path="/capture")
    handle = env.start(PROCESS, row.pk)
    [intent] = stripe_api.of_kind("payment_intent")
    intent["amount"] = 1  # less than what will be captured
    result = handle.result()
    assert result["status"] == "refused"
    assert intent["status"] == "canceled"
    row.refresh_from_db()
    assert row.status == "failed"
    assert not LedgerEntry.objects.exists()


def test_no_mail_server_costs_the_receipt_only(env: WorkflowEnvironment, settings: object) -> None:
    row = make.payment(payer_email="nobody@invalid..example")
    result = env.run(PROCESS, row.pk)
    assert (result["status"], result["receipt"]) == ("paid", False)


# -- RefundWorkflow ----------------------------------------------------------------------------------------------------


def test_a_refund_in_full_before_anything_was_earned(env: WorkflowEnvironment) -> None:
    row = paid(env)
    result = env.run("RefundWorkflow", row.pk)
    assert (result["status"], result["amount"]) == ("refunded", "100.00")
    assert (result["commission_reversed"], result["earnings_reversed"]) == ("0.00", "0.00")
    row.refresh_from_db()
    assert row.status == "refunded"
    assert ledger.balance(ledger.PROCESSOR, "EUR") == 0
    assert ledger.balance(ledger.UNEARNED, "EUR") == 0
    assert "refunded 100.00 EUR" in mail.outbox[-1].body


def test_a_partial_refund_takes_its_part_of_commission_and_earnings_back(env: WorkflowEnvironment) -> None:
    row = paid(env)
    env.run("CommissionCalculationWorkflow", row.pk)
    result = env.run("RefundWorkflow", row.pk, Decimal("40.00"))
    assert (result["commission_reversed"], result["earnings_reversed"]) == ("6.00", "34.00")
    row.refresh_from_db()
    assert row.status == "partially_refunded"
    assert Earning.objects.get(kind="reversal").amount == -34
    assert ledger.balance(ledger.COMMISSION, "EUR") == -9
    assert ledger.balance(ledger.practitioner(row.practitioner_id), "EUR") == -51
    assert make.ledger_balances()


def test_parts_add_up_to_the_whole_whatever_the_rounding(env: WorkflowEnvironment) -> None:
    row = paid(env, "10.01")
    env.run("CommissionCalculationWorkflow", row.pk)
    for amount in ("3.33", "3.33", "3.35"):
        assert env.run("RefundWorkflow", row.pk, Decimal(amount))["status"] == "refunded"
    row.refresh_from_db()
    assert row.status == "refunded"
    for account in (ledger.PROCESSOR, ledger.UNEARNED, ledger.COMMISSION, ledger.practitioner(row.practitioner_id)):
        assert ledger.balance(account, "EUR") == 0, account


def test_more_than_was_captured_is_refused_and_says_what_is_left(env: WorkflowEnvironment) -> None:
    row = paid(env)
    env.run("RefundWorkflow", row.pk, Decimal("70.00"))
    result = env.run("RefundWorkflow", row.pk, Decimal("30.01"))
    assert result["status"] == "refused"
    assert "at most 30.00" in result["error"]
    assert Refund.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "-5", "1.005"])
def test_an_amount_that_is_none_is_refused(env: WorkflowEnvironment, amount: str) -> None:
    row = paid(env)
    assert env.run("RefundWorkflow", row.pk, Decimal(amount))["status"] == "refused"


def test_a_wish_with_one_key_is_carried_out_once(env: WorkflowEnvironment) -> None:
    row = paid(env)
    for _ in range(2):
        assert env.run("RefundWorkflow", row.pk, Decimal("10.00"), "", "complaint-7")["status"] == "refunded"
    assert Refund.objects.count() == 1
    assert PaymentOperation.objects.filter(kind="refund").count() == 1


def test_a_wish_that_was_carried_out_is_told_once(env: WorkflowEnvironment) -> None:
    row = paid(env)
    first, second = (env.run("RefundWorkflow", row.pk, Decimal("10.00"), "", "complaint-7") for _ in range(2))
    assert (first["told"], first["already"]) == (True, False)
    assert (second["told"], second["already"]) == (False, True)
    assert second["refund_id"] == first["refund_id"]
    assert [letter.subject for letter in mail.outbox if "Refund" in letter.subject] == ["Refund for your session"]


def test_a_wish_that_the_provider_refused_stays_refused(env: WorkflowEnvironment) -> None:
    """The customer had the money from the bank before: a chargeback."""
    row = paid(env)
    taken = row.transactions.get().provider_id
    get_backend().refund(taken, Decimal("100.00"), "EUR", "chargeback")
    first, second = (env.run("RefundWorkflow", row.pk, Decimal("10.00"), "", "complaint-7") for _ in range(2))
    assert first["status"] == second["status"] == "refused"
    assert second["error"]
    assert Refund.objects.get().status == "refused"
    assert not [letter for letter in mail.outbox if "Refund" in letter.subject], "nobody is told of money that stays"
    assert make.ledger_balances()


def test_what_is_gone_is_not_given_back_again(env: WorkflowEnvironment) -> None:
    row = paid(env)
    env.run("RefundWorkflow", row.pk)
    assert env.run("RefundWorkflow", row.pk)["status"] == "nothing_to_refund"


def test_a_payment_that_was_never_captured_is_not_refunded(env: WorkflowEnvironment) -> None:
    row = make.payment()
    result = env.run("RefundWorkflow", row.pk)
    assert (result["status"], "has not been captured" in result["error"]) == ("refused", True)


# -- CommissionCalculationWorkflow -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "tier", "rate", "commission"),
    [
        ("session", "basic", "15.00", "15.00"),
        ("workshop", "basic", "20.00", "20.00"),
        ("course", "basic", "20.00", "20.00"),
        ("bundle", "basic", "10.00", "10.00"),
        ("session", "professional", "13.00", "13.00"),
        ("session", "premium", "10.00", "10.00"),
        ("workshop", "premium", "15.00", "15.00"),
        ("bundle", "premium", "5.00", "5.00"),
        ("bundle", "professional", "8.00", "8.00"),
    ],
)
def test_rates_and_tiers(env: WorkflowEnvironment, kind: str, tier: str, rate: str, commission: str) -> None:
    if tier != "basic":
        make.subscription(tier=tier)
    row = paid(env, kind=kind)
    result = env.run("CommissionCalculationWorkflow", row.pk)
    assert (result["rate"], result["commission"], result["tier"]) == (rate, commission, tier)
    assert Decimal(result["commission"]) + Decimal(result["net"]) == Decimal("100.00")
    found = make.lines(f"commission:payment:{row.pk}")
    assert sum(found.values()) == 0
    assert found["commission"] == -Decimal(commission)


def test_a_commission_is_calculated_once(env: WorkflowEnvironment) -> None:
    row = paid(env)
    first = env.run("CommissionCalculationWorkflow", row.pk)
    assert env.run("CommissionCalculationWorkflow", row.pk) == first
    assert Commission.objects.count() == 1
    assert Earning.objects.count() == 1


def test_an_earning_can_be_paid_out_after_two_days(env: WorkflowEnvironment) -> None:
    row = paid(env)
    env.run("CommissionCalculationWorkflow", row.pk)
    wait = Earning.objects.get().available_at - clock.now()
    assert wait == pytest.approx(dt.timedelta(hours=48), abs=dt.timedelta(minutes=1))


def test_what_was_refunded_before_is_not_split(env: WorkflowEnvironment) -> None:
    row = paid(env)
    env.run("RefundWorkflow", row.pk, Decimal("60.00"))
    assert env.run("CommissionCalculationWorkflow", row.pk)["gross"] == "40.00"
    other = paid(env)
    env.run("RefundWorkflow", other.pk)
    assert env.run("CommissionCalculationWorkflow", other.pk)["status"] == "nothing_to_calculate"


def test_a_package_is_split_by_its_sessions(env: WorkflowEnvironment) -> None:
    row = paid(env, kind="package")
    assert env.run("CommissionCalculationWorkflow", row.pk)["status"] == "by_sessions"
