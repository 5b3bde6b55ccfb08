"""Money and worker processes that die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from automation import clock
from automation.domains.payment import ledger
from automation.domains.payment.models import Capture, Earning, Payment
from automation.durable import payloads, starts
from automation.models import ExecutionStatus, WorkflowExecution
from tests.domains.payment import factories as make
from tests.support.mail import SmtpServer
from tests.support.processes import Worker
from tests.support.stripe_api import StripeApi
from tests.support.waiting import wait_until


@pytest.mark.real
def test_a_worker_that_dies_between_a_capture_and_its_answer_captures_once(
    worker: Callable[..., Worker], stripe_api: StripeApi, smtp_server: SmtpServer
) -> None:
    stripe = {
        "PAYMENTS_BACKEND": "automation.providers.payments.stripe.StripeBackend",
        "STRIPE_API_KEY": "sk_test_weir",
        "STRIPE_API_URL": stripe_api.url,
    }
    stripe_api.fail("no answer", path="/capture")
    sale = make.payment()
    first = worker(env=stripe)
    [execution] = starts.start_many([starts.NewExecution("PaymentProcessingWorkflow", (sale.pk,))])
    wait_until(lambda: stripe_api.moved["capture"], 60, "the capture")
    first.kill()
    worker(env=stripe)
    wait_until(
        lambda: WorkflowExecution.objects.filter(id=execution, status=ExecutionStatus.COMPLETED).exists(),
        90,
        lambda: str(WorkflowExecution.objects.filter(id=execution).values_list("status", "error_message").get()),
    )
    assert stripe_api.moved == {"payment_intent": 1, "capture": 1}
    assert len({request.key for request in stripe_api.to("/capture")}) == 1 < len(stripe_api.to("/capture"))
    assert Payment.objects.get().status == "paid"
    assert Capture.objects.count() == 1
    assert ledger.balance(ledger.PROCESSOR, "EUR") == 100
    assert len(smtp_server.messages) == 1


@pytest.mark.real
def test_every_payment_workflow_on_real_workers(shared_worker: Worker, smtp_server: SmtpServer) -> None:
    def run(workflow: str, *args: object) -> dict[str, Any]:
        [execution] = starts.start_many([starts.NewExecution(workflow, args)])

        def ended() -> WorkflowExecution | None:
            row = WorkflowExecution.objects.get(id=execution)
            # A batch goes on as a new run, which knows the first.
            row = WorkflowExecution.objects.filter(first_run_id=execution).order_by("-id").first() or row
            return row if row.status == ExecutionStatus.COMPLETED else None

        found: dict[str, Any] = payloads.decode(wait_until(ended, 60, lambda: f"{workflow} to complete").result)
        return found

    sale = make.payment()
    assert run("PaymentProcessingWorkflow", sale.pk)["status"] == "paid"
    assert run("PaymentProcessingWorkflow", make.payment(payment_method="pm_card_chargeDeclined").pk)["told"]
    assert run("CommissionCalculationWorkflow", sale.pk)["net"] == "85.00"
    assert run("RefundWorkflow", sale.pk, "20.00")["earnings_reversed"] == "17.00"
    Earning.objects.update(available_at=clock.now())
    assert run("BatchPractitionerPayoutWorkflow")["totals"] == {"EUR": "68.00"}
    assert run("PayoutWorkflow", sale.practitioner_id)["status"] == "below_minimum"
    packaged = make.payment(kind="package")
    assert run("PaymentProcessingWorkflow", packaged.pk)["status"] == "paid"
    package = make.package(packaged, 2)
    make.complete(package, 2)
    assert run("ProgressivePackagePayoutWorkflow", package.pk)["status"] == "completed"
    assert run("SubscriptionRenewalWorkflow", make.subscription(-0.1).pk)["status"] == "renewed"
    assert ledger.balance(ledger.practitioner(sale.practitioner_id), "EUR") == 0
    assert make.ledger_balances()
