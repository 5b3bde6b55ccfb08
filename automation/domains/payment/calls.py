"""Asking the payments provider from an activity: with the key that the row holds, and never inside a transaction.

A row claims its call: the key is that of the step which wrote the row, and whoever comes later, another attempt or
another execution, sends the same one. So the row's unique constraints keep money from moving twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Protocol

from automation import clock
from automation.durable import activity
from automation.durable.exceptions import ApplicationError
from automation.errors import InvalidInput
from automation.providers.payments import (
    CardDeclined,
    Kind,
    Operation,
    PaymentFailed,
    PaymentRefused,
    get_backend,
    money,
)

KEY_MEMORY = dt.timedelta(hours=20)
"""For how long we count on the provider to know a key: Stripe promises a day."""


class Claimed(Protocol):
    """A row that holds a call's key, and the time of its claim."""

    idempotency_key: str
    created_at: dt.datetime


def step_key(number: int = 1) -> str:
    """The current step's key; for what the step tries again as something new (a card after the one that was declined),
    with its number."""
    key = activity.info().idempotency_key
    return key if number <= 1 else f"{key}:{number}"


def once(row: Claimed, kind: Kind, call: Callable[[], Operation], within: str = "") -> Operation:
    """Make the call that the row stands for, unless it is so old that its key may be forgotten and it turns out to have
    been carried out. Raises ApplicationError of type CardDeclined or PaymentRefused (final), or PaymentFailed."""
    with provider_errors():
        if clock.now() - row.created_at > KEY_MEMORY:
            found = get_backend().lookup(kind, row.idempotency_key, within)
            if found is not None:
                return found
        return call()


@contextmanager
def provider_errors() -> Iterator[None]:
    """The provider's errors, as retry policies and workflows understand them."""
    try:
        yield
    except CardDeclined as error:
        details = {"decline_code": error.decline_code}
        raise ApplicationError(error.message, details, type="CardDeclined", non_retryable=True) from error
    except PaymentRefused as error:
        details = {"reason": error.reason}
        raise ApplicationError(error.message, details, type="PaymentRefused", non_retryable=True) from error
    except PaymentFailed as error:
        raise ApplicationError(error.message, type="PaymentFailed", next_retry_delay=error.retry_after) from error


def refused(error: str) -> ApplicationError:
    """What the provider has refused before, told again: to an attempt after one that noted it and was lost, and to
    whoever else asks for the same."""
    return ApplicationError(error, {"reason": "refused before"}, type="PaymentRefused", non_retryable=True)


def exact(amount: Decimal, currency: str) -> Decimal:
    """An amount as the provider is told it. Raises ApplicationError of type BadAmount, final, for what is no whole
    number of the currency's minor units: money is not rounded on its way out."""
    try:
        money.to_minor(amount, currency)
    except InvalidInput as error:
        raise ApplicationError(error.message, type="BadAmount", non_retryable=True) from error
    return money.rounded(amount, currency)


def missing(what: str, identifier: Any) -> ApplicationError:
    """A row that is not there: no attempt will find it."""
    name = what.capitalize().replace(" ", "")
    return ApplicationError(f"There is no {what} {identifier}.", type=f"{name}NotFound", non_retryable=True)
