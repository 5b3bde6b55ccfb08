"""Practitioners are paid what they have earned, once."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail

from automation import clock
from automation.domains.payment import ledger
from automation.domains.payment.activities.paying_out import send_payout
from automation.domains.payment.models import Commission, Earning, Package, PackagePayout, PackageSession, Payout
from automation.durable import inbox, payloads
from automation.durable.exceptions import ApplicationError
from automation.durable.testing import ActivityEnvironment, WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import ExecutionStatus, PaymentOperation, WorkflowExecution
from automation.providers.payments import Operation, PaymentRefused, get_backend
from tests.domains.payment import factories as make
from tests.support.stripe_api import StripeApi


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


# -- PayoutWorkflow ----------------------------------------------------------------------------------------------------


def test_available_earnings_are_transferred_recorded_and_told(env: WorkflowEnvironment) -> None:
    who = make.practitioner()
    make.earning("25.50", who)
    make.earning("9.50", who)
    result = env.run("PayoutWorkflow", who.pk)
    payout = Payout.objects.get()
    assert result == {
        "payout_id": payout.pk,
        "practitioner_id": who.pk,
        "status": "paid",
        "amount": "35.00",
        "currency": "EUR",
        "told": True,
    }
    assert make.lines(f"payout:{payout.pk}") == {f"practitioner:{who.pk}": 35, "processor": -35}
    assert PaymentOperation.objects.get(kind="transfer").destination == "acct_pia"
    assert mail.outbox[0].to == ["pia@example.com"]
    assert not Earning.objects.filter(payout=None).exists()


def test_what_was_paid_out_is_not_paid_out_again(env: WorkflowEnvironment) -> None:
    who = make.practitioner()
    make.earning("25.00", who)
    assert env.run("PayoutWorkflow", who.pk)["status"] == "paid"
    assert env.run("PayoutWorkflow", who.pk)["status"] == "below_minimum"
    assert Payout.objects.count() == 1


@pytest.mark.parametrize(("amount", "status"), [("9.99", "below_minimum"), ("10.00", "paid")])
def test_the_minimum_is_ten(env: WorkflowEnvironment, amount: str, status: str) -> None:
    who = make.practitioner()
    make.earning(amount, who)
    result = env.run("PayoutWorkflow", who.pk)
    assert result["status"] == status
    assert result["amount"] == amount
    assert result.get("minimum", "10.00") == "10.00"


def test_what_is_not_available_yet_is_left(env: WorkflowEnvironment) -> None:
    who = make.practitioner()
    make.earning("12.00", who)
    make.earning("50.00", who, available_in=dt.timedelta(hours=48))
    assert env.run("PayoutWorkflow", who.pk)["amount"] == "12.00"
    env.skip(dt.timedelta(hours=49))
    assert env.run("PayoutWorkflow", who.pk)["amount"] == "50.00"


def test_a_reversal_is_taken_off(env: WorkflowEnvironment) -> None:
    who = make.practitioner()
    make.earning("50.00", who)
    make.earning("-20.00", who)
    assert env.run("PayoutWorkflow", who.pk)["amount"] == "30.00"


def test_debts_are_no_payout(env: WorkflowEnvironment) -> None:
    who = make.practitioner()
    make.earning("-20.00", who)
    assert env.run("PayoutWorkflow", who.pk, Decimal("-100.00"))["status"] == "below_minimum"


def test_nowhere_to_send_it_is_an_answer(env: WorkflowEnvironment) -> None:
    who = make.practitioner(account="")
    make.earning("50.00", who)
    assert env.run("PayoutWorkflow", who.pk)["status"] == "no_account"


def test_a_closed_account_frees_the_earnings(env: WorkflowEnvironment) -> None:
    who = make.practitioner(account="acct_closed")
    make.earning("50.00", who)
    result = env.run("PayoutWorkflow", who.pk)
    assert (result["status"], "acct_closed" in result["error"]) == ("refused", True)
    assert Earning.objects.get().payout is None
    assert ledger.balance(ledger.PROCESSOR, "EUR") == 0


def test_a_transfer_that_was_refused_stays_refused_for_whoever_asks_again(env: WorkflowEnvironment) -> None:
    """A worker that is lost between noting it and saying so has its step tried again."""
    who = make.practitioner(account="acct_closed")
    make.earning("50.00", who)
    env.run("PayoutWorkflow", who.pk)
    payout = Payout.objects.get()
    assert payout.status == "refused"
    with pytest.raises(ApplicationError) as caught:
        ActivityEnvironment().run(send_payout, payout.pk)
    assert (caught.value.type, caught.value.non_retryable) == ("PaymentRefused", True)
    assert caught.value.message == payout.error


@pytest.mark.parametrize("noted", [True, False])
def test_a_payout_that_another_execution_has_sent_meanwhile_is_not_freed(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    """The provider refuses one of two that ask at once, and sends the money for the other, which may have noted it."""
    who = make.practitioner()
    make.earning("50.00", who)
    backend = get_backend()
    transfer = type(backend).transfer

    def once_for_another(self: Any, *args: Any) -> Operation:
        operation = transfer(self, *args)
        if noted:
            Payout.objects.update(provider_id=operation.id)
            monkeypatch.setattr(type(backend), "lookup", lambda self, *args: None)
        raise PaymentRefused("Try it one at a time.", "busy")

    monkeypatch.setattr(type(backend), "transfer", once_for_another)
    assert env.run("PayoutWorkflow", who.pk)["status"] == "paid"
    payout = Payout.objects.get()
    assert Earning.objects.get().payout == payout
    assert payout.provider_id


def test_two_payouts_at_once_pay_once(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    who, start = make.practitioner(), clock.now()
    make.earning("50.00", who)
    stripe_api.away = lambda: clock.now() < start + dt.timedelta(minutes=1)
    first, second = env.start("PayoutWorkflow", who.pk), env.start("PayoutWorkflow", who.pk)
    assert {first.result()["status"], second.result()["status"]} == {"paid"}
    assert Payout.objects.count() == 1
    assert stripe_api.moved["transfer"] == 1


def test_a_transfer_whose_answer_is_lost_is_made_once(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    who = make.practitioner()
    make.earning("50.00", who)
    stripe_api.fail("lost answer", count=2, path="/transfers")
    assert env.run("PayoutWorkflow", who.pk)["status"] == "paid"
    assert stripe_api.moved["transfer"] == 1


# -- BatchPractitionerPayoutWorkflow -----------------------------------------------------------------------------------


def test_all_who_have_the_minimum_are_paid(env: WorkflowEnvironment) -> None:
    rich = [make.practitioner(f"p{number}@example.com", account=f"acct_{number}") for number in range(3)]
    for number, who in enumerate(rich):
        make.earning(f"{20 + number}.00", who)
    make.earning("9.99", make.practitioner("poor@example.com"))
    make.earning("70.00", make.practitioner("closed@example.com", account="acct_closed"))
    make.earning("70.00", make.practitioner("homeless@example.com", account=""))
    assert env.run("BatchPractitionerPayoutWorkflow") == {
        "practitioners": 4,
        "paid": 3,
        "skipped": 0,
        "failed": 1,
        "totals": {"EUR": "63.00"},
    }
    assert Payout.objects.filter(status="paid").count() == 3


def test_many_are_paid_in_several_runs(env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    from automation.domains.payment.workflows import payouts

    monkeypatch.setattr(payouts, "AT_ONCE", 2)
    for number in range(5):
        make.earning("20.00", make.practitioner(f"p{number}@example.com", account=f"acct_{number}"))
    handle = env.start("BatchPractitionerPayoutWorkflow")
    assert handle.result()["paid"] == 5
    runs = WorkflowExecution.objects.filter(definition="BatchPractitionerPayoutWorkflow")
    assert runs.filter(status=ExecutionStatus.CONTINUED).count() == 3
    assert len(handle.activities()) == 1


def test_another_minimum(env: WorkflowEnvironment) -> None:
    make.earning("20.00", make.practitioner())
    assert env.run("BatchPractitionerPayoutWorkflow", Decimal("20.01"))["practitioners"] == 0
    assert env.run("BatchPractitionerPayoutWorkflow", Decimal("20.00"))["paid"] == 1


# -- ProgressivePackagePayoutWorkflow ----------------------------------------------------------------------------------


@pytest.fixture
def package(env: WorkflowEnvironment) -> Package:
    """Four sessions for 100.00, paid; 85.00 of it are the practitioner's."""
    sale = make.payment("100.00", kind="package")
    assert env.run("PaymentProcessingWorkflow", sale.pk)["status"] == "paid"
    return make.package(sale, 4)


