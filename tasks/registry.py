"""Every Celery task of the project; importing this module registers them all."""

from __future__ import annotations

from tasks import automation, engine, maintenance, step_events

__all__ = ["automation", "engine", "maintenance", "step_events"]

engine.register_activities()
