"""A worker outlives its broker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from project.celery import app
from project.embedded import RedisServer
from tests.ops import tasks
from tests.support.processes import Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


def make_busy(node: Worker) -> None:
    """Both processes run, more messages and one that is due later wait in the node, and it asks for more."""
    for number in range(6):
        app.send_task("ops_nap", args=[2.0, f"before {number}"])
    app.send_task("ops_nap", args=[0.0, "later"], countdown=60)
    wait_until(lambda: node.log_text().count("] received") == 7, message="the node holds 7 messages")


def lose_redis(redis_server: RedisServer, node: Worker, sign: str = "Connection to broker lost") -> None:
    redis_server.kill()
    wait_until(lambda: not node.is_running or sign in node.log_text(), message="the node notices")
    redis_server.forget()
    redis_server.start()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_it_consumes_again_after_redis_was_killed_and_came_back_empty(
    pool: str, worker: Callable[..., Worker], redis_server: RedisServer
) -> None:
    node = worker(pool=pool, include=["tests.ops.tasks"])
    make_busy(node)
    for name in ("first", "second"):
        lose_redis(redis_server, node)
        app.send_task("ops_nap", args=[0.0, name])
        wait_until(lambda name=name: name in tasks.told("naps"), 40, message=f"{name}: the node consumes again")  # type: ignore[misc]
    assert node.is_running


def test_a_solo_worker_consumes_again_too(worker: Callable[..., Worker], redis_server: RedisServer) -> None:
    """It runs tasks where it talks to Redis, so that a failing acknowledgement is the first to notice."""
    node = worker(pool="solo", include=["tests.ops.tasks"])
    app.send_task("ops_nap", args=[2.0, "before"])
    app.send_task("ops_nap", args=[0.0, "later"], countdown=60)
    wait_until(lambda: "] received" in node.log_text())
    lose_redis(redis_server, node, sign="Couldn't ack")

    app.send_task("ops_nap", args=[0.0, "after"])
    wait_until(lambda: "after" in tasks.told("naps"), 60, message="the node consumes again")
    assert node.is_running


def test_without_the_mend_the_worker_exits(worker: Callable[..., Worker], redis_server: RedisServer) -> None:
    """When this fails, a newer Celery or kombu has mended it: `tasks/consumer.py` can go."""
    node = worker(include=["tests.ops.tasks", "tests.ops.without_mend"])
    make_busy(node)
    lose_redis(redis_server, node)
    wait_until(lambda: not node.is_running, 15, message="the worker exits")
    assert "'NoneType' object has no attribute 'hostname'" in node.log_text()


def test_it_consumes_again_after_redis_hung(worker: Callable[..., Worker], redis_server: RedisServer) -> None:
    node = worker(include=["tests.ops.tasks"])
    make_busy(node)
    redis_server.pause()
    wait_until(lambda: "Timeout reading from socket" in node.log_text(), 30, message="a task notices")
    redis_server.resume()
    app.send_task("ops_nap", args=[0.0, "after"])
    wait_until(lambda: "after" in tasks.told("naps"), 40, message="the node consumes again")
    assert node.is_running
