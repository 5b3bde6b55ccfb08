"""Beat is told to end at any moment, also while it waits for its database."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from celery.beat import Service
from django.db import connection

from automation.durable import leases
from project.celery import app
from tasks.beat import LeasedScheduler

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def service() -> Iterator[Service]:
    """As `celery beat` installs it: a signal has it closed, and then the process exits."""
    service = Service(app, scheduler_cls=LeasedScheduler)

    def end(signum: int, frame: FrameType | None) -> None:
        service.sync()
        raise SystemExit

    kept = signal.signal(signal.SIGUSR1, end)
    yield service
    signal.signal(signal.SIGUSR1, kept)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="nothing waits inside of a statement of SQLite")
def test_a_signal_within_a_statement_ends_it_and_gives_the_lease_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronize = leases.synchronize_clock

    def stall() -> None:
        monkeypatch.setattr(leases, "synchronize_clock", synchronize)
        with connection.cursor() as cursor:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            cursor.execute("SELECT pg_sleep(30)")

    scheduler: Any = service.scheduler
    scheduler.tick()
    assert scheduler.leading
    monkeypatch.setattr(leases, "synchronize_clock", stall)
    scheduler.renew_after = 0.0  # it asks at the next tick
    with pytest.raises(SystemExit):
        scheduler.tick()
    service.sync()
    assert leases.take(leases.BEAT, "another", 60.0)
