"""Benchmarks: Weir beside raw Celery, in one run, on the machine at hand. See docs/benchmarks.md."""
