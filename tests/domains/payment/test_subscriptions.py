"""A subscription is renewed, tried again, and let go."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core import mail

from automation import clock
from automation.domains.payment import ledger, standing
from automation.domains.payment.models import Subscription, SubscriptionCharge
from automation.durable import inbox, payloads
from automation.durable.testing import EnvironmentHandle, WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import ExecutionStatus, WorkflowExecution
from tests.domains.payment import factories as make
from tests.support.stripe_api import StripeApi

RENEW = "SubscriptionRenewalWorkflow"


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


@pytest.mark.parametrize(("interval", "days"), [("monthly", 30), ("yearly", 365)])
def test_a_subscription_is_announced_charged_and_prolonged(env: WorkflowEnvironment, interval: str, days: int) -> None:
    row = make.subscription(20, interval=interval)
    end = row.current_period_end
    handle = env.start(RENEW, row.pk)
    result = handle.result()
    assert (result["status"], result["notices"], result["charged"]) == ("renewed", [14, 7, 3, 1], "29.00")
    row.refresh_from_db()
    assert row.current_period_end == end + dt.timedelta(days=days)
    assert SubscriptionCharge.objects.get().status == "succeeded"
    assert make.lines(f"subscription:{SubscriptionCharge.objects.get().pk}") == {"processor": 29, "subscriptions": -29}
    subjects = [letter.subject for letter in mail.outbox]
    assert [subject.split()[-2] for subject in subjects[:4]] == ["14", "7", "3", "1"]
    assert "has been renewed" in subjects[4]


def test_notices_go_out_on_their_days(env: WorkflowEnvironment) -> None:
    row = make.subscription(20)
    handle = env.start(RENEW, row.pk)
    for passed, count in ((5, 0), (1.5, 1), (7, 2), (4, 3), (2, 4)):
        env.skip(dt.timedelta(days=passed))
        assert len(mail.outbox) == count
    assert not handle.has_ended()


def test_notices_whose_days_have_passed_are_left_out(env: WorkflowEnvironment) -> None:
    assert env.run(RENEW, make.subscription(5).pk)["notices"] == [3, 1]


def test_a_declined_card_is_tried_on_three_more_days_and_then_it_ends(env: WorkflowEnvironment) -> None:
    row = make.subscription(2, payment_method="pm_card_chargeDeclined")
    end = row.current_period_end
    handle = env.start(RENEW, row.pk)
    env.skip(dt.timedelta(days=2, hours=1))
    row.refresh_from_db()
    assert row.status == "past_due"
    assert standing.tier_of(row.practitioner_id) == "professional", "the tier stays while it is tried"
    result = handle.result()
    assert (result["status"], result["attempts"]) == ("expired", 4)
    assert clock.now() - end == pytest.approx(dt.timedelta(days=3), abs=dt.timedelta(minutes=1))
    row.refresh_from_db()
    assert row.status == "expired"
    assert standing.tier_of(row.practitioner_id) == "basic"
    tries = SubscriptionCharge.objects.order_by("attempt").values_list("attempt", "status")
    assert list(tries) == [(number, "declined") for number in range(4)]
    assert ["could not renew" in letter.subject for letter in mail.outbox].count(True) == 3
    assert "has ended" in mail.outbox[-1].subject
    assert ledger.balance(ledger.PROCESSOR, "EUR") == 0


def test_a_new_card_in_time_saves_it(env: WorkflowEnvironment) -> None:
    row = make.subscription(2, payment_method="pm_card_chargeDeclined")
    end = row.current_period_end
    handle = env.start(RENEW, row.pk)
    env.skip(dt.timedelta(days=3, hours=12))
    Subscription.objects.filter(pk=row.pk).update(payment_method="pm_card_visa")
    result = handle.result()
    assert (result["status"], result["attempts"]) == ("renewed", 3)
    row.refresh_from_db()
    assert (row.status, row.current_period_end) == ("active", end + dt.timedelta(days=30))


def test_a_cancelled_subscription_is_not_charged(env: WorkflowEnvironment) -> None:
    row = make.subscription(10)
    handle = env.start(RENEW, row.pk)
    env.skip(dt.timedelta(days=4))
    Subscription.objects.filter(pk=row.pk).update(status="cancelled")
    assert handle.result()["status"] == "cancelled"
    assert not SubscriptionCharge.objects.exists()


def send(handle: EnvironmentHandle, env: WorkflowEnvironment, name: str) -> None:
    inbox.signal(handle.execution.id, name, payloads.encode([]))
    env.settle()


def test_a_cancellation_by_signal_ends_it_and_the_tier_stays_to_the_end_of_the_period(
    env: WorkflowEnvironment,
) -> None:
    row = make.subscription(10)
    handle = env.start(RENEW, row.pk)
    env.skip(dt.timedelta(days=4))
    send(handle, env, "cancel_subscription")
    assert handle.result()["status"] == "cancelled"
    assert clock.now() < row.current_period_end
    assert standing.tier_of(row.practitioner_id) == "professional"
    env.skip(dt.timedelta(days=7))
    assert standing.tier_of(row.practitioner_id) == "basic"
    assert not SubscriptionCharge.objects.exists()


def test_a_new_card_is_tried_at_once(env: WorkflowEnvironment) -> None:
    row = make.subscription(1, payment_method="pm_card_chargeDeclined")
    end = row.current_period_end
    handle = env.start(RENEW, row.pk)
    env.skip(dt.timedelta(days=1, hours=1))
    Subscription.objects.filter(pk=row.pk).update(payment_method="pm_card_visa")
    send(handle, env, "payment_method_changed")
    assert handle.result()["attempts"] == 2
    assert clock.now() - end < dt.timedelta(hours=2)


def test_a_renewal_that_is_started_anew_tries_anew(env: WorkflowEnvironment) -> None:
    row = make.subscription(1, payment_method="pm_card_chargeDeclined")
    first = env.start(RENEW, row.pk)
    env.skip(dt.timedelta(days=1, hours=1))
    first.terminate("the operator mends it")
    Subscription.objects.filter(pk=row.pk).update(payment_method="pm_card_visa")
    result = env.run(RENEW, row.pk)
    assert (result["status"], result["attempts"]) == ("renewed", 1)
    tries = SubscriptionCharge.objects.order_by("attempt").values_list("attempt", "status")
    assert list(tries) == [(0, "declined"), (1, "succeeded")]


def test_two_renewals_of_one_period_charge_once(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    row = make.subscription(1)
    first, second = env.start(RENEW, row.pk), env.start(RENEW, row.pk)
    assert first.result()["status"] == second.result()["status"] == "renewed"
    assert stripe_api.moved["payment_intent"] == 1
    assert SubscriptionCharge.objects.count() == 1


def test_an_outage_of_an_hour_is_no_failed_charge(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:
    row = make.subscription(1)
    back = row.current_period_end + dt.timedelta(hours=1)
    stripe_api.away = lambda: clock.now() < back
    result = env.run(RENEW, row.pk)
    assert (result["status"], result["attempts"]) == ("renewed", 1)


def test_it_goes_on_with_the_next_period_if_asked_to(env: WorkflowEnvironment) -> None:
    row = make.subscription(1)
    handle = env.start(RENEW, row.pk, True)
    env.skip(dt.timedelta(days=65))
    assert SubscriptionCharge.objects.filter(status="succeeded").count() == 3
    assert WorkflowExecution.objects.filter(definition=RENEW, status=ExecutionStatus.CONTINUED).count() == 3
    assert not handle.has_ended()
    Subscription.objects.filter(pk=row.pk).update(status="cancelled")
    assert handle.result()["status"] == "cancelled"
