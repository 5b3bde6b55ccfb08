"""Which worker each preset and domain comes to, and one worker for each domain."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from django.core.management.base import CommandError

from automation.durable import live_runs
from automation.services import queues
from project import presets
from tests.commands.conftest import Run
from tests.support.carrier import Carrier, result
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


def planned(run: Run, *words: str) -> tuple[dict[str, str], list[str]]:
    """The environment and the command line that `--print` shows."""
    env, *rest = shlex.split(run("start_workflows_worker", *words, "--print"))
    assert env == "env"
    numbers = dict(word.split("=", 1) for word in rest if word.startswith("DURABLE_"))
    return numbers, rest[len(numbers) :]


def option(line: list[str], name: str) -> str:
    return line[line.index(name) + 1]


@pytest.mark.parametrize(
    ("preset", "activities", "workflows", "consumed"),
    [
        ("all", 100, 100, [*queues.WORDS, *queues.domains()]),
        ("critical", 50, 50, ["critical", "booking", "payment"]),
        ("background", 200, 100, ["background", "stream", "room"]),
        ("booking", 50, 50, ["booking"]),
        ("payment", 30, 30, ["payment"]),
        ("stream", 100, 50, ["stream"]),
        ("room", 50, 50, ["room"]),
    ],
)
def test_a_preset_is_its_numbers_and_queues(
    preset: str, activities: int, workflows: int, consumed: list[str], run: Run
) -> None:
    numbers, line = planned(run, "--preset", preset)
    assert numbers["DURABLE_MAX_ACTIVITIES"] == str(activities)
    assert numbers["DURABLE_MAX_WORKFLOWS"] == str(workflows)
    assert numbers["DURABLE_CACHED_WORKFLOWS"] == "1000"
    assert option(line, "--concurrency") == str(max(activities, workflows))
    assert option(line, "--pool") == "threads"
    assert option(line, "--queues") == ",".join(f"estuary-{word}" for word in consumed)


def test_numbers_can_be_changed_one_by_one(run: Run) -> None:
    numbers, line = planned(run, "--preset", "payment", "--max-concurrent-activities", "12",
                            "--max-concurrent-workflows", "5", "--max-cached-workflows", "240")  # fmt: skip
    assert (option(line, "--pool"), option(line, "--concurrency")) == ("prefork", "12")
    assert numbers["DURABLE_MAX_WORKFLOWS"] == "5"
    assert numbers["DURABLE_CACHED_WORKFLOWS"] == "20", "of each of twelve processes"


@pytest.mark.parametrize(
    ("words", "consumed", "slots"),
    [
        (["--domain", "bookings"], "estuary-booking", 50),
        (["--domains", "payments", "ops"], "estuary-payment,estuary-ops", 100),
        (["--domain", "payment", "--preset", "background"], "estuary-payment", 200),
        (["--task-queue=payments", "--domains", "payments"], "estuary-payment", 30),
        (["--task-queue", "our-own"], "our-own", 100),
        (["--task-queue", "workflows,critical"], "estuary-workflows,estuary-critical", 100),
    ],
)
def test_a_domain_has_its_queue_and_its_preset(words: list[str], consumed: str, slots: int, run: Run) -> None:
    _, line = planned(run, *words)
    assert option(line, "--queues") == consumed
    assert option(line, "--concurrency") == str(slots)
    assert run("start_worker", *words, "--print") == run("start_workflows_worker", *words, "--print")


def test_celery_gets_what_follows_the_dashes(run: Run) -> None:
    line = shlex.split(run("start_worker", "--preset", "room", "--print", "--", "--loglevel", "DEBUG"))
    assert line[-2:] == ["--loglevel", "DEBUG"]
    assert line.count("--loglevel") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--domain", "bokings"], "there is no domain named 'bokings'; did you mean 'booking'?"),
        (["--preset", "critcal"], "choose from 'all', 'critical'"),
        (["--max-concurrent-activities", "0"], "expected a whole number from 1, got '0'"),
    ],
)
def test_what_there_is_not_is_refused_by_naming_what_there_is(words: list[str], said: str, run: Run) -> None:
    with pytest.raises(CommandError) as caught:
        run("start_workflows_worker", *words)
    assert said in str(caught.value).replace("choose from all, critical", "choose from 'all', 'critical'")


def test_every_number_reaches_the_worker() -> None:
    plan = presets.plan("stream")
    given = plan.environment({"DURABLE_WORKER_SLOTS": "7", "PATH": "/bin"})
    assert given["DURABLE_WORKER_SLOTS"] == "7", "what the operator sets stays"
    assert given["PATH"] == "/bin"
    assert plan.environment({})["DURABLE_WORKER_SLOTS"] == "50"


def test_no_more_waiting_workflows_are_kept_than_it_says(carrier: Carrier, settings: Any) -> None:
    def kept() -> list[int]:
        """By each of the two workers."""
        found = []
        for index in range(2):
            with carrier.as_worker(index):
                found.append(len(live_runs._cache))
        return found

    started = [carrier.start("TestWorkflow", f"number {number}", 5.0) for number in range(12)]
    carrier.drain()
    assert sum(kept()) == 12, "all of them"
    carrier.finish(*started)

    settings.DURABLE_CACHED_WORKFLOWS = 2
    started = [carrier.start("TestWorkflow", f"number {number}", 5.0) for number in range(12)]
    carrier.drain()
    assert kept() == [2, 2]
    carrier.finish(*started)  # those that were not kept are replayed
    assert [result(one)["message"] for one in started] == [f"number {number}" for number in range(12)]


@pytest.mark.parametrize(
    ("environment", "queue"),
    [
        ({}, "estuary-workflows"),
        ({"TASK_QUEUE_PREFIX": "mine"}, "mine-workflows"),
        ({"TASK_QUEUE_PREFIX": "mine", "WORKFLOW_TASK_QUEUE": "jobs"}, "jobs"),
    ],
)
def test_the_procfiles_workers_serve_every_queue(environment: dict[str, str], queue: str) -> None:
    lines = [
        line.split(": ", 1)[1]
        for line in (ROOT / "Procfile").read_text().splitlines()
        if "worker" in line.split(":")[0]
    ]
    shell = ["sh", "-c", "; ".join(f"echo {line}" for line in lines)]
    said = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True).stdout
    served = ",".join(re.findall(r"--queues (\S+)", said)).split(",")
    prefix = environment.get("TASK_QUEUE_PREFIX", "estuary")
    assert sorted(served) == sorted(
        [queue, *(f"{prefix}-{word}" for word in ("critical", "background", *queues.domains()))]
    )


@pytest.fixture
def crew(process_environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`start_all_workers` for two domains."""
    words = ["start_all_workers", "--domains", "bookings", "room", "--max-concurrent-activities", "1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", *words, "--max-concurrent-workflows", "1"],
            cwd=ROOT,
            env=process_environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for child in _family(process.pid):
                child.kill()
            process.wait()


def _family(pid: int) -> list[psutil.Process]:
    if not psutil.pid_exists(pid):
        return []
    return [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]


@pytest.mark.real
def test_one_worker_for_each_domain_and_a_clean_end(crew: subprocess.Popen[bytes], tmp_path: Path) -> None:
    log = tmp_path / "log"
    wanted = {"estuary-booking", "estuary-room"}
    wait_until(lambda: wanted <= set(queues.served()), 60, log.read_text)
    assert {queue: [node.split("@")[0] for node in queues.served()[queue]] for queue in wanted} == {
        "estuary-booking": ["booking"],
        "estuary-room": ["room"],
    }
    family = _family(crew.pid)
    assert len(family) >= 3

    victim = next(child for child in family if "room@%h" in child.cmdline())
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(
        lambda: "room    | was killed by SIGKILL; starting it again in 1 s" in log.read_text(), 20, log.read_text
    )

    crew.send_signal(signal.SIGTERM)
    assert crew.wait(40) == 0
    assert "all workers have stopped" in log.read_text()
    assert "killed\n" not in log.read_text()
    wait_until(lambda: not any(child.is_running() for child in family), 5, "no process left")
