"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class BookingConfig(AppConfig):
    name = "automation.domains.booking"
    label = "booking"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from automation.domains.booking import following

        following.connect()
