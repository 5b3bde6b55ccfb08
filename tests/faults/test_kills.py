"""Worker processes and the broker die under load; every execution completes, and each effect happens once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from project.embedded import RedisServer
from tests.faults.conftest import Orders, StartWorker
from tests.support.processes import Beat
from tests.support.waiting import wait_until


def _through_everything(
    orders: Orders,
    worker: StartWorker,
    trouble: Callable[..., Any],
    redis: RedisServer,
    count: int,
    seconds: float,
) -> None:
    nodes = [worker(), worker()]
    struck = trouble(*nodes)
    orders.start(count // 2)
    wait_until(lambda: orders.receiver.requests, 30, "the first call")
    for _ in range(2):
        orders.start(count // 4, pause=1.0)
        struck.for_seconds(seconds, every=3.0 if seconds > 5 else 1.0)
        redis.flush()
    redis.kill()
    redis.forget()
    redis.start()
    struck.end()
    orders.wait(180)
    orders.check()
    assert struck.kills >= 3


@pytest.mark.real
def test_kills_a_flush_and_a_restart_of_redis(
    orders: Orders, worker: StartWorker, trouble: Callable[..., Any], redis_server: RedisServer
) -> None:
    _through_everything(orders, worker, trouble, redis_server, 24, 2.5)


@pytest.mark.faults
def test_two_hundred_executions_through_kills_flushes_and_a_restart_of_redis(
    orders: Orders,
    worker: StartWorker,
    beat: Callable[..., Beat],
    trouble: Callable[..., Any],
    redis_server: RedisServer,
) -> None:
    beat()
    _through_everything(orders, worker, trouble, redis_server, 200, 20.0)


@pytest.mark.real
def test_redis_is_away_for_a_while(orders: Orders, worker: StartWorker, redis_server: RedisServer) -> None:
    worker()
    orders.start(5)
    redis_server.kill()
    orders.start(5)  # rows are written; messages follow later
    time.sleep(3)
    redis_server.start()
    orders.wait(60)
    orders.check()


@pytest.mark.faults
def test_redis_is_away_for_a_minute(orders: Orders, worker: StartWorker, redis_server: RedisServer) -> None:
    worker()
    worker()
    orders.start(50)
    redis_server.kill()
    for _ in range(12):
        orders.start(5)
        time.sleep(5)
    redis_server.start()
    orders.wait(120)
    orders.check()
