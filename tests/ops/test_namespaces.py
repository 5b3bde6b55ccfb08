"""Namespaces on one database and one broker see nothing of each other."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser

from automation import clock
from automation.durable import deadlines, leases, liveness, recovery, recovery_steps, starts
from automation.durable.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    SyncClient,
)
from automation.durable.schedules import firing
from automation.errors import NotFound
from automation.models import ExecutionStatus, User, WorkflowExecution, WorkflowSchedule
from automation.services import health, inspection, queues, running
from project import celery
from tests.ops.factories import make_node, make_runs, make_workflow
from tests.support.processes import Worker
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
LATER = dt.timedelta(hours=1)


def started(settings: Any, namespace: str, **options: Any) -> uuid.UUID:
    settings.WORKFLOW_NAMESPACE = namespace
    return starts.start_many([starts.NewExecution("TestWorkflow", **options)])[0]


def test_a_sweep_leaves_the_executions_of_others_alone(transactional_db: None, settings: Any) -> None:
    blue = started(settings, "blue")
    settings.WORKFLOW_NAMESPACE = "red"
    assert recovery.sweep_executions(clock.now() + LATER) == 0
    settings.WORKFLOW_NAMESPACE = "blue"
    assert recovery.sweep_executions(clock.now() + LATER) == 1
    assert WorkflowExecution.objects.get().id == blue


def test_a_sweep_leaves_the_steps_of_others_alone(transactional_db: None, settings: Any) -> None:
    workflow = make_workflow()
    make_runs(workflow, 1, "running")
    row = WorkflowExecution.objects.get()
    row.steps.update(status="pending", due=clock.now(), completed_at=None)
    settings.WORKFLOW_NAMESPACE = "red"
    assert recovery_steps.sweep(clock.now() + LATER) == 0
    settings.WORKFLOW_NAMESPACE = "default"
    assert recovery_steps.sweep(clock.now() + LATER) == 1


def test_a_sweep_ends_nobody_elses_executions(transactional_db: None, settings: Any) -> None:
    started(settings, "blue")
    WorkflowExecution.objects.update(deadline=clock.now() - LATER)
    settings.WORKFLOW_NAMESPACE = "red"
    assert deadlines.sweep(clock.now()) == 0
    settings.WORKFLOW_NAMESPACE = "blue"
    assert deadlines.sweep(clock.now()) == 1
    assert WorkflowExecution.objects.get().status == ExecutionStatus.TIMED_OUT


def test_a_schedule_fires_in_its_own_namespace(transactional_db: None, settings: Any) -> None:
    settings.WORKFLOW_NAMESPACE = "blue"
    every = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=dt.timedelta(minutes=1))])
    SyncClient().create_schedule("tick", Schedule(ScheduleActionStartWorkflow("TestWorkflow", id="tick"), every))
    row = WorkflowSchedule.objects.get()
    settings.WORKFLOW_NAMESPACE = "red"
    assert firing.sweep(clock.now() + LATER) == 0
    assert firing.run(row.id, clock.now() + LATER) == 0, "a beat of another namespace ticks its row too"
    assert not WorkflowExecution.objects.exists()
    settings.WORKFLOW_NAMESPACE = "blue"
    assert firing.sweep(clock.now() + LATER) == 1
    assert set(WorkflowExecution.objects.values_list("namespace", flat=True)) == {"blue"}


def test_each_has_a_beat_and_a_sweep(db: None, settings: Any) -> None:
    assert leases.take(leases.BEAT, "ours", 60)
    settings.WORKFLOW_NAMESPACE = "blue"
    assert leases.last_seen(leases.BEAT) is None
    assert leases.take(leases.BEAT, "theirs", 60)
    leases.give_back(leases.BEAT, "theirs")
    settings.WORKFLOW_NAMESPACE = "default"
    assert not leases.take(leases.BEAT, "theirs", 60), "it is ours still"


def test_workers_of_others_serve_nobody_here(db: None, settings: Any) -> None:
    settings.WORKFLOW_NAMESPACE = "blue"
    now = clock.unmoved()
    liveness.record(liveness.NodeReport("a:1:1", "blue@a", 1, [1], ["estuary-workflows"], 1, now))
    assert queues.served() == {"estuary-workflows": ["blue@a"]}
    assert [node.name for node in health.check().workers] == ["blue@a"]
    settings.WORKFLOW_NAMESPACE = "red"
    assert queues.served() == {}
    assert health.check().workers == []


def test_nobody_sees_the_executions_of_others(transactional_db: None, settings: Any, client: Browser) -> None:
    blue = started(settings, "blue", business_id="order-1")
    client.force_login(User.objects.create_superuser("root@example.com"))

    def answers() -> list[int]:
        paths = ("", "steps/", "history/")
        return [client.get(f"/api/v1/executions/{blue}/{path}").status_code for path in paths]

    def listed() -> int:
        return int(client.get("/api/v1/executions/").json()["count"])

    assert (answers()[0], listed(), inspection.executions().count()) == (200, 1, 1)
    settings.WORKFLOW_NAMESPACE = "red"
    assert (set(answers()), listed(), inspection.executions().count()) == ({404}, 0, 0)
    assert client.post(f"/api/v1/executions/{blue}/cancel/", {}, "application/json").status_code == 404
    for name in ("order-1", str(blue)):
        with pytest.raises(NotFound):
            running.find(name)
        with pytest.raises(Exception, match=rf"no .*(order-1|{blue})"):
            SyncClient().get_workflow_handle(name).describe()
    with pytest.raises(Exception, match=rf"no .*{blue}"):
        SyncClient().get_workflow_handle("order-1", run_id=str(blue)).cancel()
    assert started(settings, "red", business_id="order-1") != blue, "an id is one's own in each"


def test_workers_of_others_are_not_listed(db: None, settings: Any, client: Browser) -> None:
    make_node("a:1:1")
    client.force_login(User.objects.create_superuser("root@example.com"))
    assert client.get("/api/v1/workers/").json()["count"] == 1
    settings.WORKFLOW_NAMESPACE = "blue"
    assert client.get("/api/v1/workers/").json()["count"] == 0


def test_their_keys_on_the_broker_differ(settings: Any) -> None:
    ours = celery._configure()["broker_transport_options"]["global_keyprefix"]
    settings.WORKFLOW_NAMESPACE = "blue"
    config = celery._configure()
    assert config["broker_transport_options"]["global_keyprefix"] == f"{ours}blue:"
    assert config["result_backend_transport_options"]["global_keyprefix"] == f"{ours}blue:"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WORKFLOW_NAMESPACE": "a b"}, "WORKFLOW_NAMESPACE='a b' is not valid: expected at most 64 letters"),
        ({"TASK_QUEUE_PREFIX": "a,b"}, "TASK_QUEUE_PREFIX='a,b' is not valid: expected at most 40 letters"),
        ({"WORKFLOW_TASK_QUEUE": "x" * 101}, "is not valid: expected at most 100 letters"),
        (
            {"WORKFLOW_NAMESPACE": "blue", "CELERY_BROKER_URL": "amqp://guest@h"},
            "WORKFLOW_NAMESPACE='blue' is not valid: expected a TASK_QUEUE_PREFIX beside it, with RabbitMQ",
        ),
        (
            {"WORKFLOW_NAMESPACE": "blue", "CELERY_BROKER_URL": "amqp://guest@h", "TASK_QUEUE_PREFIX": "blue"},
            "",
        ),
    ],
)
def test_a_bad_name_stops_the_start_with_one_line(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import project.settings"],
        cwd=ROOT,
        env={"PATH": "", "WEIR_VAR_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said in done.stderr
    assert done.stderr.count("\n") == bool(said)
    assert done.returncode == bool(said)


@pytest.mark.real
def test_a_worker_carries_its_own_namespace_only(
    worker: Callable[..., Worker], process_environment: dict[str, str]
) -> None:
    """The other namespace's worker sweeps all the time, as no beat does, and takes nothing."""
    impatient = {"DURABLE_REPUBLISH_MIN": "0.5", "DURABLE_SWEEP_INTERVAL": "0.2"}
    red = worker(concurrency=1, env={"WORKFLOW_NAMESPACE": "red", **impatient})
    blue = {**process_environment, **impatient, "WORKFLOW_NAMESPACE": "blue"}

    def trigger(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "django", "trigger_workflow", "TestWorkflow", "--seconds", "0.1", *words],
            cwd=ROOT,
            env=blue,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    alone = trigger("--wait", "--id", "alone")
    assert alone.returncode == 1
    assert "no worker serves the queue" in alone.stderr
    row = WorkflowExecution.objects.get(business_id="alone")
    assert (row.status, row.epoch) == (ExecutionStatus.PENDING, 0), red.log_tail()

    ours = worker(concurrency=1, env={"WORKFLOW_NAMESPACE": "blue", **impatient})
    wait_until(
        lambda: WorkflowExecution.objects.get(id=row.id).status == ExecutionStatus.COMPLETED,
        60,
        lambda: ours.log_text()[-3000:],
    )
    assert trigger("--wait").returncode == 0
    assert str(row.id) not in red.log_text()
