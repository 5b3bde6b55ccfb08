"""The engine's own: sweeps, and forgetting worker nodes that are gone."""

from __future__ import annotations

import math

from django.conf import settings

from automation.services.schedules import Schedule

SCHEDULES = [
    Schedule(
        name="sweep",
        task="sweep",
        every=settings.DURABLE_SWEEP_INTERVAL,
        # A tick that nobody took is made up for by the next; without this, an hour without workers leaves a long queue.
        expires=max(5, math.ceil(2 * settings.DURABLE_SWEEP_INTERVAL)),
        description="Finds rows whose message was lost, whose worker died, or which have come due.",
    ),
    Schedule(
        name="forget worker nodes",
        task="clean_heartbeats",
        every=3600.0,
        expires=3600,
        description="Deletes the rows of worker nodes that ended a day ago or earlier.",
    ),
]
