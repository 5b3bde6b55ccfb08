"""Activities: what they are told, heartbeats, transactions, async functions and their time."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from automation.durable import activity, registry
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, RetryState
from automation.models import ExecutionStatus
from tests.durable.snippets import ended, outcome
from tests.flows import activities
from tests.flows.models import Posting
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result


def test_heartbeat_details_survive_a_retry(carrier: Carrier) -> None:
    async def beats(_data: Any) -> Any:
        return await call("beating", "here")

    assert outcome(carrier, beats) == ["here", 1]


def test_a_failed_attempt_rolls_its_writes_back(carrier: Carrier) -> None:
    async def enters(_data: Any) -> Any:
        return await call("enter_and_fail", "x", 2)

    assert outcome(carrier, enters) == "x"
    assert [posting.attempt for posting in Posting.objects.all()] == [3]


def test_an_async_activity_runs(carrier: Carrier) -> None:
    async def runs(_data: Any) -> Any:
        return await call("async_echo", {"a": 1})

    assert outcome(carrier, runs) == {"a": 1}


def test_an_async_activity_uses_the_orm_on_its_workers_connection(carrier: Carrier) -> None:
    async def runs(_data: Any) -> Any:
        return [await call("note", "plain"), await call("async_note", "async")]

    assert outcome(carrier, runs) == [None, ["plain", "async"]]


def test_an_async_activity_can_be_transactional(carrier: Carrier) -> None:
    async def enters(_data: Any) -> Any:
        return await call("async_enter", "x", 2)

    assert outcome(carrier, enters) == "x"
    assert [posting.attempt for posting in Posting.objects.all()] == [3]


def test_what_an_async_activity_leaves_running_ends_with_it(carrier: Carrier) -> None:
    async def leaves(_data: Any) -> Any:
        return [await call("async_leave", "first"), await call("async_leave", "second")]

    activities.left.clear()
    assert outcome(carrier, leaves) == [0, 0]
    assert activities.left == ["first was cancelled", "second was cancelled"]


def test_plain_code_in_async_code_may_itself_call_async_code(carrier: Carrier) -> None:
    async def nests(_data: Any) -> Any:
        return [await call("async_nested", 1), await call("nested", 2), await call("async_nested", 3)]

    assert outcome(carrier, nests) == [[1, 0], [2, 0], [3, 0]]


def test_an_attempt_that_takes_too_long_is_interrupted(carrier: Carrier) -> None:
    async def slow(_data: Any) -> Any:
        try:
            await call(
                "sleepy",
                30.0,
                start_to_close_timeout=dt.timedelta(seconds=0.2),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            return [str(error.cause), error.retry_state == RetryState.MAXIMUM_ATTEMPTS_REACHED]

    assert outcome(carrier, slow) == ["the attempt took longer than 0.2 s", True]


def test_an_activity_that_fails_for_good_fails_the_execution_with_its_cause(carrier: Carrier) -> None:
    async def fails(_data: Any) -> Any:
        await call("refuse", "x")

    row = ended(carrier, fails)
    assert row.status == ExecutionStatus.FAILED
    assert "Refused: refused x" in row.error_message
    assert row.completed_at is not None


def test_attempts_and_their_times_follow_the_policy(carrier: Carrier) -> None:
    async def fails(_data: Any) -> Any:
        policy = RetryPolicy(initial_interval=dt.timedelta(seconds=10), backoff_coefficient=3, maximum_attempts=4)
        return await call("flaky", "ok", 3, retry_policy=policy)

    row = ended(carrier, fails)
    assert result(row.id) == "ok"
    step = row.steps.get()
    assert step.attempt == 4
    assert step.started_at is not None
    waited = (step.started_at - step.created_at).total_seconds()
    assert 10 + 30 + 90 - 0.2 <= waited <= 10 + 30 + 90 + 2


def test_an_unknown_activity_is_tried_again_until_a_worker_knows_it(carrier: Carrier) -> None:
    async def asks(_data: Any) -> Any:
        return await call("echo", 1)

    known = registry._activities.pop("flows_echo")

    def appear(point: str) -> bool:
        if point == "before retry":
            registry._activities["flows_echo"] = known
        return False

    try:
        assert outcome(carrier.under(Faults(kill=appear)), asks) == 1
    finally:
        registry._activities["flows_echo"] = known


def test_outside_of_an_activity_there_is_nothing_to_know() -> None:
    assert not activity.in_activity()
    with pytest.raises(RuntimeError, match="not in an activity"):
        activity.info()
    with pytest.raises(RuntimeError, match="not in an activity"):
        activity.heartbeat()


def test_what_an_activity_is_told(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[activity.Info] = []
    monkeypatch.setattr(activities, "_note", lambda: told.append(activity.info()))

    async def tells(_data: Any) -> Any:
        return await call("echo", 1, heartbeat_timeout=dt.timedelta(seconds=9))

    execution = ended(carrier, tells)
    info = told[0]
    assert (info.execution_id, info.seq, info.attempt) == (execution.id, 1, 1)
    assert (info.activity_type, info.task_queue) == ("flows_echo", execution.queue)
    assert info.idempotency_key == f"{execution.id}:1"
    assert info.heartbeat_timeout == dt.timedelta(seconds=9)
    assert info.workflow_type == "flows_snippet"
    assert info.workflow_id == (execution.business_id or str(execution.id))
