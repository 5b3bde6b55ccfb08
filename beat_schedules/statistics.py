"""Counting runs into their workflow's statistics."""

from __future__ import annotations

from automation.services.schedules import Schedule

SCHEDULES = [
    Schedule(
        name="roll up statistics",
        task="roll_up_statistics",
        every=60.0,
        expires=60,
        description="Adds the runs that ended since to the statistics of their workflows and actions.",
    ),
]
