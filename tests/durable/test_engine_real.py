"""Scenarios that need processes of their own: completion from outside, two starters at once, children under kills."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from automation.durable import control, id_policies, payloads, starts
from automation.durable.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from automation.durable.exceptions import WorkflowAlreadyStartedError
from automation.models import ExecutionStatus, WorkflowExecution
from tests.flows.models import Posting
from tests.support.consistency import assert_consistent
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

COMPLETE = """
import sys, django
django.setup()
from automation.durable import completions
completions.complete(completions.by_token(sys.argv[1]), {"by": "another process"})
"""


def result_of(execution: uuid.UUID, timeout: float = 60) -> Any:
    def story() -> str:
        one = WorkflowExecution.objects.get(id=execution)
        return f"{one.status} {one.error_message} {list(one.steps.values_list('seq', 'name', 'status', 'attempt'))}"

    rows = WorkflowExecution.objects.filter(id=execution)
    wait_until(lambda: rows.filter(status=ExecutionStatus.COMPLETED).exists(), timeout, story)
    return payloads.decode(rows.get().result)


def test_an_activity_is_completed_by_token_from_another_process(
    worker: Callable[..., Any], process_environment: dict[str, str]
) -> None:
    """Scenario 9; and the worker that began it is killed meanwhile, which is nothing to it."""
    first = worker()
    (execution,) = starts.start_many([starts.NewExecution("flows_script", (["call", "hand_out", "token:"],))])
    posting = wait_until(Posting.objects.first, 30)
    step = WorkflowExecution.objects.get(id=execution).steps
    wait_until(lambda: step.filter(status="running", worker="").exists(), 30)
    first.kill()
    worker()
    token = posting.note.removeprefix("token: ")
    subprocess.run([sys.executable, "-c", COMPLETE, token], cwd=ROOT, env=process_environment, check=True, timeout=60)
    assert result_of(execution) == {"by": "another process"}
    assert Posting.objects.count() == 1


def test_two_starters_at_once_make_one_execution(shared_worker: Any) -> None:
    """Scenario 16."""
    found: list[tuple[int, str]] = []
    errors: list[BaseException] = []
    rounds, starters = 12, 4
    barrier = threading.Barrier(starters)

    def start(number: int) -> None:
        conflict = WorkflowIDConflictPolicy.USE_EXISTING if number % 2 else WorkflowIDConflictPolicy.FAIL
        try:
            for round_ in range(rounds):
                new = starts.NewExecution(
                    "flows_script",
                    (["call", "enter", f"round {round_}"],),
                    business_id=f"round-{round_}",
                    id_conflict_policy=conflict,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                )
                barrier.wait(30)
                try:
                    found.append((round_, str(id_policies.start(new).id)))
                except WorkflowAlreadyStartedError as error:
                    found.append((round_, str(error.run_id)))
        except BaseException as error:
            errors.append(error)
            barrier.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=start, args=(number,)) for number in range(starters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(found) == rounds * starters
    assert len(set(found)) == rounds, "two starters of one id came to two executions"
    rows = WorkflowExecution.objects.all()
    wait_until(lambda: rows.filter(status=ExecutionStatus.COMPLETED).count() == rounds, 60, lambda: str(rows.values()))
    assert Posting.objects.count() == rounds
    assert rows.count() == rounds


def test_children_survive_the_deaths_of_their_workers(worker: Callable[..., Any]) -> None:
    nodes = [worker(), worker()]
    parents = starts.start_many([starts.NewExecution("flows_family", (12,)) for _ in range(4)])
    for node, enough in zip(nodes, (4, 16), strict=True):
        wait_until(lambda enough=enough: Posting.objects.count() >= enough, 60)
        node.kill()
        worker()
    for parent in parents:
        assert result_of(parent, 120) == [str(number) for number in range(12)]
    assert WorkflowExecution.objects.filter(parent_id__in=parents).count() == 48
    assert Posting.objects.count() == 48
    assert_consistent(swept=False)


def test_a_terminated_parent_takes_its_children_along(shared_worker: Any) -> None:
    children = WorkflowExecution.objects.filter(parent_id__isnull=False)
    plan = ["sleep", 600]
    (parent,) = starts.start_many([starts.NewExecution("flows_parent", (plan, 5))])
    wait_until(lambda: children.filter(status=ExecutionStatus.RUNNING).count() == 5, 30)
    control.terminate(parent)
    wait_until(lambda: children.filter(status=ExecutionStatus.TERMINATED).count() == 5, 30)
