"""The retry policies that domains share. Each multiplies its wait by two."""

from __future__ import annotations

from datetime import timedelta

from automation.durable.common import RetryPolicy

STANDARD_RETRY_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10), maximum_attempts=10
)
"""For our own work: 10 attempts within about nine minutes."""

PAYMENT_RETRY_POLICY = RetryPolicy(
    initial_interval=timedelta(minutes=5), maximum_interval=timedelta(hours=24), maximum_attempts=20
)
"""For moving money: 20 attempts, soon a day apart, over some twelve days."""

INTEGRATION_RETRY_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=30), maximum_attempts=50
)
"""For other people's services: 50 attempts over about 21 hours."""

NO_RETRY_POLICY = RetryPolicy(maximum_attempts=1)
"""For what must not be tried twice."""


def get_default_retry_policy() -> RetryPolicy:
    """The policy of a step for which nothing speaks for another: STANDARD_RETRY_POLICY."""
    return STANDARD_RETRY_POLICY
