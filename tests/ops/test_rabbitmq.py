"""RabbitMQ as the broker, with a node and workers of its own: what Redis carries, it carries too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import kombu
import pytest
from kombu.transport.native_delayed_delivery import calculate_routing_key

from automation.durable import payloads
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution
from tasks.engine import _queue, execute_workflow
from tests.flows.models import Posting
from tests.support.consistency import assert_consistent
from tests.support.processes import ROOT, Worker
from tests.support.rabbitmq import RabbitServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

PATIENCE = 60.0
CONSUMER_TIMEOUT = 2.0
"""Seconds after which the tests' own node closes the channel of a worker that holds a message; by default 1,800."""

START = """
import json, sys, django
django.setup()
from automation.durable import starts
from automation.services import health
plans, queue = json.loads(sys.argv[1]), sys.argv[2]
news = [starts.NewExecution("flows_script", (plan,), queue=queue) for plan in plans]
print(json.dumps([health.broker().ok, [str(id_) for id_ in starts.start_many(news)]]))
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    given = os.environ.get("TEST_RABBITMQ_URL", "")
    if not given and (why := RabbitServer.missing()):
        pytest.skip(why)
    if given:
        yield given
        return
    with RabbitServer(CONSUMER_TIMEOUT) as server:
        yield server.url


PREFIX = f"test-{os.getpid()}"
"""Of queues of this run's own: a broker that is given may have others."""
QUEUES = [f"{PREFIX}-{name}" for name in ("workflows", "critical", "background", "payment")]


@pytest.fixture
def over_rabbitmq(broker: str) -> dict[str, str]:
    """What the environment of a process has, to use it."""
    return {"CELERY_BROKER_URL": broker, "TASK_QUEUE_PREFIX": PREFIX}


