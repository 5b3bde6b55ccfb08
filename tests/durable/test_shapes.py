"""The shapes that ported code comes in run unchanged but for imports; and what Weir offers domains beyond the SDK."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from automation.durable import (
    STANDARD_RETRY_POLICY,
    BaseWorkflow,
    activity,
    django_activity,
    get_default_retry_policy,
    monitored_activity,
    monitored_workflow,
    workflow,
)
from automation.durable.testing import WorkflowEnvironment
from tests.flows.models import Posting

sent: list[tuple[int, str]] = []


@activity.defn
@monitored_activity(name="load_invoice")
@django_activity
def load_invoice(invoice_id: int) -> dict:
    return {"id": invoice_id, "postings": Posting.objects.count()}


@activity.defn
@monitored_activity(name="is_paid")
@django_activity
def is_paid(invoice_id: int) -> dict:
    Posting.objects.create(key=f"asked {invoice_id}", attempt=activity.info().attempt)
    return {"paid": Posting.objects.count() == invoice_id}


@activity.defn
def send_reminder(invoice_id: int, kind: str) -> None:
    sent.append((invoice_id, kind))


@workflow.defn
@monitored_workflow(name="InvoiceWorkflow")
class InvoiceWorkflow(BaseWorkflow):
    @workflow.run  # noqa: RET503 (continue_as_new raises)
    async def run(self, invoice_id: int) -> dict:
        invoice = await self.execute_activity("load_invoice", invoice_id, start_to_close_timeout=timedelta(seconds=10))
        assert invoice["id"] == invoice_id
        for _ in range(14):  # poll once a day
            await workflow.sleep(timedelta(days=1))
            if (await self.execute_activity("is_paid", invoice_id, start_to_close_timeout=timedelta(seconds=10)))[
                "paid"
            ]:
                return {"status": "paid"}
        await workflow.execute_activity(
            send_reminder,
            args=[invoice_id, "late"],
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=STANDARD_RETRY_POLICY,
        )
        workflow.continue_as_new(invoice_id)


@dataclass
class WelcomeInput:
    names: list[str]


@dataclass
class WelcomeResult:
    greetings: list[str]


@activity.defn
async def greet(name: str) -> str:
    await asyncio.sleep(0)
    return f"Hello, {name}"


@workflow.defn(name="welcome", sandboxed=False)
class WelcomeWorkflow:
    @workflow.run
    async def run(self, data: WelcomeInput) -> WelcomeResult:
        results = await asyncio.gather(
            *(
                workflow.execute_activity(
                    greet,
                    n,
                    retry_policy=get_default_retry_policy(),
                    start_to_close_timeout=timedelta(seconds=30),
                )
                for n in data.names
            )
        )
        await asyncio.sleep(24 * 3600)
        return WelcomeResult(results)


INVOICE = [load_invoice, is_paid, send_reminder]


def test_a_dataclass_goes_in_and_comes_out_a_day_later() -> None:
    with WorkflowEnvironment.start_time_skipping(activities=[greet]) as env:
        began = env.now
        assert env.run(WelcomeWorkflow.run, WelcomeInput(["Ada", "Bo"])) == WelcomeResult(["Hello, Ada", "Hello, Bo"])
        assert env.now - began == timedelta(days=1)


def test_a_workflow_on_the_base_polls_once_a_day_by_names_of_activities() -> None:
    with WorkflowEnvironment.start_time_skipping(activities=INVOICE) as env:
        began = env.now
        handle = env.start(InvoiceWorkflow.run, 3, id="invoice-3")
        assert handle.result() == {"status": "paid"}
        assert env.now - began == timedelta(days=3)
        assert [name for name, _ in handle.activities()] == ["load_invoice", "is_paid", "is_paid", "is_paid"]
