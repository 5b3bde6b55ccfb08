"""Money given back, and what was earned by it taken back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from automation.domains.payment.workflows.base import PaymentWorkflow, reason
from automation.durable import workflow
from automation.durable.base import monitored_workflow
from automation.durable.exceptions import ActivityError


@workflow.defn
@monitored_workflow(name="RefundWorkflow")
class RefundWorkflow(PaymentWorkflow):
    """Full or partial, never above what was captured; reverses the commission and earnings."""

    @workflow.run
    async def run(
        self, payment_id: int, amount: Decimal | None = None, reason_given: str = "", key: str = ""
    ) -> dict[str, Any]:
        """Refunds `amount`, or all that is left. `key` names the wish, so that it is carried out once; without one it
        is this workflow's id.

        status "refunded" with `amount`, `commission_reversed` and `earnings_reversed`, and with `already` true for a
        wish that was carried out before; "nothing_to_refund"; "refused" with `error`, also for more than was captured.
        """
        key = key or f"workflow:{workflow.info().workflow_id}"
        try:
            refund = await self.execute_activity("open_refund", payment_id, key, amount, reason_given)
            if refund["status"] == "nothing_to_refund":
                return dict(refund)
            if refund["status"] == "succeeded":
                return {**refund, "status": "refunded", "already": True, "told": False}
            await self.move_money("send_refund", refund["refund_id"])
        except ActivityError as error:
            if reason(error) not in ("RefundTooLarge", "NotRefundable", "PaymentRefused"):
                raise
            return {"payment_id": payment_id, "status": "refused", "error": str(error.cause)}
        recorded = await self.execute_activity("record_refund", refund["refund_id"])
        told = await self.tell("refund", refund["refund_id"])
        return {**recorded, "status": "refunded", "already": False, "told": told}
