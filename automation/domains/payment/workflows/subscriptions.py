"""A subscription's renewal, from the first notice to the next period, or to its end."""

from __future__ import annotations

import datetime as dt
from typing import Any

from automation.domains.payment.workflows.base import PaymentWorkflow, detail, reason
from automation.durable import workflow
from automation.durable.base import monitored_workflow
from automation.durable.exceptions import ActivityError

NOTICES = (14, 7, 3, 1)
"""Days before the end of the period on which the subscriber is told."""
RETRIES = 3
"""Further charges after one that failed, a day apart."""
DAY = dt.timedelta(days=1)


@workflow.defn
@monitored_workflow(name="SubscriptionRenewalWorkflow")
class SubscriptionRenewalWorkflow(PaymentWorkflow):
    """Notices, the charge, up to three more tries on the days after, and then the end.

    Signals: `cancel_subscription`, which ends it; `payment_method_changed`, to try a declined charge again at once.
    Query: `stage`.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.new_method = False
        self._stage = "waiting for the end of the period"

    @workflow.signal
    def cancel_subscription(self) -> None:
        self.cancelled = True

    @workflow.signal
    def payment_method_changed(self) -> None:
        self.new_method = True

    @workflow.query
    def stage(self) -> str:
        """What it is doing or waiting for."""
        return self._stage

    @workflow.run
    async def run(self, subscription_id: int, keep_renewing: bool = False) -> dict[str, Any]:
        """status "renewed" with the new `period_end`, "expired", or "cancelled"; `notices` are the days before the end
        on which one was sent. A notice whose day has passed is left out.

        keep_renewing: go on with the next period, as a new run, until the subscription ends.
        """
        subscription = await self._load(subscription_id)
        period = dt.datetime.fromisoformat(subscription["period_end"])
        sent: list[int] = []
        for days in NOTICES:
            if not await self._wait_until(period - days * DAY):
                continue
            if not (subscription := await self._load(subscription_id))["running"]:
                return self._ended(subscription, sent)
            if await self.tell("renewal_notice", subscription_id, {"days": days}):
                sent.append(days)
        await self._wait_until(period)
        result = await self._charge(subscription_id, period)
        if keep_renewing and result["status"] == "renewed":
            workflow.continue_as_new(args=[subscription_id, True])
        return {**result, "notices": sent}

    async def _charge(self, subscription_id: int, period: dt.datetime) -> dict[str, Any]:
        for attempt in range(RETRIES + 1):
            if attempt:
                self._stage = f"waiting for attempt {attempt + 1}"
                await self.wait_for(lambda: self.cancelled or self.new_method, DAY)
            self.new_method = False
            if not (subscription := await self._load(subscription_id))["running"]:
                return self._ended(subscription, [])
            try:
                charge = await self.move_money("charge_subscription", subscription_id, period)
            except ActivityError as error:
                if reason(error) not in ("CardDeclined", "PaymentRefused"):
                    raise
                await self._failed(subscription_id, attempt, error)
                continue
            renewed = await self.execute_activity("renew_subscription", charge["charge_id"])
            await self.tell("renewed", subscription_id)
            return {**renewed, "status": "renewed", "attempts": attempt + 1, "charged": charge["amount"]}
        expired = await self.execute_activity("set_subscription_status", subscription_id, "expired")
        await self.tell("expired", subscription_id)
        return {**expired, "attempts": RETRIES + 1}

    async def _failed(self, subscription_id: int, attempt: int, error: ActivityError) -> None:
        self.logger.info("attempt %s was declined: %s", attempt + 1, detail(error, "decline_code") or error.cause)
        await self.execute_activity("set_subscription_status", subscription_id, "past_due")
        if attempt < RETRIES:
            await self.tell("renewal_failed", subscription_id, {"attempts_left": RETRIES - attempt})

    async def _load(self, subscription_id: int) -> dict[str, Any]:
        if self.cancelled:
            found = await self.execute_activity("set_subscription_status", subscription_id, "cancelled")
        else:
            found = await self.execute_activity("load_subscription", subscription_id)
        return {**found, "running": found["status"] in ("active", "past_due")}

    async def _wait_until(self, moment: dt.datetime) -> bool:
        """Whether the moment was still to come."""
        wait = moment - workflow.now()
        if wait <= dt.timedelta(0):
            return False
        await self.wait_for(lambda: self.cancelled, wait)
        return True

    def _ended(self, subscription: dict[str, Any], notices: list[int]) -> dict[str, Any]:
        found = {name: value for name, value in subscription.items() if name != "running"}
        return {**found, "notices": notices}
