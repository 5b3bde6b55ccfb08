"""Local activities: no message, no commit of their own."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from automation import clock
from automation.durable import activity, control, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError
from automation.models import ExecutionStatus, WorkflowExecution
from tests.durable.snippets import begun, ended, outcome, snippet, steps
from tests.flows import activities
from tests.flows.models import Posting
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row

LIMIT = dt.timedelta(seconds=20)


def local(name: str, *args: Any, **options: Any) -> Any:
    options.setdefault("start_to_close_timeout", LIMIT)
    return workflow.execute_local_activity(f"flows_{name}", args=list(args), **options)


async def five(data: Any) -> Any:
    return [await local("echo", number) for number in range(5)]


def test_five_in_sequence_are_one_write(carrier: Carrier) -> None:
    assert outcome(carrier, five) == [0, 1, 2, 3, 4]
    written = {name: count for name, count in carrier.points.items() if name.startswith("before ")}
    statements = {name: count for name, count in written.items() if "flows_" not in name}
    assert statements == {"before take_over": 1, "before append": 1}
    assert [attempt for _, _, attempt in activities.journal] == [1] * 5


def test_they_stand_in_the_history(carrier: Carrier) -> None:
    execution = ended(carrier, five).id
    assert steps(execution) == [(seq, "flows_echo", "completed") for seq in range(1, 6)]
    assert {step.kind for step in row(execution).steps.all()} == {"local_activity"}


def test_a_replay_does_not_run_them_again(carrier: Carrier) -> None:
    async def mixed(data: Any) -> Any:
        found = [await local("echo", 1)]
        found += await asyncio.gather(local("echo", 2), call("echo", 3), local("echo", 4))
        await asyncio.sleep(60)
        found += [await local("echo", 5)]
        await asyncio.sleep(60)
        return found

    execution = begun(carrier, mixed)
    while row(execution).is_open:
        carrier.restart_workers()
        carrier.drain()
        if row(execution).is_open:
            carrier._move_on(clock.timestamp() + 86_400, ())
    assert result(execution) == [1, 2, 3, 4, 5]
    assert len(activities.journal) == 5


def test_what_was_not_written_runs_again_with_the_same_key(carrier: Carrier) -> None:
    died: list[str] = []

    def kill(point: str) -> bool:
        if point == "before append" and not died:
            died.append(point)
            return True
        return False

    carrier.under(Faults(kill=kill))
    assert outcome(carrier, five) == [0, 1, 2, 3, 4]
    keys = [key for _, key, _ in activities.journal]
    assert keys == [*keys[:5], *keys[:5]]
    assert len(set(keys)) == 5


@pytest.mark.parametrize("seed", range(5))
def test_they_survive_deaths_losses_and_duplicates(carrier: Carrier, seed: int) -> None:
    async def mixed(data: Any) -> Any:
        total = 0
        for number in range(4):
            total += sum(await asyncio.gather(local("echo", number), call("echo", number), local("echo", number)))
            await asyncio.sleep(1)
        return total

    carrier.under(Faults(seed=seed, loss=0.1, deaths=0.05, copies=2, order="random", interleaving=0.1, budget=40))
    snippet(mixed)
    execution = carrier.start("flows_snippet", "mixed", None)
    carrier.finish()
    assert result(execution) == 18


# -- failures and retries ----------------------------------------------------------------------------------------------


def test_short_waits_between_attempts_are_waited_for_in_the_visit(carrier: Carrier) -> None:
    async def flaky(data: Any) -> Any:
        policy = RetryPolicy(initial_interval=dt.timedelta(milliseconds=1), maximum_attempts=5)
        return await local("flaky", "well", 3, retry_policy=policy)

    execution = ended(carrier, flaky).id
    assert result(execution) == "well"
    assert [step.attempt for step in row(execution).steps.all()] == [4]
    assert carrier.points["before append"] == 1


def test_long_waits_are_timers(carrier: Carrier) -> None:
    async def flaky(data: Any) -> Any:
        began = workflow.now()
        policy = RetryPolicy(initial_interval=dt.timedelta(minutes=10))
        value = await local("flaky", "well", 2, retry_policy=policy)
        return [value, (workflow.now() - began).total_seconds() >= 1800]

    execution = begun(carrier, flaky)
    carrier.restart_workers()
    carrier.finish(execution)
    assert result(execution) == ["well", True]
    names = [name for _, name, _ in steps(execution)]
    assert names == ["flows_flaky", "timer", "flows_flaky", "timer", "flows_flaky"]
    assert len({key for _, key, _ in activities.journal}) == 1, "the key is not the same for every attempt"
    assert [attempt for _, _, attempt in activities.journal] == [1, 2, 3]


def test_the_last_failure_is_raised(carrier: Carrier) -> None:
    async def refused(data: Any) -> Any:
        try:
            await local("refuse", "it")
        except ActivityError as error:
            cause = error.cause
            assert isinstance(cause, ApplicationError)
            return [error.activity_type, cause.type]

    execution = ended(carrier, refused).id
    assert result(execution) == ["flows_refuse", "Refused"]
    assert steps(execution) == [(1, "flows_refuse", "failed")]


def test_all_attempts_together_have_a_limit(carrier: Carrier) -> None:
    async def flaky(data: Any) -> Any:
        policy = RetryPolicy(initial_interval=dt.timedelta(minutes=10))
        await local(
            "fail", 1, retry_policy=policy, start_to_close_timeout=None,
            schedule_to_close_timeout=dt.timedelta(minutes=35),
        )  # fmt: skip

    one = ended(carrier, flaky)
    assert one.status == ExecutionStatus.FAILED
    assert len(activities.journal) == 3


def test_cancelling_a_wait_between_attempts_ends_it(carrier: Carrier) -> None:
    async def gives_up(data: Any) -> Any:
        handle = workflow.start_local_activity(
            "flows_fail",
            1,
            start_to_close_timeout=LIMIT,
            retry_policy=RetryPolicy(initial_interval=dt.timedelta(hours=1)),
        )
        await asyncio.sleep(60)
        handle.cancel()
        try:
            await handle
        except ActivityError as error:
            return str(error)

    execution = ended(carrier, gives_up).id
    assert result(execution) == "Activity cancelled"
    assert len(activities.journal) == 1


def test_one_that_is_cancelled_at_once_never_runs(carrier: Carrier) -> None:
    async def changes_its_mind(data: Any) -> Any:
        workflow.start_local_activity("flows_echo", 1, start_to_close_timeout=LIMIT).cancel()
        return await local("echo", 2)

    assert outcome(carrier, changes_its_mind) == 2
    assert len(activities.journal) == 1


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_it_knows_that_it_is_local(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from automation.durable import registry

    seen: list[Any] = []

    def looks(value: Any) -> Any:
        info = activity.info()
        activity.heartbeat("nothing to keep")
        seen.append((info.is_local, info.idempotency_key, info.workflow_type))
        return value

    known = registry.activity("flows_echo")
    monkeypatch.setitem(registry._activities, "flows_echo", replace(known, function=looks))
    execution = ended(carrier, five).id
    assert seen[0] == (True, f"{execution}:1", "flows_snippet")


def test_a_transactional_one_is_rolled_back_when_it_fails(carrier: Carrier) -> None:
    async def enters(data: Any) -> Any:
        policy = RetryPolicy(initial_interval=dt.timedelta(milliseconds=1))
        return await local("enter_and_fail", "note", 2, retry_policy=policy)

    assert outcome(carrier, enters) == "note"
    assert Posting.objects.count() == 1


def test_a_visit_that_has_run_out_of_time_hands_over(carrier: Carrier, settings: Any) -> None:
    settings.DURABLE_LINK_BUDGET = 0.01

    async def slow(data: Any) -> Any:
        return [await local("sleepy", 0.02, number) for number in range(4)]

    assert outcome(carrier, slow) == [0, 1, 2, 3]
    assert len(activities.journal) == 4
    assert carrier.deliveries["execute_workflow"] == 4


def test_an_end_keeps_what_was_done(carrier: Carrier) -> None:
    async def ends(data: Any) -> Any:
        await local("echo", 1)
        raise ApplicationError("no")

    one = ended(carrier, ends)
    assert one.status == ExecutionStatus.FAILED
    assert steps(one.id) == [(1, "flows_echo", "completed")]
    assert WorkflowExecution.objects.count() == 1


@pytest.mark.parametrize("later", [False, True], ids=["at the end", "with outcomes after it"])
def test_a_retry_runs_a_failed_one_again(carrier: Carrier, later: bool) -> None:
    policy = RetryPolicy(initial_interval=dt.timedelta(milliseconds=1), maximum_attempts=2)

    async def fails_once(data: Any) -> Any:
        first = await local("echo", "first")
        try:
            return [first, await local("flaky", "second", 1 if mended else 5, retry_policy=policy)]
        except ActivityError:
            if data:
                await call("echo", "cleanup")
            raise

    mended: list[bool] = []
    one = ended(carrier, fails_once, later)
    assert one.status == ExecutionStatus.FAILED
    mended.append(True)
    control.retry(one.id)
    carrier.finish()
    assert result(one.id) == ["first", "second"]
    assert sum(name == "flows_echo" for name, _, _ in activities.journal) == 1 + later
