"""Rates such as '60/min', and when the next call at such a rate may be made (the generic cell rate algorithm)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from automation.errors import InvalidInput

OFF = "off"
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|sec|second|m|min|minute|h|hour|d|day)")


@dataclass(frozen=True)
class Rate:
    """At most `count` calls in `seconds`, of which all may come at once after a quiet time."""

    count: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.count} in {self.seconds} s"

    @property
    def interval(self) -> timedelta:
        return timedelta(seconds=self.seconds / self.count)

    def take(self, next_slot: datetime | None, now: datetime) -> tuple[datetime, datetime]:
        """When a call that is asked for `now` may be made (`now` itself, or later), and the new `next_slot`.

        The slot is taken either way: whoever has to wait has it reserved, so that nobody gets ahead of them.
        """
        slack = timedelta(seconds=self.seconds) - self.interval
        even = max(next_slot or now, now)
        return max(now, even - slack), even + self.interval


@lru_cache(maxsize=256)
def parse_rate(text: str) -> Rate | None:
    """'60/min' (s, min, h or d); None for 'off'. Raises InvalidInput."""
    if text == OFF:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        problem = f"{text[:50]!r} is no rate: expected one such as '60/min' (s, min, h or d), or 'off'."
        raise InvalidInput(problem, {"rate": [problem]})
    return Rate(int(match[1]), _SECONDS[match[2][0]])
