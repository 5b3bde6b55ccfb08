"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class AutomationConfig(AppConfig):
    name = "automation"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Weir"

    def ready(self) -> None:
        from automation import checks  # noqa: F401 (registers them)
        from automation.durable import continuing, hooks, recovery, routing
        from automation.durable.schedules import firing, times
        from automation.services import booking_events, catalogue, event_types, launches, workflow_plans

        recovery.register_sweep("schedules", firing.sweep)
        hooks.on_end(firing.on_end)
        continuing.on_cron(times.next_cron)
        routing.on_resolve(catalogue.queue_of)

        booking_events.connect()
        workflow_plans.connect()
        event_types.connect()
        launches.connect()
