"""Payments, refunds, commissions, earnings, payouts, packages and subscriptions, over a double-entry ledger."""

from automation.domains import exports

__getattr__ = exports(__name__)
