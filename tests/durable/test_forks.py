"""What a restart copies, and what keeps it from beginning."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest

from automation.durable import forks, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError
from automation.errors import Conflict
from automation.models import WorkflowExecution
from tests.durable.snippets import ended, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, result, row

ONCE = RetryPolicy(maximum_attempts=1)


def restarted(carrier: Carrier, execution: uuid.UUID, from_step: int, *args: Any) -> WorkflowExecution:
    """The end of an execution that begins with a copy of this one's first steps."""
    again = forks.restart(execution, from_step=from_step, args=args or None)
    carrier.finish(again)
    return row(again)


async def beside(goes_on: bool) -> Any:
    """Step 2 is asked for beside step 1, and ends after step 3 was asked for."""
    if not goes_on:
        return await call("echo", "first")
    side = asyncio.create_task(call("add", 1, 1))
    return [await call("echo", "first"), await call("echo", "third"), await side]


def test_other_arguments_must_ask_for_what_was_under_way(carrier: Carrier) -> None:
    """Step 2 had been done, which nobody had seen where step 3 was asked for."""
    before = ended(carrier, beside, True)
    ran = len(activities.journal)
    with pytest.raises(Conflict, match="step #2 is not asked for any more"):
        forks.restart(before.id, from_step=3, args=["beside", False])
    assert WorkflowExecution.objects.count() == 1
    again = restarted(carrier, before.id, 3)
    assert result(again.id) == ["first", "third", 2]
    assert len(activities.journal) == ran + 1


async def waits_for_a_child(_data: Any) -> Any:
    await workflow.start_child_workflow("flows_script", ["sleep", 3600])
    return await call("refuse", "no", retry_policy=ONCE)


def test_what_another_execution_has_not_done_is_not_done_again(carrier: Carrier) -> None:
    before = ended(carrier, waits_for_a_child)
    assert before.status == "failed"
    with pytest.raises(Conflict, match=r"step #1 .* is another execution's matter; restart from step #1"):
        forks.restart(before.id, from_step=2)
    again = restarted(carrier, before.id, 1)
    assert WorkflowExecution.objects.filter(parent_id=again.id).count() == 1


async def takes_back(_data: Any) -> Any:
    """Timer 2 is taken back before step 4 is asked for, timer 3 after it, unless that has been mended."""
    first, second = asyncio.create_task(asyncio.sleep(60)), asyncio.create_task(asyncio.sleep(90, "rung"))
    await call("echo", 1)
    first.cancel()
    try:
        await call("broken", "x")
    except ActivityError:
        second.cancel()
        await call("echo", 2)
        raise
    return await second


async def gives_up_on_one(_data: Any) -> Any:
    """Step 2 is taken back right where step 3 is asked for."""
    failing = asyncio.create_task(call("fail", 1, retry_policy=RetryPolicy(initial_interval=dt.timedelta(hours=1))))
    await call("echo", 1)
    failing.cancel()
    return await call("broken", "x")


def test_what_the_code_takes_back_where_it_goes_on_is_not_done(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ended(carrier, gives_up_on_one)
    assert steps(before.id)[1:] == [(2, "flows_fail", "cancelled"), (3, "flows_broken", "failed")]
    activities.journal.clear()
    monkeypatch.setattr(activities, "mended", {"x"})
    again = forks.restart(before.id, from_step=3)
    assert steps(again) == [(1, "flows_echo", "completed"), (2, "flows_fail", "cancelled")]
    carrier.finish(again)
    assert result(again) == "mended x"
    assert [name for name, _, _ in activities.journal] == ["flows_broken"]


def test_what_the_code_took_back_by_then_stays_so_and_nothing_else(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ended(carrier, takes_back)
    assert [status for _, _, status in steps(before.id)] == [
        "completed",
        "cancelled",
        "cancelled",
        "failed",
        "completed",
    ]
    monkeypatch.setattr(activities, "mended", {"x"})
    again = restarted(carrier, before.id, 4)
    assert result(again.id) == "rung"
    statuses = ["completed", "cancelled", "completed", "completed"]
    assert [status for _, _, status in steps(again.id)] == statuses
