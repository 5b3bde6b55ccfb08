"""Every Celery task of the project; importing this module registers them all."""

from __future__ import annotations

from tasks import engine

engine.register_activities()
