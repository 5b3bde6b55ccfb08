"""What happens to an id that is known already (scenario 16; two starters at once in test_id_policies_real.py)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import transaction

from automation.durable import control, id_policies, payloads, starts
from automation.durable.common import WorkflowIDConflictPolicy as Conflict
from automation.durable.common import WorkflowIDReusePolicy as Reuse
from automation.durable.exceptions import ApplicationError, WorkflowAlreadyStartedError
from automation.models import ExecutionStatus, WorkflowExecution
from tests.durable.snippets import snippet
from tests.support.carrier import Carrier, row


async def sleeps(data: Any) -> Any:
    await asyncio.sleep(60)
    if data:
        raise ApplicationError("as it was told to")
    return "slept"


@pytest.fixture(autouse=True)
def _known() -> None:
    snippet(sleeps)


def start(fails: bool = False, **policies: Any) -> id_policies.Started:
    return id_policies.start(starts.NewExecution("flows_snippet", ("sleeps", fails), business_id="order", **policies))


def count() -> int:
    return WorkflowExecution.objects.count()


# -- while one is going on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("policy", [Conflict.UNSPECIFIED, Conflict.FAIL])
def test_it_is_refused_by_default(carrier: Carrier, policy: Conflict, begun: bool) -> None:
    first = start()
    if begun:
        carrier.drain()
    with pytest.raises(WorkflowAlreadyStartedError) as caught:
        start(id_conflict_policy=policy)
    assert (caught.value.workflow_id, caught.value.run_id) == ("order", str(first.id))
    assert count() == 1


def test_the_existing_one_is_used(carrier: Carrier) -> None:
    first = start()
    again = start(id_conflict_policy=Conflict.USE_EXISTING)
    assert (again.id, again.existing, first.existing) == (first.id, True, False)
    assert count() == 1


@pytest.mark.parametrize(
    "policies",
    [{"id_conflict_policy": Conflict.TERMINATE_EXISTING}, {"id_reuse_policy": Reuse.TERMINATE_IF_RUNNING}],
)
def test_the_existing_one_is_terminated(carrier: Carrier, policies: dict[str, Any]) -> None:
    first = start()
    carrier.drain()
    second = start(**policies)
    assert row(first.id).status == ExecutionStatus.TERMINATED
    carrier.finish()
    assert row(second.id).status == ExecutionStatus.COMPLETED


def test_one_that_is_parked_is_still_going_on(carrier: Carrier) -> None:
    async def broken(data: Any) -> Any:
        raise KeyError("a defect")

    snippet(broken)
    id_policies.start(starts.NewExecution("flows_snippet", ("broken",), business_id="order"))
    carrier.drain()
    assert WorkflowExecution.objects.get().status == ExecutionStatus.PARKED
    with pytest.raises(WorkflowAlreadyStartedError):
        start()


# -- once it has ended -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "policy", "allowed"),
    [
        ("completed", Reuse.ALLOW_DUPLICATE, True),
        ("completed", Reuse.ALLOW_DUPLICATE_FAILED_ONLY, False),
        ("completed", Reuse.REJECT_DUPLICATE, False),
        ("completed", Reuse.TERMINATE_IF_RUNNING, True),
        ("failed", Reuse.ALLOW_DUPLICATE, True),
        ("failed", Reuse.ALLOW_DUPLICATE_FAILED_ONLY, True),
        ("failed", Reuse.REJECT_DUPLICATE, False),
        ("terminated", Reuse.ALLOW_DUPLICATE_FAILED_ONLY, True),
        ("cancelled", Reuse.ALLOW_DUPLICATE_FAILED_ONLY, True),
    ],
)
def test_the_reuse_policy_decides(carrier: Carrier, ending: str, policy: Reuse, allowed: bool) -> None:
    first = start(fails=ending == "failed")
    carrier.drain()
    if ending == "terminated":
        control.terminate(first.id)
    if ending == "cancelled":
        control.cancel(first.id)
    carrier.finish()
    assert row(first.id).status == ending
    if allowed:
        assert start(id_reuse_policy=policy).id != first.id
    else:
        with pytest.raises(WorkflowAlreadyStartedError) as caught:
            start(id_reuse_policy=policy)
        assert caught.value.run_id == str(first.id)
    assert count() == (2 if allowed else 1)


def test_policies_that_contradict_each_other_are_refused(carrier: Carrier) -> None:
    with pytest.raises(ValueError, match="TERMINATE_IF_RUNNING cannot be combined"):
        start(id_reuse_policy=Reuse.TERMINATE_IF_RUNNING, id_conflict_policy=Conflict.FAIL)
    with pytest.raises(ValueError, match="REJECT_DUPLICATE cannot be combined"):
        start(id_reuse_policy=Reuse.REJECT_DUPLICATE, id_conflict_policy=Conflict.TERMINATE_EXISTING)
    assert count() == 0


# -- the rest of a start -----------------------------------------------------------------------------------------------


def test_a_start_rolls_back_with_its_caller(carrier: Carrier) -> None:
    def changes_its_mind() -> None:
        with transaction.atomic():
            start()
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        changes_its_mind()
    carrier.drain()
    assert count() == 0
    assert start().existing is False


def test_memo_and_search_attributes_stand_in_the_row(carrier: Carrier) -> None:
    one = row(start(memo={"note": [1, 2]}, search_attributes={"Kind": "small", "Size": 3}).id)
    assert payloads.decode(one.memo) == {"note": [1, 2]}
    assert one.search_attributes == {"Kind": "small", "Size": 3}


def test_without_an_id_nothing_is_in_the_way(carrier: Carrier) -> None:
    new = starts.NewExecution("flows_snippet", ("sleeps", False))
    assert id_policies.start(new).id != id_policies.start(new).id
    carrier.finish()
