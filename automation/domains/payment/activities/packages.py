"""Packages: the share of the sessions that took place, paid once each."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from automation import clock
from automation.domains.payment import standing
from automation.domains.payment.activities.commissions import recognize
from automation.domains.payment.calls import missing, step_key
from automation.domains.payment.models import (
    Earning,
    EarningKind,
    Package,
    PackagePayout,
    PackageSession,
    PackageStatus,
    Payment,
    Payout,
    PayoutAccount,
    PayoutKind,
    PayoutStatus,
    SaleKind,
)
from automation.domains.payment.rates import part, split
from automation.durable import activity
from automation.durable.base import monitored_activity, transactional_activity


@activity.defn(name="complete_package_session")
@monitored_activity(name="complete_package_session")
def complete_package_session(booking_id: uuid.UUID) -> dict[str, Any]:
    """Count a completed booking's session of a package; status "no_package" where it belongs to none."""
    session = PackageSession.objects.filter(booking_id=booking_id).first()
    if session is None:
        return {"status": "no_package", "booking_id": str(booking_id)}
    PackageSession.objects.filter(pk=session.pk, completed_at=None).update(completed_at=clock.now())
    return {"status": "counted", "package_id": session.package_id, "number": session.number}


@activity.defn(name="open_package_payout")
@monitored_activity(name="open_package_payout")
@transactional_activity
def open_package_payout(package_id: int) -> dict[str, Any]:
    """Put down what is due for the sessions completed so far, less what was put down before.

    `payout_id` is null where nothing is due now. `final` says that all sessions are completed. status: that of the
    package; "unpaid" until its payment is captured; "no_account" where there is nowhere to send money.
    """
    package = Package.objects.select_for_update().filter(pk=package_id).first()
    if package is None:
        raise missing("package", package_id)
    payment = Payment.objects.select_for_update().get(pk=package.payment_id)
    stands = standing.of(payment)
    done = package.sessions.filter(completed_at__isnull=False, number__lte=package.sessions_total).count()
    about = {
        "package_id": package_id,
        "completed": done,
        "total": package.sessions_total,
        "final": done >= package.sessions_total,
        "payout_id": None,
    }
    if not stands.captured:
        return {**about, "status": "unpaid", "final": False}
    worth = stands.captured - stands.refunded
    if not worth:
        Package.objects.filter(pk=package_id).update(status=PackageStatus.CANCELLED)
        return {**about, "status": PackageStatus.CANCELLED}
    # A share whose transfer has not been carried out comes first.
    owed = package.payouts.filter(payout__status=PayoutStatus.PENDING).first()
    if owed is not None:
        return {**about, "status": package.status, "payout_id": owed.payout_id}
    account = PayoutAccount.objects.filter(practitioner_id=package.practitioner_id, is_enabled=True).first()
    if account is None:
        return {**about, "status": "no_account"}
    known = package.payouts.filter(sessions_completed=done).exists()
    due = part(worth, Decimal(done), Decimal(package.sessions_total), payment.currency) - (
        stands.recognized - stands.reversed_gross
    )
    if known or due <= 0:
        return {**about, "status": package.status}
    share = _open(package, payment, account, done, min(due, stands.unearned))
    return {**about, "status": package.status, "payout_id": share.payout_id}


@activity.defn(name="close_package")
@monitored_activity(name="close_package")
def close_package(package_id: int) -> dict[str, Any]:
    """All sessions have taken place, and all shares are paid."""
    Package.objects.filter(pk=package_id, status=PackageStatus.ACTIVE).update(status=PackageStatus.COMPLETED)
    return {"package_id": package_id, "status": Package.objects.values_list("status", flat=True).get(pk=package_id)}


def _open(package: Package, payment: Payment, account: PayoutAccount, done: int, gross: Decimal) -> PackagePayout:
    tier = standing.tier_of(package.practitioner_id)
    key = f"package:{package.pk}:{done}"
    commission = recognize(payment, key, split(gross, SaleKind.PACKAGE, tier, payment.currency), tier)
    payout = None
    if commission.net:
        payout = Payout.objects.create(
            kind=PayoutKind.PACKAGE,
            practitioner_id=package.practitioner_id,
            amount=commission.net,
            currency=payment.currency,
            destination=account.destination,
            idempotency_key=step_key(),
        )
        Earning.objects.create(
            key=key,
            practitioner_id=package.practitioner_id,
            payment=payment,
            kind=EarningKind.RELEASE,
            amount=commission.net,
            currency=payment.currency,
            available_at=clock.now(),
            payout=payout,
        )
    return PackagePayout.objects.create(package=package, sessions_completed=done, commission=commission, payout=payout)


ACTIVITIES: list[Callable[..., Any]] = [complete_package_session, open_package_payout, close_package]
