"""Putting a step off, which is no failure: quiet hours, a turn that has not come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from automation.durable.exceptions import ApplicationError


class Deferred(ApplicationError):
    """Raised by an activity that is to run later: its step waits as a due row for `delay`, and runs again.

    The retry policy's maximum_attempts does not end a step that is put off, however often; schedule_to_close does.
    """

    def __init__(self, message: str, *details: Any, delay: timedelta, type: str | None = None) -> None:
        super().__init__(message, *details, type=type, next_retry_delay=delay)
        self.delay = delay
