"""Renewing practitioners' subscriptions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction

from automation import clock
from automation.domains.payment import ledger
from automation.domains.payment.calls import exact, missing, once, step_key
from automation.domains.payment.models import (
    ChargeStatus,
    Interval,
    Subscription,
    SubscriptionCharge,
    SubscriptionStatus,
)
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity
from automation.durable.exceptions import ApplicationError
from automation.providers.payments import Charge, get_backend, money

PERIODS: Mapping[str, dt.timedelta] = {Interval.MONTHLY: dt.timedelta(days=30), Interval.YEARLY: dt.timedelta(days=365)}


@activity.defn(name="load_subscription")
@monitored_activity(name="load_subscription")
def load_subscription(subscription_id: int) -> dict[str, Any]:
    """A subscription as workflows see it: `status`, `period_end` (ISO 8601), `price` as text, `currency`, `tier`."""
    return describe(_subscription(subscription_id))


@activity.defn(name="charge_subscription")
@monitored_activity(name="charge_subscription")
def charge_subscription(subscription_id: int, period_start: dt.datetime) -> dict[str, Any]:
    """Charge the period that begins at `period_start`; one that has been charged is not charged again.

    Raises ApplicationError: CardDeclined and PaymentRefused are final for this step (a later one is another try),
    PaymentFailed is not.
    """
    charge = _claim(subscription_id, period_start)
    if charge.status == ChargeStatus.DECLINED:
        details = {"decline_code": charge.decline_code}
        raise ApplicationError("This attempt has been declined.", details, type="CardDeclined", non_retryable=True)
    if charge.status == ChargeStatus.PENDING and not charge.provider_id:
        subscription = charge.subscription
        wanted = Charge(
            amount=money.rounded(charge.amount, charge.currency),
            currency=charge.currency,
            payment_method=subscription.payment_method,
            customer=subscription.customer,
            reference=f"subscription:{subscription_id}",
            idempotency_key=charge.idempotency_key,
        )
        try:
            operation = once(charge, "charge", lambda: get_backend().charge_subscription(wanted))
        except ApplicationError as error:
            if error.non_retryable:
                _declined(charge, error)
            raise
        SubscriptionCharge.objects.filter(pk=charge.pk).update(provider_id=operation.id)
    return {"charge_id": charge.pk, "amount": str(money.rounded(charge.amount, charge.currency))}


@activity.defn(name="renew_subscription")
@monitored_activity(name="renew_subscription")
@transactional_activity
def renew_subscription(charge_id: int) -> dict[str, Any]:
    """Enter a charge, and let the subscription run for another 30 or 365 days from the end of its period."""
    charge = SubscriptionCharge.objects.select_for_update().select_related("subscription").get(pk=charge_id)
    subscription = Subscription.objects.select_for_update().get(pk=charge.subscription_id)
    if charge.status == ChargeStatus.PENDING:
        charge.status, charge.completed_at = ChargeStatus.SUCCEEDED, clock.now()
        charge.save(update_fields=["status", "completed_at"])
        subscription.current_period_end = charge.period_start + PERIODS[subscription.interval]
        subscription.status = SubscriptionStatus.ACTIVE
        subscription.save(update_fields=["current_period_end", "status"])
        amount = money.rounded(charge.amount, charge.currency)
        ledger.post(
            f"subscription:{charge.pk}",
            charge.currency,
            {ledger.PROCESSOR: amount, ledger.SUBSCRIPTIONS: -amount},
            f"Subscription {subscription.pk}",
        )
    return describe(subscription)


@activity.defn(name="set_subscription_status")
@monitored_activity(name="set_subscription_status")
def set_subscription_status(subscription_id: int, status: str) -> dict[str, Any]:
    """past_due while a failed charge is tried again, expired when it was tried for the last time, cancelled at the
    subscriber's wish. What has ended stays as it is."""
    if status not in SubscriptionStatus.values:
        raise ApplicationError(
            f"{status!r} is no status: expected one of {', '.join(SubscriptionStatus.values)}",
            type="BadStatus",
            non_retryable=True,
        )
    running = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
    Subscription.objects.filter(pk=subscription_id, status__in=running).update(status=status)
    return describe(_subscription(subscription_id))


def describe(subscription: Subscription) -> dict[str, Any]:
    return {
        "subscription_id": subscription.pk,
        "practitioner_id": subscription.practitioner_id,
        "status": subscription.status,
        "tier": subscription.tier,
        "interval": subscription.interval,
        "price": str(money.rounded(subscription.price, subscription.currency)),
        "currency": subscription.currency,
        "period_end": subscription.current_period_end.isoformat(),
    }


def _claim(subscription_id: int, period_start: dt.datetime) -> SubscriptionCharge:
    """The period's live charge, else this step's."""
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update().filter(pk=subscription_id).first()
        if subscription is None:
            raise missing("subscription", subscription_id)
        exact(subscription.price, subscription.currency)
        charges = subscription.charges.filter(period_start=period_start).select_related("subscription")
        live, ours = charges.exclude(status=ChargeStatus.DECLINED), charges.filter(idempotency_key=step_key())
        found = live.first() or ours.first()
        return found or SubscriptionCharge.objects.create(
            subscription=subscription,
            period_start=period_start,
            attempt=charges.count(),
            amount=subscription.price,
            currency=subscription.currency,
            idempotency_key=step_key(),
        )


def _declined(charge: SubscriptionCharge, error: ApplicationError) -> None:
    details: dict[str, Any] = error.details[0] if error.details else {}
    SubscriptionCharge.objects.filter(pk=charge.pk, status=ChargeStatus.PENDING).update(
        status=ChargeStatus.DECLINED,
        decline_code=str(details.get("decline_code") or details.get("reason") or "")[:64],
        completed_at=clock.now(),
    )


def _subscription(subscription_id: int) -> Subscription:
    found = Subscription.objects.filter(pk=subscription_id).first()
    if found is None:
        raise missing("subscription", subscription_id)
    return found


ACTIVITIES: list[Callable[..., Any]] = [
    load_subscription,
    charge_subscription,
    renew_subscription,
    set_subscription_status,
]
