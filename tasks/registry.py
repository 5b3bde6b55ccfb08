"""Every Celery task of the project; importing this module registers them all."""

from __future__ import annotations

from tasks import engine, maintenance

__all__ = ["engine", "maintenance"]

engine.register_activities()
