"""Starts chains, chords and countdowns of raw Celery."""

from __future__ import annotations

import os
import time
from typing import Any

from bench.driver import Driver


class RawDriver(Driver):
    def __init__(self) -> None:
        super().__init__()
        if os.environ.get("DJANGO_SETTINGS_MODULE"):
            import django

            django.setup()

    def start_sequence(self, steps: int) -> Any:
        from celery import chain

        from bench.raw.app import last, step

        return chain(*[step.si(number) for number in range(1, steps)], last.si(steps)).apply_async()

    def start_chord(self, size: int) -> Any:
        from celery import chord

        from bench.raw.app import join, step

        return chord([step.s(number) for number in range(size)])(join.s())

    def start_sleeper(self, due: float) -> Any:
        from bench.raw.app import wake

        return wake.apply_async((due,), countdown=due - time.time())
