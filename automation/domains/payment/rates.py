"""How a sale is split: pure arithmetic on percentages.

| sale | rate |          | tier | points |
|---|---|---|---|---|
| session, package | 15 % |  | basic | 0 |
| workshop, course | 20 % |  | professional | −2 |
| bundle | 10 % |           | premium | −5 |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from automation.domains.payment.models import SaleKind, Tier
from automation.errors import InvalidInput
from automation.providers.payments import money

BASE_RATES: Mapping[str, Decimal] = {
    SaleKind.SESSION: Decimal(15),
    SaleKind.PACKAGE: Decimal(15),
    SaleKind.WORKSHOP: Decimal(20),
    SaleKind.COURSE: Decimal(20),
    SaleKind.BUNDLE: Decimal(10),
}
"""Percent of the gross."""

ADJUSTMENTS: Mapping[str, Decimal] = {
    Tier.BASIC: Decimal(0),
    Tier.PROFESSIONAL: Decimal(-2),
    Tier.PREMIUM: Decimal(-5),
}
"""Percentage points, by the practitioner's tier."""


@dataclass(frozen=True)
class Split:
    """`gross` = `commission` + `net`, exactly. Rates are percentages."""

    gross: Decimal
    base_rate: Decimal
    adjustment: Decimal
    rate: Decimal
    commission: Decimal
    net: Decimal


def split(gross: Decimal, kind: str, tier: str, currency: str) -> Split:
    """The split of a sale; the commission is rounded to the currency's minor unit, the rest is the practitioner's.

    Raises InvalidInput for an unknown kind or tier.
    """
    if kind not in BASE_RATES:
        raise InvalidInput(f"{kind!r} is no kind of sale: expected one of {', '.join(BASE_RATES)}")
    if tier not in ADJUSTMENTS:
        raise InvalidInput(f"{tier!r} is no tier: expected one of {', '.join(ADJUSTMENTS)}")
    base, adjustment = BASE_RATES[kind], ADJUSTMENTS[tier]
    rate = max(base + adjustment, Decimal(0))
    gross = money.rounded(gross, currency)
    commission = money.rounded(gross * rate / 100, currency)
    return Split(gross, base, adjustment, rate, commission, gross - commission)


def part(whole: Decimal, share: Decimal, of: Decimal, currency: str) -> Decimal:
    """`whole` × `share` ÷ `of`, rounded; all of it where the share is all, so that parts add up to the whole when each
    is the difference to what was given before."""
    return whole if share == of else money.rounded(whole * share / of, currency)
