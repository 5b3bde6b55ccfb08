"""Rows of money, and the emulator of Stripe."""

from __future__ import annotations

from tests.support.stripe_api import stripe_api  # noqa: F401