def run(environment: dict[str, str], *plans: list[Any], queue: str = "") -> subprocess.CompletedProcess[str]:
    """Start the plans in a process that publishes to RabbitMQ."""
    return subprocess.run(
        [sys.executable, "-c", START, json.dumps(plans), queue],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def start(environment: dict[str, str], *plans: list[Any], queue: str = "") -> list[uuid.UUID]:
    done = run(environment, *plans, queue=queue)
    assert done.returncode == 0, done.stderr
    assert "did not take" not in done.stderr
    healthy, ids = json.loads(done.stdout)
    assert healthy, "health/ reaches the broker"
    return [uuid.UUID(id_) for id_ in ids]


def results(ids: list[uuid.UUID], node: Worker) -> list[Any]:
    rows = WorkflowExecution.objects.filter(id__in=ids)
    wait_until(lambda: not rows.filter(status__in=OPEN_STATUSES).exists(), PATIENCE, node.log_tail, interval=0.1)
    assert set(rows.values_list("status", flat=True)) == {ExecutionStatus.COMPLETED}
    texts = dict(rows.values_list("id", "result"))
    return [payloads.decode(texts[id_]) for id_ in ids]


def purge(url: str) -> int:
    """What an operator's mistake does: every message of every queue of ours is gone, delayed ones too."""
    gone = 0
    with kombu.Connection(url) as connection:
        for name in (*QUEUES, *(f"celery_delayed_{level}" for level in range(28))):
            gone += connection.default_channel.queue_purge(name)
    return gone


def test_it_carries_everything_by_messages_alone(
    worker: Callable[..., Worker], process_environment: dict[str, str], over_rabbitmq: dict[str, str]
) -> None:
    """No sweep steps in: it would, after ten minutes."""
    environment = {**over_rabbitmq, "DURABLE_REPUBLISH_MIN": "600", "DURABLE_REPUBLISH_MAX": "600"}
    node = worker(queues=QUEUES, concurrency=1, env=environment)
    plans: list[list[Any]] = [
        ["all", *(["call", "add", number, 1] for number in range(5))],
        ["all", ["group", *(["echo", number] for number in range(20))], ["call", "echo", "joined"]],
        ["all", ["sleep", 1.3], ["call", "echo", "awake"]],
        ["chain", ["echo", 1], ["elsewhere", 2], ["group", ["echo", 3], ["elsewhere", 4]], ["echo", 5]],
        ["call", "flaky", "again", 1],
    ]
    ids = start({**process_environment, **environment}, *plans)
    ids += start({**process_environment, **environment}, *plans, queue=QUEUES[-1])
    wanted = [[1, 2, 3, 4, 5], [list(range(20)), "joined"], ["slept", "awake"], [1, 2, [3, 4], 5], "again"]
    assert results(ids, node) == wanted * 2
    assert_consistent(ids, swept=False)
    assert "Traceback" not in node.log_text()
    with kombu.Connection(over_rabbitmq["CELERY_BROKER_URL"]) as connection:
        for name in QUEUES:  # replicated, where there are several nodes
            kombu.Queue(name, queue_arguments={"x-queue-type": "quorum"}, channel=connection).queue_declare()
    if "TEST_RABBITMQ_URL" not in os.environ:
        outlive_what_waits_too_long(node, {**process_environment, **environment})


def outlive_what_waits_too_long(node: Worker, environment: dict[str, str]) -> None:
    """What waits in the worker, behind a long activity, has RabbitMQ close its channel and deliver it again."""
    known = node.log_text().count("] received")
    ids = start(environment, ["call", "sleepy", CONSUMER_TIMEOUT + 5, "slept"])
    wait_until(lambda: node.log_text().count("] received") > known, PATIENCE, node.log_tail)
    ids += start(environment, *(["call", "echo", number] for number in range(6)))
    assert results(ids, node) == ["slept", *range(6)]
    wait_until(lambda: "delivery acknowledgement on channel" in node.log_text(), PATIENCE, node.log_tail)
    assert node.is_running
    assert results(start(environment, ["call", "echo", "after"]), node) == ["after"]


def test_all_complete_though_its_queues_are_purged(
    worker: Callable[..., Worker], process_environment: dict[str, str], over_rabbitmq: dict[str, str]
) -> None:
    node = worker(queues=QUEUES, concurrency=1, env=over_rabbitmq)
    plan = [
        "all",
        ["call", "note", "first"],
        ["sleep", 1],
        ["group", ["note_and_sleep", "second", 0.01], ["note", "third"]],
        ["call", "note", "last"],
    ]
    ids = start({**process_environment, **over_rabbitmq}, *([plan] * 20))
    wait_until(lambda: Posting.objects.filter(note="first").count() == len(ids), PATIENCE, node.log_tail)
    assert purge(over_rabbitmq["CELERY_BROKER_URL"]) > 0
    wait_until(lambda: Posting.objects.filter(note="second").exists(), PATIENCE, node.log_tail)
    purge(over_rabbitmq["CELERY_BROKER_URL"])  # and once more, with other messages
    results(ids, node)
    runs = Counter(Posting.objects.values_list("note", flat=True))
    assert runs == dict.fromkeys(("first", "second", "third", "last"), len(ids)), "and nothing ran twice"
    assert_consistent(ids, swept=False)


@pytest.mark.parametrize("queue", ["estuary-workflows", "a.b-payment", "1.0.x"])
def test_a_delayed_message_is_of_the_queue_that_it_was_sent_to(queue: str) -> None:
    """What a visit asks for in its own queue goes on in it, and timers that follow are sent to it."""
    execute_workflow.push_request(delivery_info={"routing_key": calculate_routing_key(90, queue)})
    try:
        assert _queue(execute_workflow) == queue
    finally:
        execute_workflow.pop_request()


def test_what_it_refuses_fails_nobody_and_is_said(
    broker: str, process_environment: dict[str, str], over_rabbitmq: dict[str, str]
) -> None:
    """A wrong password, say: the execution is there, and is sent as soon as somebody can."""
    url = urlsplit(broker)
    wrong = broker.replace(f":{url.password}@", ":wrong@")
    done = run({**process_environment, **over_rabbitmq, "CELERY_BROKER_URL": wrong}, ["call", "echo", 1])
    assert done.returncode == 0, done.stderr
    assert "ACCESS_REFUSED" in done.stderr
    assert "a sweep will send it" in done.stderr
    healthy, [id_] = json.loads(done.stdout)
    assert not healthy
    assert WorkflowExecution.objects.get(id=id_).due is not None
