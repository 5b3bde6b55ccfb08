"""Amounts of money: `Decimal`, as many places as the currency has minor units (ISO 4217), never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from automation.errors import InvalidInput

_WITHOUT_MINOR_UNITS = frozenset(
    (
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
    )
)
_WITH_THOUSANDTHS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_CODE = re.compile(r"[A-Z]{3}")


def exponent(currency: str) -> int:
    """How many decimal places the currency has: 0, 2 or 3. Raises InvalidInput for what is no currency code."""
    if not _CODE.fullmatch(currency):
        raise InvalidInput(f"{currency!r} is no currency: expected three capital letters, such as 'EUR'")
    return 0 if currency in _WITHOUT_MINOR_UNITS else 3 if currency in _WITH_THOUSANDTHS else 2


def rounded(amount: Decimal, currency: str) -> Decimal:
    """To the currency's minor unit, a half to the even neighbour, so that many roundings favour nobody."""
    return amount.quantize(Decimal(1).scaleb(-exponent(currency)), rounding=ROUND_HALF_EVEN)


def to_minor(amount: Decimal, currency: str) -> int:
    """In minor units (12.30 EUR is 1230). Raises InvalidInput for a fraction of one: money is never rounded silently on
    its way out."""
    if not isinstance(amount, Decimal):
        raise TypeError(f"an amount must be a Decimal, not {type(amount).__name__}: {amount!r}")
    scaled = amount.scaleb(exponent(currency)) if amount.is_finite() else amount
    if not amount.is_finite() or scaled != scaled.to_integral_value():
        raise InvalidInput(f"{amount} {currency} is not a whole number of minor units; round it first")
    return int(scaled)


def from_minor(units: int, currency: str) -> Decimal:
    """1230 of EUR is Decimal('12.30')."""
    return Decimal(units).scaleb(-exponent(currency))


def shown(amount: Decimal, currency: str) -> str:
    """As people read it: '12.30 EUR'."""
    return f"{rounded(amount, currency)} {currency}"
