"""What people are told about their money: the words; sending them is `send_email`'s work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from automation.domains.payment.calls import missing
from automation.domains.payment.models import Payment, Payout, Refund, Subscription
from automation.durable import activity
from automation.durable.base import monitored_activity
from automation.durable.exceptions import ApplicationError
from automation.providers.payments import money

Letter = dict[str, str]


@activity.defn(name="compose_payment_letter")
@monitored_activity(name="compose_payment_letter")
def compose_payment_letter(kind: str, identifier: int, details: dict[str, Any] | None = None) -> Letter:
    """`to`, `subject` and `body` of a letter about a row: receipt, declined (a payment's id), refund, payout,
    renewal_notice (with `days`), renewed, renewal_failed (with `attempts_left`), expired (a subscription's id)."""
    if kind not in LETTERS:
        raise ApplicationError(
            f"There is no letter {kind!r}: expected one of {', '.join(LETTERS)}",
            type="NoSuchLetter",
            non_retryable=True,
        )
    return LETTERS[kind](identifier, details or {})


def _receipt(identifier: int, details: Mapping[str, Any]) -> Letter:
    payment = _payment(identifier)
    return {
        "to": payment.payer_email,
        "subject": f"Receipt for {_about(payment)}",
        "body": f"{_hello(payment.payer_name)}\n\nwe have received your payment of "
        f"{money.shown(payment.amount, payment.currency)} for {_about(payment)}. Thank you.\n",
    }


def _declined(identifier: int, details: Mapping[str, Any]) -> Letter:
    payment = _payment(identifier)
    return {
        "to": payment.payer_email,
        "subject": f"Your payment for {_about(payment)} did not go through",
        "body": f"{_hello(payment.payer_name)}\n\nyour bank declined the payment of "
        f"{money.shown(payment.amount, payment.currency)} for {_about(payment)}. Nothing was charged. Please try "
        f"another card.\n",
    }


def _refund(identifier: int, details: Mapping[str, Any]) -> Letter:
    refund = Refund.objects.select_related("payment").filter(pk=identifier).first()
    if refund is None:
        raise missing("refund", identifier)
    payment = refund.payment
    return {
        "to": payment.payer_email,
        "subject": f"Refund for {_about(payment)}",
        "body": f"{_hello(payment.payer_name)}\n\nwe have refunded {money.shown(refund.amount, refund.currency)} of "
        f"your payment for {_about(payment)}. It takes your bank a few days to show it.\n",
    }


def _payout(identifier: int, details: Mapping[str, Any]) -> Letter:
    payout = Payout.objects.select_related("practitioner").filter(pk=identifier).first()
    if payout is None:
        raise missing("payout", identifier)
    return {
        "to": payout.practitioner.email,
        "subject": f"Your payout of {money.shown(payout.amount, payout.currency)}",
        "body": f"{_hello(payout.practitioner.get_full_name())}\n\n{money.shown(payout.amount, payout.currency)} of "
        f"your earnings are on their way to your account.\n",
    }


def _of_subscription(subject: str, body: str) -> Callable[[int, Mapping[str, Any]], Letter]:
    """A letter with the subscription's words filled in."""

    def compose(identifier: int, details: Mapping[str, Any]) -> Letter:
        row = Subscription.objects.select_related("practitioner").filter(pk=identifier).first()
        if row is None:
            raise missing("subscription", identifier)
        end = row.current_period_end.astimezone(_zone(row.practitioner.timezone))
        words = {
            "tier": row.get_tier_display(),
            "price": money.shown(row.price, row.currency),
            "end": f"{end:%d %B %Y}",
            **details,
        }
        return {
            "to": row.practitioner.email,
            "subject": subject.format(**words),
            "body": f"{_hello(row.practitioner.get_full_name())}\n\n{body.format(**words)}\n",
        }

    return compose


def _payment(identifier: int) -> Payment:
    found = Payment.objects.filter(pk=identifier).first()
    if found is None:
        raise missing("payment", identifier)
    return found


def _about(payment: Payment) -> str:
    return payment.description or f"your {payment.get_kind_display().lower()}"


def _hello(name: str) -> str:
    return f"Hello {name}," if name else "Hello,"


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


LETTERS: Mapping[str, Callable[[int, Mapping[str, Any]], Letter]] = {
    "receipt": _receipt,
    "declined": _declined,
    "refund": _refund,
    "payout": _payout,
    "renewal_notice": _of_subscription(
        "Your {tier} subscription renews in {days} days",
        "on {end} your {tier} subscription renews for {price}.",
    ),
    "renewed": _of_subscription(
        "Your {tier} subscription has been renewed", "we have charged {price}; your subscription now runs to {end}."
    ),
    "renewal_failed": _of_subscription(
        "We could not renew your {tier} subscription",
        "your payment method was declined for {price}. We will try {attempts_left} more times, once a day; please see "
        "to your payment method.",
    ),
    "expired": _of_subscription(
        "Your {tier} subscription has ended",
        "we could not charge {price}, so your subscription has ended. Subscribe again at any time.",
    ),
}

ACTIVITIES: list[Callable[..., Any]] = [compose_payment_letter]