def paid_shares(package: Package) -> list[Decimal]:
    rows = PackagePayout.objects.filter(package=package, payout__status="paid").order_by("sessions_completed")
    return list(rows.values_list("payout__amount", flat=True))


def test_a_package_is_paid_as_its_sessions_take_place(env: WorkflowEnvironment, package: Package) -> None:
    make.complete(package, 1)
    handle = env.start("ProgressivePackagePayoutWorkflow", package.pk)
    assert paid_shares(package) == [Decimal("21.25")]
    env.skip(dt.timedelta(days=3))
    assert paid_shares(package) == [Decimal("21.25")], "nothing new, nothing paid"
    make.complete(package, 2)
    env.skip(dt.timedelta(hours=25))
    assert paid_shares(package) == [Decimal("21.25"), Decimal("42.50")]
    make.complete(package, 1)
    assert handle.result() == {"package_id": package.pk, "status": "completed", "completed": 4}
    assert sum(paid_shares(package)) == 85
    package.refresh_from_db()
    assert package.status == "completed"
    assert ledger.balance(ledger.UNEARNED, "EUR") == 0
    assert ledger.balance(ledger.practitioner(package.practitioner_id), "EUR") == 0
    assert ledger.balance(ledger.COMMISSION, "EUR") == -15
    assert WorkflowExecution.objects.filter(definition="ProgressivePackagePayoutWorkflow").count() >= 5
    assert make.ledger_balances()


