"""`trigger_payment_workflows`, as an operator runs it."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from automation.domains.payment.models import Payment, Payout, Refund
from automation.durable.testing import EnvironmentHandle, WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import WorkflowExecution
from tests.domains.payment import factories as make


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


def trigger(env: WorkflowEnvironment, *words: object) -> EnvironmentHandle:
    """What the command started."""
    out = io.StringIO()
    call_command("trigger_payment_workflows", *map(str, words), stdout=out)
    handle = env.handle(uuid.UUID(out.getvalue().split()[2]))
    env.settle()
    return handle


def refused(*words: object) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("trigger_payment_workflows", *map(str, words))
    assert not WorkflowExecution.objects.exists()
    return str(caught.value)


def test_every_word_starts_its_workflow(env: WorkflowEnvironment) -> None:
    row = make.payment()
    assert trigger(env, "process", row.pk).result()["status"] == "paid"
    assert trigger(env, "commission", row.pk).result()["commission"] == "15.00"
    assert trigger(env, "refund", row.pk, "--amount", "10.00", "--reason", "late").result()["amount"] == "10.00"
    assert Refund.objects.get().reason == "late"
    env.skip(dt.timedelta(hours=49))
    assert trigger(env, "batch_payout", "--min-amount", "10.0").result()["totals"] == {"EUR": "76.50"}
    assert trigger(env, "payout", row.practitioner_id).result()["status"] == "below_minimum"
    assert trigger(env, "renewal", make.subscription(1).pk).result()["status"] == "renewed"
    sale = make.payment(kind="package")
    trigger(env, "process", sale.pk).result()
    package = make.package(sale, 1)
    make.complete(package, 1)
    assert trigger(env, "package", package.pk).result()["status"] == "completed"
    assert Payout.objects.filter(status="paid").count() == 2


def test_words_may_be_written_with_dashes(env: WorkflowEnvironment) -> None:
    assert trigger(env, "batch-payout").result()["practitioners"] == 0


def test_amounts_are_exact(env: WorkflowEnvironment) -> None:
    row = make.payment("0.30")
    trigger(env, "process", row.pk).result()
    trigger(env, "refund", row.pk, "--amount", "0.1").result()
    assert Refund.objects.get().amount == Decimal("0.10")


def test_there_is_one_at_a_time(env: WorkflowEnvironment) -> None:
    row = make.subscription(10)
    trigger(env, "renewal", row.pk)
    with pytest.raises(CommandError, match=f"subscription-renewal-{row.pk}"):
        call_command("trigger_payment_workflows", "renewal", str(row.pk))


def test_a_payment_that_there_is_not_is_refused_and_the_newest_are_named(db: None) -> None:
    assert "there is no payment at all" in refused("process", 5)
    row = make.payment()
    assert f"there is no payment '{row.pk + 1}'; the newest are {row.pk}" in refused("process", row.pk + 1)
    assert "there is no payment 'five'" in refused("process", "five")
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "ten"])
def test_an_amount_that_is_none_is_refused(db: None, amount: str) -> None:
    assert "expected an amount above zero, such as 10.00" in refused("refund", 1, f"--amount={amount}")


def test_an_unknown_word_is_answered_with_those_there_are(db: None) -> None:
    assert "'renewal'" in refused("renew", 5)
