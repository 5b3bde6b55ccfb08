"""Workers in tests are real processes on the run's database and broker, and end with their test."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from django.conf import settings
from django_celery_beat.models import PeriodicTask  # type: ignore[import-untyped]

from automation.models import User
from project.celery import app
from tests.support.processes import Farm, Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
StartWorker = Callable[..., Worker]
DEFINITIONS = ["tests.house.definitions"]


def send(task: str, *args: Any, queue: str = "") -> None:
    app.send_task(f"tests.house.{task}", args, queue=queue or settings.WORKFLOW_TASK_QUEUE)


def user(email: str) -> User:
    return wait_until(lambda: User.objects.filter(email=email).first(), message=f"a row for {email}")


def test_the_shared_worker_runs_tasks_on_the_test_database(
    shared_worker: Worker, clock_shift: Callable[[float], None]
) -> None:
    send("sign_up", "now@example.com")
    row = user("now@example.com")
    assert int(row.first_name) in shared_worker.children()

    clock_shift(86_400)
    send("sign_up", "tomorrow@example.com", queue=settings.WORKFLOW_BACKGROUND_QUEUE)
    assert float(user("tomorrow@example.com").last_name) - float(row.last_name) >= 86_400


def test_the_tables_are_empty_after_a_test_with_the_shared_worker(shared_worker: Worker) -> None:
    assert not User.objects.exists()
    assert shared_worker.is_running


def test_a_worker_survives_the_loss_of_a_child(worker: StartWorker) -> None:
    node = worker(concurrency=1, include=DEFINITIONS)
    lost = node.kill_child()

    send("sign_up", "after@example.com")

    assert int(user("after@example.com").first_name) != lost
    assert node.is_running


def test_a_killed_node_leaves_no_process(worker: StartWorker) -> None:
    node = worker(include=DEFINITIONS)
    pids = [node.pid, *node.children()]
    assert len(pids) == 3

    node.kill()

    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 5, "the end of the node's processes")
    node.start()
    send("sign_up", "again@example.com")
    assert int(user("again@example.com").first_name) not in pids


def test_a_warm_shutdown_lets_the_running_task_end(worker: StartWorker) -> None:
    node = worker(pool="solo", concurrency=1, include=DEFINITIONS)
    send("linger", 1.0)
    user("lingers@example.com")

    node.stop()

    assert node.returncode == 0
    assert User.objects.filter(email="lingered@example.com").exists()


def test_a_worker_that_cannot_start_says_why(worker: StartWorker) -> None:
    with pytest.raises(AssertionError, match="DURABLE_LEASE='soon' is not valid"):
        worker(env={"DURABLE_LEASE": "soon"})


@pytest.fixture
def farm(worker: StartWorker, request: pytest.FixtureRequest) -> Farm:
    farm: Farm = request.getfixturevalue("_farm")
    return farm


def test_a_test_with_workers_of_its_own_has_no_other(farm: Farm) -> None:
    ours = os.environ["CELERY_KEY_PREFIX"]
    running = [
        process.pid
        for process in psutil.process_iter(["environ", "cmdline"])
        if (process.info["environ"] or {}).get("CELERY_KEY_PREFIX") == ours
        and "worker" in (process.info["cmdline"] or [])
    ]
    assert running == []


def test_beat_ticks_by_the_schedules_of_this_run(beat: Callable[..., Any]) -> None:
    node = beat()

    ticked = PeriodicTask.objects.filter(task="sweep", total_run_count__gt=0)
    wait_until(ticked.exists, message=lambda: f"a tick:\n{node.log_tail()}")
