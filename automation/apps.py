"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class AutomationConfig(AppConfig):
    name = "automation"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Weir"

    def ready(self) -> None:
        from automation.services import booking_events, launches, workflow_plans

        booking_events.connect()
        workflow_plans.connect()
        launches.connect()
