"""What of a sale is ours."""

from __future__ import annotations

from typing import Any

from automation.domains.payment.workflows.base import PaymentWorkflow
from automation.durable import workflow
from automation.durable.base import monitored_workflow


@workflow.defn
@monitored_workflow(name="CommissionCalculationWorkflow")
class CommissionCalculationWorkflow(PaymentWorkflow):
    """Splits a payment by the rates of `automation.domains.payment.rates`, in ledger lines that sum to zero."""

    @workflow.run
    async def run(self, payment_id: int) -> dict[str, Any]:
        """`gross`, `base_rate`, `adjustment`, `rate` (percent), `commission` and `net`, as text; status "calculated",
        the same for the same payment however often it is asked. "nothing_to_calculate" for what was not captured or
        was given back; "by_sessions" for a package."""
        found: dict[str, Any] = await self.execute_activity("calculate_commission", payment_id)
        return found
