"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class BookingConfig(AppConfig):
    name = "automation.domains.booking"
    label = "booking"
    verbose_name = "Sessions"
