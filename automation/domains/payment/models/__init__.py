"""The rows of money."""

from automation.domains.payment.models.earnings import (
    Commission,
    Earning,
    EarningKind,
    Payout,
    PayoutAccount,
    PayoutKind,
    PayoutStatus,
)
from automation.domains.payment.models.ledger import LedgerEntry, LedgerLine
from automation.domains.payment.models.packages import Package, PackagePayout, PackageSession, PackageStatus
from automation.domains.payment.models.payments import (
    LIVE,
    Capture,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    SaleKind,
    Transaction,
    TransactionStatus,
)
from automation.domains.payment.models.subscriptions import (
    ChargeStatus,
    Interval,
    Subscription,
    SubscriptionCharge,
    SubscriptionStatus,
    Tier,
)

__all__ = [
    "LIVE",
    "Capture",
    "ChargeStatus",
    "Commission",
    "Earning",
    "EarningKind",
    "Interval",
    "LedgerEntry",
    "LedgerLine",
    "Package",
    "PackagePayout",
    "PackageSession",
    "PackageStatus",
    "Payment",
    "PaymentStatus",
    "Payout",
    "PayoutAccount",
    "PayoutKind",
    "PayoutStatus",
    "Refund",
    "RefundStatus",
    "SaleKind",
    "Subscription",
    "SubscriptionCharge",
    "SubscriptionStatus",
    "Tier",
    "Transaction",
    "TransactionStatus",
]
