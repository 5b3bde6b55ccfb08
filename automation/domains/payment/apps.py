"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class PaymentConfig(AppConfig):
    name = "automation.domains.payment"
    label = "payment"
    verbose_name = "Payments"
