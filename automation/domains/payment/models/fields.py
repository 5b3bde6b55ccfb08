"""Fields that rows of money share."""

from __future__ import annotations

import decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from automation.errors import WeirError
from automation.providers.payments import money

Money = decimal.Decimal


def money_field(**options: Any) -> models.DecimalField[Any, Money]:
    """An amount: three places are as many as any currency has, so that nothing is lost on the way to the database."""
    return models.DecimalField(max_digits=18, decimal_places=3, **options)


def currency_field() -> models.CharField[Any, str]:
    """An ISO 4217 code."""
    return models.CharField(
        max_length=3, validators=[RegexValidator(r"\A[A-Z]{3}\Z", "Expected three capital letters, such as 'EUR'.")]
    )


def check_money(amount: decimal.Decimal, currency: str, field: str = "amount") -> None:
    """Raise ValidationError for an amount that is no whole number of the currency's minor units."""
    try:
        money.to_minor(decimal.Decimal(amount), currency)
    except WeirError as error:
        raise ValidationError({field: error.message}) from error


def key_field(**options: Any) -> models.CharField[Any, str]:
    """The idempotency key of a call to the provider: its first claimant's, the same for every attempt and execution."""
    return models.CharField(max_length=255, unique=True, **options)
