"""What the workflows of payment do."""

from collections.abc import Callable
from typing import Any

from automation.domains.payment.activities import (
    charging,
    commissions,
    letters,
    packages,
    paying_out,
    refunding,
    subscriptions,
)

ACTIVITIES: list[Callable[..., Any]] = [
    *charging.ACTIVITIES,
    *refunding.ACTIVITIES,
    *commissions.ACTIVITIES,
    *paying_out.ACTIVITIES,
    *packages.ACTIVITIES,
    *subscriptions.ACTIVITIES,
    *letters.ACTIVITIES,
]
