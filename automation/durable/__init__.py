"""Durable workflows on Django rows, carried by Celery.

Public: `workflow`, `activity`, `common`, `exceptions`, `client`, `worker`, `testing`; the rest is the engine's inside.
"""
