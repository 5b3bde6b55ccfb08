"""What the workflows of payment share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from automation.durable import workflow
from automation.durable.base import INTEGRATION_RETRY_POLICY, PAYMENT_RETRY_POLICY, BaseWorkflow
from automation.durable.exceptions import ActivityError, ApplicationError

PROVIDER_LIMIT = timedelta(minutes=2)
"""For one call to the payments provider."""


class PaymentWorkflow(BaseWorkflow):
    """Rows are written within a minute, as the standard policy has it; money moves by the payment policy, which
    outlasts an outage of days."""

    default_start_to_close_timeout = timedelta(minutes=1)

    async def wait_for(self, holds: Callable[[], bool], at_most: timedelta) -> bool:
        """Whether it came to hold within the time."""
        try:
            await workflow.wait_condition(holds, timeout=at_most)
        except asyncio.TimeoutError:  # noqa: UP041  # what the SDK's code catches
            return False
        return True

    async def move_money(self, activity: str, *args: Any) -> dict[str, Any]:
        """An activity that asks the provider. Raises ActivityError when it is declined or refused for good."""
        found: dict[str, Any] = await self.execute_activity(
            activity, *args, start_to_close_timeout=PROVIDER_LIMIT, retry_policy=PAYMENT_RETRY_POLICY
        )
        return found

    async def tell(self, letter: str, identifier: int, details: dict[str, Any] | None = None) -> bool:
        """Compose a letter and email it. Whether it went out: what happened to money stands either way."""
        try:
            words = await self.execute_activity("compose_payment_letter", letter, identifier, details)
            await self.execute_activity(
                "send_email",
                words["to"],
                words["subject"],
                words["body"],
                start_to_close_timeout=PROVIDER_LIMIT,
                retry_policy=INTEGRATION_RETRY_POLICY,
            )
        except ActivityError as error:
            self.logger.warning("the letter %s about %s did not go out: %s", letter, identifier, error)
            return False
        return True

    async def send_payout(self, payout: dict[str, Any]) -> dict[str, Any]:
        """Transfer, record and tell of a payout that has been put down."""
        try:
            await self.move_money("send_payout", payout["payout_id"])
        except ActivityError as error:
            if reason(error) != "PaymentRefused":
                raise
            return {**payout, "status": "refused", "error": str(error.cause)}
        recorded = await self.execute_activity("record_payout", payout["payout_id"])
        told = await self.tell("payout", payout["payout_id"])
        return {**recorded, "told": told}


def reason(error: ActivityError) -> str:
    """The type of what went wrong in an activity: CardDeclined, PaymentRefused, …"""
    cause = error.cause
    return cause.type or "" if isinstance(cause, ApplicationError) else type(cause).__name__


def detail(error: ActivityError, name: str) -> str:
    """A detail that the activity gave with its failure."""
    cause = error.cause
    details = cause.details[0] if isinstance(cause, ApplicationError) and cause.details else {}
    return str(details.get(name, "")) if isinstance(details, dict) else ""
