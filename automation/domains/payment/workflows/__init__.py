"""The workflows of payment."""

from automation.domains.payment.workflows.commissions import CommissionCalculationWorkflow
from automation.domains.payment.workflows.packages import ProgressivePackagePayoutWorkflow
from automation.domains.payment.workflows.payouts import BatchPractitionerPayoutWorkflow, PayoutWorkflow
from automation.domains.payment.workflows.processing import PaymentProcessingWorkflow
from automation.domains.payment.workflows.refunds import RefundWorkflow
from automation.domains.payment.workflows.subscriptions import SubscriptionRenewalWorkflow

WORKFLOWS: list[type] = [
    PaymentProcessingWorkflow,
    RefundWorkflow,
    PayoutWorkflow,
    BatchPractitionerPayoutWorkflow,
    ProgressivePackagePayoutWorkflow,
    SubscriptionRenewalWorkflow,
    CommissionCalculationWorkflow,
]
