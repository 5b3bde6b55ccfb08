"""Celery tasks that tests have real workers run: what they did is written to lists in the run's Redis."""

from __future__ import annotations

import os
import time

import redis
from celery import shared_task
from django.conf import settings
from django.db import connection

PREFIX = "ops-test:"


def tell(key: str, value: object) -> None:
    redis.Redis.from_url(settings.REDIS_URL).rpush(PREFIX + key, str(value))


def told(key: str) -> list[str]:
    return [value.decode() for value in redis.Redis.from_url(settings.REDIS_URL).lrange(PREFIX + key, 0, -1)]


@shared_task(name="ops_nap")
def nap(seconds: float, name: str) -> None:
    time.sleep(seconds)
    tell("naps", name)


@shared_task(name="ops_hold")
def hold(name: str) -> None:
    """Tell "held", and run until the test says `tell(f"let go {name}", …)`."""
    tell("held", name)
    while not told(f"let go {name}"):
        time.sleep(0.05)
    tell("naps", name)


@shared_task(name="ops_session")
def session() -> None:
    """Tell which database session this process has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        tell("sessions", f"{os.getpid()} {cursor.fetchone()[0]}")


@shared_task(name="ops_who")
def who() -> None:
    """Tell this process's name in claims."""
    from automation.durable import liveness

    tell("workers", liveness.worker_id())


@shared_task(name="ops_tick")
def tick(name: str) -> None:
    """Tell that beat has ticked."""
    tell(f"ticks {name}", time.time())
