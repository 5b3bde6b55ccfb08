"""Paying practitioners what they have earned."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from automation.domains.payment.workflows.base import PaymentWorkflow
from automation.durable import workflow
from automation.durable.base import monitored_workflow
from automation.durable.exceptions import FailureError

MINIMUM = Decimal("10.00")
AT_ONCE = 20
"""Practitioners that are paid at the same time; each batch of them is a run of its own."""


@workflow.defn
@monitored_workflow(name="PayoutWorkflow")
class PayoutWorkflow(PaymentWorkflow):
    """Available earnings above the minimum: transfer, record, notify."""

    @workflow.run
    async def run(self, practitioner_id: int, min_amount: Decimal = MINIMUM) -> dict[str, Any]:
        """status "paid" with `amount` and `currency`; "below_minimum", with what is available; "no_account"; "refused"
        with `error`, the earnings being free again."""
        payout = await self.execute_activity("open_payout", practitioner_id, min_amount)
        if payout["status"] != "pending":
            return dict(payout)
        return await self.send_payout(payout)


@workflow.defn
@monitored_workflow(name="BatchPractitionerPayoutWorkflow")
class BatchPractitionerPayoutWorkflow(PaymentWorkflow):
    """Pays every practitioner who has the minimum available, each in a workflow of its own."""

    @workflow.run
    async def run(
        self, min_amount: Decimal = MINIMUM, after: int = 0, counts: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Counts: `practitioners`, of these `paid`, `skipped` (below the minimum meanwhile, or without an account) and
        `failed`; and `totals` paid by currency, as text.

        `after` and `counts` are what this run has from the one before it: it continues as new for every further batch.
        """
        found = counts or {"practitioners": 0, "paid": 0, "skipped": 0, "failed": 0, "totals": {}}
        batch = await self.execute_activity("find_practitioners_to_pay", min_amount, after, AT_ONCE)
        if not batch:
            return found
        results = await asyncio.gather(*(self._pay(one, min_amount) for one in batch))
        for result in results:
            _count(found, result)
        return workflow.continue_as_new(args=[min_amount, batch[-1], found])

    async def _pay(self, practitioner_id: int, min_amount: Decimal) -> dict[str, Any]:
        try:
            result: dict[str, Any] = await workflow.execute_child_workflow(
                PayoutWorkflow.run,
                args=[practitioner_id, min_amount],
                id=f"{workflow.info().workflow_id}/practitioner-{practitioner_id}",
            )
        except FailureError as error:
            self.logger.warning("practitioner %s was not paid: %s", practitioner_id, error)
            return {"status": "failed"}
        return result


def _count(found: dict[str, Any], result: dict[str, Any]) -> None:
    found["practitioners"] += 1
    match result["status"]:
        case "paid":
            found["paid"] += 1
            totals, currency = found["totals"], result["currency"]
            totals[currency] = str(Decimal(totals.get(currency, "0")) + Decimal(result["amount"]))
        case "below_minimum" | "no_account":
            found["skipped"] += 1
        case _:
            found["failed"] += 1
