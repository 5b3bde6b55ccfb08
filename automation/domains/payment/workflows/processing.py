"""A payment from the card to the ledger."""

from __future__ import annotations

from typing import Any

from automation.domains.payment.workflows.base import PaymentWorkflow, detail, reason
from automation.durable import workflow
from automation.durable.base import monitored_workflow
from automation.durable.exceptions import ActivityError


@workflow.defn
@monitored_workflow(name="PaymentProcessingWorkflow")
class PaymentProcessingWorkflow(PaymentWorkflow):
    """Authorize, capture, record, receipt."""

    @workflow.run
    async def run(self, payment_id: int) -> dict[str, Any]:
        """status "paid", with `already` true for a payment that was captured before; "declined", with `decline_code`;
        or "refused", when the provider lets no capture through: then the authorization has been let go.

        A payment that does not exist fails the workflow, and so does a provider that is away for longer than the
        payment policy lasts.
        """
        try:
            transaction = await self.move_money("authorize_payment", payment_id)
        except ActivityError as error:
            return await self._ended(error, payment_id)
        if transaction["status"] == "captured":
            return {**transaction, "status": "paid", "already": True, "receipt": False}
        try:
            await self.move_money("capture_payment", transaction["transaction_id"])
        except ActivityError as error:
            if reason(error) != "PaymentRefused":
                raise
            await self.move_money("void_payment", transaction["transaction_id"], str(error.cause))
            return {**transaction, "status": "refused", "error": str(error.cause)}
        await self.execute_activity("record_payment", transaction["transaction_id"])
        receipt = await self.tell("receipt", payment_id)
        return {**transaction, "status": "paid", "already": False, "receipt": receipt}

    async def _ended(self, error: ActivityError, payment_id: int) -> dict[str, Any]:
        match reason(error):
            case "CardDeclined":
                told = await self.tell("declined", payment_id)
                code = detail(error, "decline_code")
                return {"payment_id": payment_id, "status": "declined", "decline_code": code, "told": told}
            case "PaymentRefused":
                return {"payment_id": payment_id, "status": "refused", "error": str(error.cause)}
        raise error
