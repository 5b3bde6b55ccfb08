"""Leases under a real race."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from automation import clock
from automation.durable import leases
from automation.models import Lease


@pytest.mark.real
@pytest.mark.parametrize("exists", [False, True])
def test_of_many_that_take_a_lease_at_once_one_gets_it(exists: bool) -> None:
    if exists:
        now = clock.unmoved()
        Lease.objects.create(name="it", holder="gone", seen_at=now, expires_at=now)
    start = threading.Barrier(8)
    got: list[str] = []

    def run(holder: str) -> None:
        start.wait()
        try:
            if leases.take("it", holder, 60):
                got.append(holder)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(f"holder {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert Lease.objects.get(name="it").holder == got[0]
