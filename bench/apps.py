"""The benchmark as a Django app, so that the engine finds its workflows and activities."""

from __future__ import annotations

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "bench"
    verbose_name = "Benchmarks"
