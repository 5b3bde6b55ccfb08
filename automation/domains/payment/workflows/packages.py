"""A package's price, paid to the practitioner as its sessions take place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from automation.domains.payment.workflows.base import PaymentWorkflow
from automation.durable import workflow
from automation.durable.base import monitored_workflow

RECHECK = timedelta(hours=24)


@workflow.defn
@monitored_workflow(name="ProgressivePackagePayoutWorkflow")
class ProgressivePackagePayoutWorkflow(PaymentWorkflow):
    """Pays the share of completed sessions once, rechecks every 24 hours, and pays the rest at 100 %.

    Signal: `session_completed`, to look at once.
    """

    def __init__(self) -> None:
        self.told = False

    @workflow.signal
    def session_completed(self) -> None:
        self.told = True

    @workflow.run
    async def run(self, package_id: int) -> dict[str, Any]:
        """status "completed", once all is paid; "cancelled", when all of it was given back before. Each recheck is a
        run of its own."""
        while True:
            self.told = False
            share = await self.execute_activity("open_package_payout", package_id)
            if share["payout_id"] is None:
                break
            sent = await self.send_payout({"payout_id": share["payout_id"]})
            if sent["status"] == "refused":
                # The earnings are free, and go out with the practitioner's next payout.
                self.logger.warning("package %s: %s", package_id, sent["error"])
        if share["status"] in ("cancelled", "completed"):
            return {"package_id": package_id, "status": share["status"], "completed": share["completed"]}
        if share["final"] and share["status"] != "no_account":
            closed = await self.execute_activity("close_package", package_id)
            return {**closed, "completed": share["completed"]}
        await self.wait_for(lambda: self.told, RECHECK)
        return workflow.continue_as_new(package_id)
