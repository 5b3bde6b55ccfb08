"""A worker never runs more at once than it was started for, and reaches it; with real workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automation.durable import limits, starts
from automation.models import ENDED_STATUSES, ExecutionStatus, WorkflowExecution
from tests.commands.definitions import most
from tests.support.carrier import result
from tests.support.processes import Farm, Worker
from tests.support.waiting import wait_until

StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(_farm: Farm, transactional_db: None) -> Iterator[StartWorker]:
    """`manage.py start_workflows_worker` with these arguments."""
    _farm.end_shared()
    count = len(_farm.nodes)

    def start(*arguments: str, env: dict[str, str] | None = None) -> Worker:
        name = f"limited{len(_farm.nodes)}"
        line = ["django", "start_workflows_worker", *arguments]
        line += ["--name", name, "--", "--include", "tests.commands.definitions"]
        node = Worker(name, line, {**_farm.environment, **(env or {})}, _farm.logs / f"{name}.log")
        _farm.nodes.append(node)
        node.start()
        return node

    yield start
    _farm.end_since(count)


def run_crowd(directory: Path, node: Worker, *, executions: int, **arguments: Any) -> None:
    """Start so many executions of the crowd and wait for their ends."""
    args = (str(directory), arguments["members"], arguments["seconds"], arguments.get("thinks", 0.0))
    started = starts.start_many([starts.NewExecution("commands_crowd", args) for _ in range(executions)])

    def completed() -> int:
        return WorkflowExecution.objects.filter(id__in=started, status=ExecutionStatus.COMPLETED).count()

    wait_until(lambda: completed() == executions, 90, lambda: f"{completed()} completed:\n{node.log_tail()}")


@pytest.mark.real
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_it_runs_as_many_as_it_may_and_never_more(pool: str, start_worker: StartWorker, tmp_path: Path) -> None:
    node = start_worker(
        *("--task-queue", "workflows", "--pool", pool),
        *("--max-concurrent-activities", "3", "--max-concurrent-workflows", "6"),
    )
    run_crowd(tmp_path, node, executions=6, members=4, seconds=0.15)
    assert most(tmp_path, "activity") == 3


@pytest.mark.real
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_workflows_advance_no_more_than_so_many_at_once(pool: str, start_worker: StartWorker, tmp_path: Path) -> None:
    node = start_worker(
        *("--task-queue", "workflows", "--pool", pool),
        *("--max-concurrent-activities", "6", "--max-concurrent-workflows", "2"),
    )
    run_crowd(tmp_path, node, executions=8, members=2, seconds=0.2, thinks=0.1)
    assert most(tmp_path, "advance") == 2
    assert 2 < most(tmp_path, "activity") <= 6, "the limit of advances does not hold up activities"


@pytest.mark.real
def test_a_preset_runs_what_it_says_at_once(start_worker: StartWorker, tmp_path: Path) -> None:
    """One group of slow activities, as wide as the preset."""
    node = start_worker("--preset", "booking", "--task-queue", "workflows")
    started = starts.start_many([starts.NewExecution("commands_crowd", (str(tmp_path), 50, 1.5))])
    wait_until(lambda: most(tmp_path, "activity") >= 45, 60, lambda: f"{most(tmp_path, 'activity')}\n{node.log_tail()}")
    assert most(tmp_path, "activity") <= 50
    WorkflowExecution.objects.filter(id__in=started).update(status=ExecutionStatus.TERMINATED, due=None)


@pytest.mark.real
def test_threads_share_a_process_without_mixing_their_workflows_up(start_worker: StartWorker) -> None:
    node = start_worker("--preset", "critical", "--task-queue", "workflows", "--max-cached-workflows", "10")
    new = [starts.NewExecution("flows_script", (_plan(number),)) for number in range(60)]
    numbers = {execution: number for number, execution in enumerate(starts.start_many(new))}

    def open_ones() -> int:
        return WorkflowExecution.objects.filter(id__in=numbers).exclude(status__in=ENDED_STATUSES).count()

    wait_until(lambda: not open_ones(), 90, lambda: f"{open_ones()} open:\n{node.log_tail()}")
    for execution, number in numbers.items():
        assert result(execution) == [number, [f"a{number}", f"b{number}", "slept"], [number, number + 1], number + 2]
    assert "Traceback" not in node.log_text()


@pytest.mark.real
def test_a_step_that_takes_too_long_in_a_thread_is_ended_by_its_row(start_worker: StartWorker) -> None:
    """No alarm rings in a thread, and nothing can end it: the execution goes on all the same."""
    node = start_worker("--preset", "payment", "--task-queue", "workflows")
    execution = starts.start_many([starts.NewExecution("commands_too_long", (20.0, 1.0))])[0]

    def row() -> WorkflowExecution:
        return WorkflowExecution.objects.get(id=execution)

    wait_until(lambda: row().status == ExecutionStatus.FAILED, 15, lambda: f"{row().status}\n{node.log_tail()}")
    assert "took longer than 1 s" in row().error_message
    node.kill()  # the thread sleeps on


def _plan(number: int) -> list[Any]:
    gather = ["gather", ["call", "echo", f"a{number}"], ["call", "async_echo", f"b{number}"], ["sleep", 0.5]]
    group = ["group", ["echo", number], ["add", number, 1]]
    return ["all", ["call", "add", number, 0], gather, group, ["call", "add", number, 2]]


@pytest.mark.real
def test_a_killed_process_leaves_its_place(start_worker: StartWorker, tmp_path: Path) -> None:
    node = start_worker(
        *("--task-queue", "workflows", "--pool", "prefork"),
        *("--max-concurrent-activities", "1", "--max-concurrent-workflows", "2"),
        env={"DURABLE_LEASE": "0.5", "DURABLE_HEARTBEAT_INTERVAL": "0.2"},
    )
    before = set(node.children())
    args = (str(tmp_path), 1, 1.0)
    execution = starts.start_many([starts.NewExecution("commands_crowd", args)])[0]
    working = wait_until(lambda: list(tmp_path.glob("activity-*")), 30, node.log_tail)[0]
    pid = int(working.name.split("-")[1])
    assert pid in before
    os.kill(pid, signal.SIGKILL)
    working.unlink()

    def status() -> str:
        return WorkflowExecution.objects.get(id=execution).status

    wait_until(lambda: status() == ExecutionStatus.COMPLETED, 60, lambda: f"{status()}\n{node.log_tail()}")
    assert most(tmp_path, "activity") == 1


def test_a_gate_of_processes_counts_across_forks() -> None:
    gate = limits.ProcessGate(2)
    assert gate.enter(0)
    assert _in_child(lambda: gate.enter(0)) is True
    assert gate.enter(0), "the child's end gave its place back"
    assert _in_child(lambda: gate.enter(0)) is False
    assert not gate.enter(0.05)
    gate.leave()
    assert _in_child(lambda: gate.enter(0)) is True
    gate.leave()


def test_a_gate_of_threads_waits_no_longer_than_it_is_told() -> None:
    gate = limits.ThreadGate(1)
    assert gate.enter()
    began = time.monotonic()
    assert not gate.enter(0.05)
    assert 0.04 < time.monotonic() - began < 2
    assert not gate.enter(0)
    gate.leave()
    assert gate.enter(0)


def _in_child(question: Callable[[], bool]) -> bool:
    """What a forked process, which then ends, answers."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if question() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
