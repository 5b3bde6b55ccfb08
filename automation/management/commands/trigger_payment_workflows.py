"""`manage.py trigger_payment_workflows`: start a workflow that moves money."""

from __future__ import annotations

from automation.domains.payment.models import Package, Payment, Subscription
from automation.management.triggers import Choice, Subject, TriggerCommand, amount, option
from automation.models import User

PAYMENT = Subject("payment_id", Payment, "payment")
MINIMUM = option("--min-amount", type=amount, metavar="N", help="what is below it is not paid out (10.00)")


class Command(TriggerCommand):
    help = "Start a workflow of the payment domain. Each word has a --help of its own."
    domain = "payment"
    examples = (
        "trigger_payment_workflows process 456 --wait",
        "trigger_payment_workflows refund 456 --amount 10.00 --reason 'came late'",
        "trigger_payment_workflows commission 456",
        "trigger_payment_workflows payout 7",
        "trigger_payment_workflows batch_payout --min-amount 10.0",
        "trigger_payment_workflows package 123",
        "trigger_payment_workflows renewal 789 --keep-renewing",
    )
    choices = {
        "process": Choice(
            "PaymentProcessingWorkflow", "authorize, capture, record, receipt", PAYMENT, id_prefix="payment-"
        ),
        "refund": Choice(
            "RefundWorkflow",
            "give back all that is left, or a part",
            PAYMENT,
            [
                option("--amount", type=amount, metavar="N", help="all that is left, unless it is given"),
                option("--reason", dest="reason_given", metavar="TEXT", help="for the books"),
                option("--key", metavar="KEY", help="a name for this wish, which is then carried out once"),
            ],
        ),
        "commission": Choice("CommissionCalculationWorkflow", "split a payment", PAYMENT, id_prefix="commission-"),
        "payout": Choice(
            "PayoutWorkflow",
            "pay one practitioner",
            Subject("practitioner_id", User, "user"),
            [MINIMUM],
            id_prefix="payout-",
        ),
        "batch_payout": Choice(
            "BatchPractitionerPayoutWorkflow", "pay every practitioner who has the minimum", options=[MINIMUM]
        ),
        "package": Choice(
            "ProgressivePackagePayoutWorkflow",
            "pay a package as its sessions take place",
            Subject("package_id", Package, "package"),
            id_prefix="package-payout-",
        ),
        "renewal": Choice(
            "SubscriptionRenewalWorkflow",
            "renew a subscription when its period ends",
            Subject("subscription_id", Subscription, "subscription"),
            [
                option(
                    "--keep-renewing",
                    action="store_true",
                    default=None,
                    help="go on with the next period until the subscription ends",
                )
            ],
            id_prefix="subscription-renewal-",
        ),
    }
