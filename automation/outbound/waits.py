"""What an answer's Retry-After header asks for (RFC 9110, section 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(hours=1)
"""No answer makes us wait longer."""


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Retry-After as a wait, from seconds or an HTTP date, at most `MAX_RETRY_AFTER`; None for what says no wait."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        wait = timedelta(seconds=min(int(text[:9]), MAX_RETRY_AFTER.total_seconds()))
    else:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        wait = (when if when.tzinfo else when.replace(tzinfo=UTC)) - now
    return min(wait, MAX_RETRY_AFTER) if wait > timedelta(0) else None
