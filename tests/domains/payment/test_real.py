"""Money and worker processes that die."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from automation.domains.payment import ledger
from automation.domains.payment.models import Capture, Payment
from automation.durable import starts
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