def test_a_completed_session_is_paid_at_once_when_it_is_told(env: WorkflowEnvironment, package: Package) -> None:
    handle = env.start("ProgressivePackagePayoutWorkflow", package.pk)
    make.complete(package, 1)
    inbox.signal(handle.execution.id, "session_completed", payloads.encode([]))
    env.settle()
    assert paid_shares(package) == [Decimal("21.25")]


def test_thirds_add_up(env: WorkflowEnvironment) -> None:
    sale = make.payment("100.00", kind="package")
    env.run("PaymentProcessingWorkflow", sale.pk)
    three = make.package(sale, 3)
    make.complete(three, 1)
    handle = env.start("ProgressivePackagePayoutWorkflow", three.pk)
    for _ in range(2):
        make.complete(three, 1)
        env.skip(dt.timedelta(hours=25))
    assert handle.result()["status"] == "completed"
    assert list(Commission.objects.order_by("pk").values_list("gross", flat=True)) == [
        Decimal("33.33"), Decimal("33.34"), Decimal("33.33"),
    ]  # fmt: skip
    assert ledger.balance(ledger.UNEARNED, "EUR") == 0


def test_a_second_workflow_of_one_package_pays_nothing_twice(env: WorkflowEnvironment, package: Package) -> None:
    make.complete(package, 4)
    assert env.run("ProgressivePackagePayoutWorkflow", package.pk)["status"] == "completed"
    assert env.run("ProgressivePackagePayoutWorkflow", package.pk)["status"] == "completed"
    assert sum(paid_shares(package)) == 85


def test_a_package_that_is_not_paid_yet_waits(env: WorkflowEnvironment) -> None:
    sale = make.payment("100.00", kind="package")
    one = make.package(sale, 1)
    make.complete(one, 1)
    handle = env.start("ProgressivePackagePayoutWorkflow", one.pk)
    assert not handle.has_ended()
    env.run("PaymentProcessingWorkflow", sale.pk)
    assert handle.result()["status"] == "completed"
    assert paid_shares(one) == [Decimal("85.00")]


def test_a_package_that_was_given_back_ends_it(env: WorkflowEnvironment, package: Package) -> None:
    handle = env.start("ProgressivePackagePayoutWorkflow", package.pk)
    env.run("RefundWorkflow", package.payment_id)
    assert handle.result()["status"] == "cancelled"
    assert paid_shares(package) == []


def test_what_is_left_after_a_partial_refund_is_shared(env: WorkflowEnvironment, package: Package) -> None:
    make.complete(package, 2)
    handle = env.start("ProgressivePackagePayoutWorkflow", package.pk)
    assert paid_shares(package) == [Decimal("42.50")]
    assert env.run("RefundWorkflow", package.payment_id, Decimal("20.00"))["earnings_reversed"] == "0.00"
    make.complete(package, 2)
    assert handle.result()["status"] == "completed"
    assert sum(paid_shares(package)) == Decimal("68.00")  # 85 % of 80.00
    assert ledger.balance(ledger.UNEARNED, "EUR") == 0


def test_a_share_goes_out_as_soon_as_there_is_an_account(env: WorkflowEnvironment) -> None:
    sale = make.payment("100.00", kind="package", practitioner=make.practitioner("new@example.com", account=""))
    env.run("PaymentProcessingWorkflow", sale.pk)
    one = make.package(sale, 1)
    make.complete(one, 1)
    handle = env.start("ProgressivePackagePayoutWorkflow", one.pk)
    env.skip(dt.timedelta(days=2))
    assert not handle.has_ended()
    make.practitioner("new@example.com")
    assert handle.result()["status"] == "completed"
    assert paid_shares(one) == [Decimal("85.00")]


def test_a_share_that_a_closed_account_refuses_goes_with_the_next_payout(env: WorkflowEnvironment) -> None:
    who = make.practitioner("closed@example.com", account="acct_closed")
    sale = make.payment("100.00", kind="package", practitioner=who)
    env.run("PaymentProcessingWorkflow", sale.pk)
    one = make.package(sale, 1)
    make.complete(one, 1)
    assert env.run("ProgressivePackagePayoutWorkflow", one.pk)["status"] == "completed"
    assert paid_shares(one) == []
    who.payout_account.destination = "acct_open"
    who.payout_account.save()
    assert env.run("PayoutWorkflow", who.pk)["amount"] == "85.00"


def test_a_session_beyond_the_package_counts_for_nothing(env: WorkflowEnvironment, package: Package) -> None:
    make.complete(package, 3)
    PackageSession.objects.create(package=package, number=9, completed_at=clock.now())
    handle = env.start("ProgressivePackagePayoutWorkflow", package.pk)
    assert sum(paid_shares(package)) == Decimal("63.75")
    assert not handle.has_ended()
