"""Scenarios that need worker processes: deaths between and inside steps, a broker that is emptied under two hundred
executions, two recoveries at once."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automation.durable import payloads, starts
from automation.models import OPEN_STATUSES, ExecutionStatus, ExecutionStep, WorkflowExecution
from project.embedded import RedisServer, die_with_parent
from tests.faults.conftest import Orders
from tests.flows.models import Posting
from tests.support.consistency import assert_consistent
from tests.support.processes import ROOT, Worker
from tests.support.receiver import HttpReceiver
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

StartWorker = Callable[..., Worker]

PATIENCE = 90.0


def start(plan: list[Any], count: int = 1) -> list[uuid.UUID]:
    return starts.start_many([starts.NewExecution("flows_script", (plan,)) for _ in range(count)])


def results(ids: list[uuid.UUID]) -> list[Any]:
    """What they came to, once all have completed."""
    rows = WorkflowExecution.objects.filter(id__in=ids)

    def story() -> str:
        first = rows.filter(status__in=OPEN_STATUSES).first()
        fields = ("seq", "name", "status", "attempt", "due", "worker")
        steps = list(first.steps.values_list(*fields)) if first else []
        return f"{Counter(rows.values_list('status', flat=True))}, of one that is open: {steps}"

    wait_until(lambda: not rows.filter(status__in=OPEN_STATUSES).exists(), PATIENCE, story, interval=0.1)
    assert set(rows.values_list("status", flat=True)) == {ExecutionStatus.COMPLETED}, story()
    texts = dict(rows.values_list("id", "result"))
    return [payloads.decode(texts[id_]) for id_ in ids]


def runs() -> Counter[str]:
    """How often each activity ran, by its note."""
    return Counter(Posting.objects.values_list("note", flat=True))


def test_a_worker_is_killed_between_two_steps_and_inside_one(worker: StartWorker) -> None:
    first = worker()
    plan = ["all", ["call", "note", "before"], ["sleep", 4], ["call", "note_and_sleep", "inside", 1.5]]
    ids = start([*plan, ["call", "note", "after"]])
    timer = ExecutionStep.objects.filter(execution=ids[0], kind="timer", status="pending")
    wait_until(timer.exists, PATIENCE, "it sleeps, between two steps")
    first.kill()
    second = worker()
    wait_until(lambda: runs()["inside"] == 1, PATIENCE, "it is inside a step")
    second.kill()
    worker()
    assert results(ids) == [[None, "slept", "inside by attempt 2", None]]
    # Finished steps ran once; the one that was begun and not finished was begun again.
    assert runs() == {"before": 1, "inside": 2, "after": 1}
    assert list(Posting.objects.order_by("id").values_list("note", "attempt")) == [
        ("before", 1),
        ("inside", 1),
        ("inside", 2),
        ("after", 1),
    ]
    assert_consistent(ids, swept=False)


def test_the_broker_is_emptied_under_two_hundred_executions(
    http_receiver: HttpReceiver, worker: StartWorker, redis_server: RedisServer
) -> None:
    count = 200
    orders = Orders(http_receiver)
    orders.start(count, pause=4.0)  # so that none has ended when the broker is emptied
    worker()
    chords = ExecutionStep.objects.filter(
        execution__in=orders.ids, seq__in=(2, 3), status__in=("pending", "running"), due__isnull=False
    )
    wait_until(lambda: len(http_receiver.requests) >= 10 and chords.exists(), PATIENCE, "chords are under way")
    assert orders.open() == count
    redis_server.flush()
    wait_until(lambda: len(http_receiver.requests) >= count, PATIENCE, orders.story)
    redis_server.flush()  # and once more, with other messages
    orders.wait(PATIENCE)
    orders.check()


SWEEP = """
import pathlib, sys, django
django.setup()
from automation.durable import recovery
stop, sweeps = pathlib.Path(sys.argv[1]), 0
while not stop.exists():
    report = recovery.sweep()
    assert -1 not in report.values(), report
    sweeps += 1
print(sweeps)
"""


def test_two_recoveries_at_once_run_nothing_a_second_time(
    worker: StartWorker, redis_server: RedisServer, process_environment: dict[str, str], tmp_path: Path
) -> None:
    dying = worker()
    members = [["note_and_sleep", name, 0.05] for name in ("b", "c", "d")]
    plan = ["all", ["call", "note_and_sleep", "a", 0.05], ["group", *members], ["sleep", 1], ["call", "note", "e"]]
    ids = start(plan, 30)
    wait_until(lambda: Posting.objects.count() >= 20, PATIENCE, "some steps have run")
    dying.kill()
    redis_server.flush()
    # What was being run when its worker died is run again, by the one that comes; all else once.
    cut_off = {step.idempotency_key for step in ExecutionStep.objects.filter(status="running")}

    stop = tmp_path / "stop"
    sweepers = [
        subprocess.Popen(
            [sys.executable, "-c", SWEEP, str(stop)],
            cwd=ROOT,
            env=process_environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(9),  # noqa: PLW1509
        )
        for _ in range(2)
    ]
    try:
        worker()
        found = results(ids)
    finally:
        stop.touch()
        told = [sweeper.communicate(timeout=PATIENCE)[0] for sweeper in sweepers]
    assert [sweeper.returncode for sweeper in sweepers] == [0, 0]
    assert all(int(text) > 10 for text in told), "both swept, all the time"

    for one in found:
        assert [one[2], one[3]] == ["slept", None]
    ran = Counter(Posting.objects.values_list("key", flat=True))
    assert set(ran) == {f"{id_}:{seq}" for id_ in ids for seq in (1, 2, 3, 4, 6)}
    assert {key for key, times in ran.items() if times > 1} <= cut_off
    assert max(ran.values()) <= 2
    assert max(Counter(Posting.objects.values_list("key", "attempt")).values()) == 1, "an attempt ran twice"
    assert_consistent(ids, swept=False)
