"""Every Celery task of the project; importing this module registers them all."""

from __future__ import annotations

from tasks import automation, domains, engine, limits, maintenance, outside, processes, schedules, step_events

__all__ = [
    "automation",
    "domains",
    "engine",
    "limits",
    "maintenance",
    "outside",
    "processes",
    "schedules",
    "step_events",
]

engine.register_activities()
