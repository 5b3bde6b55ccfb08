"""Waiting for a condition, never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T], timeout: float = 20.0, message: str | Callable[[], str] = "", interval: float = 0.02
) -> T:
    """The first true value of `predicate()`; fails the test after `timeout` seconds.

    `message` says what was waited for; as a function it is called on failure, to say how far things got.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            text = message() if callable(message) else message
            raise AssertionError(
                f"not within {timeout:g} s: {text or predicate.__name__}; the last value was {value!r}"
            )
        time.sleep(interval)
