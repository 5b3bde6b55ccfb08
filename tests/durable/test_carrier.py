"""The carrier itself: workflows run on it, and its faults happen."""

from __future__ import annotations

import pytest

from automation.models import ExecutionStatus
from tests.flows import activities
from tests.support.carrier import Carrier, Faults, result, row

PLAN = [
    "all",
    ["call", "add", 1, 2],
    ["gather", ["call", "echo", "a"], ["call", "flaky", "b", 2], ["sleep", 3]],
    ["group", ["echo", 1], ["refuse", 2], ["elsewhere", 3]],
    ["chain", ["echo", 1], ["group", ["echo", 2], ["echo", 3]], ["elsewhere", 4], ["refuse", 5], ["echo", 6]],
    ["sleep", 86_400],
    ["call", "async_echo", {"x": [1.5, None]}],
]
RESULT = [
    3,
    ["a", "b", "slept"],
    [1, "ActivityError: ApplicationError: Refused: refused 2", 3],
    [
        1,
        [2, 3],
        4,
        "ActivityError: ApplicationError: Refused: refused 5",
        "ActivityError: SkippedError: skipped: step #11 'flows_refuse' before it ended as failed",
    ],
    "slept",
    {"x": [1.5, None]},
]


def test_a_workflow_runs_to_its_end(carrier: Carrier) -> None:
    execution = carrier.start("flows_script", PLAN)
    carrier.finish(execution)
    assert result(execution)[:3] == RESULT[:3]
    assert carrier.deaths == []
    assert carrier.errors == []


@pytest.mark.parametrize(
    "faults",
    [
        Faults(order="random"),
        Faults(order="lifo"),
        Faults(copies=2),
        Faults(copies=2, order="random", interleaving=0.3),
        Faults(loss=1.0, budget=40),
        Faults(loss=0.3, budget=40),
        Faults(deaths=0.2, budget=12),
        Faults(order="random", copies=2, loss=0.2, deaths=0.1, interleaving=0.3, budget=30),
    ],
    ids=str,
)
def test_the_result_is_the_same_whatever_happens_on_the_way(carrier: Carrier, faults: Faults) -> None:
    execution = carrier.under(faults).start("flows_script", PLAN)
    carrier.finish(execution)
    got = result(execution)
    assert got[:3] == RESULT[:3]
    assert got[3][:4] == RESULT[3][:4]
    assert got[4:] == RESULT[4:]
    assert carrier.errors == []


def test_every_message_lost_means_sweeps_do_it(carrier: Carrier) -> None:
    carrier.under(Faults(lose=lambda message: "flows_add" in message.task or carrier.sweeps == 0))
    execution = carrier.start("flows_script", ["call", "add", 1, 2])
    assert not carrier.deliver_one()
    carrier.finish(execution)
    assert result(execution) == 3


def test_a_death_leaves_the_rows_as_they_were(carrier: Carrier) -> None:
    carrier.under(Faults(kill=lambda point: point == "after flows_add" and not carrier.deaths))
    execution = carrier.start("flows_script", ["call", "add", 1, 2])
    carrier.drain()
    assert carrier.deaths == ["after flows_add"]
    step = row(execution).steps.get()
    assert (step.status, step.attempt) == ("running", 1)
    carrier.finish(execution)
    assert result(execution) == 3
    assert [attempt for _, _, attempt in activities.journal] == [1, 2]


def test_an_execution_that_never_ends_fails_the_test(carrier: Carrier) -> None:
    execution = carrier.start("flows_script", ["sleep", 40 * 86_400])
    with pytest.raises(AssertionError, match="nothing happens before"):
        carrier.finish(execution, days=30)
    assert row(execution).status == ExecutionStatus.RUNNING
