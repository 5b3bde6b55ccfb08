"""How steps travel: what is one message, what is several, and what waits."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from django.conf import settings as django_settings

from automation import clock
from automation.durable import canvas, workflow
from automation.durable.exceptions import ActivityError, SkippedError
from automation.models import ExecutionStatus
from tests.durable.snippets import begun, ended, outcome, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call, words
from tests.support.carrier import Carrier, Faults, result, row


def step(name: str, *args: Any, **options: Any) -> workflow.Step:
    return workflow.step(f"flows_{name}", *args, **options)


def test_steps_in_sequence_are_one_message(carrier: Carrier) -> None:
    async def sequence(_data: Any) -> Any:
        return [await call("echo", number) for number in range(5)]

    assert outcome(carrier, sequence) == [0, 1, 2, 3, 4]
    assert [message.task for message in carrier.published] == ["execute_workflow"]


def test_a_chain_is_one_link_while_the_queue_is_the_same(carrier: Carrier) -> None:
    async def chain(_data: Any) -> Any:
        return await workflow.chain(step("echo", 1), step("echo", 2), step("elsewhere", 3), step("elsewhere", 4))

    assert outcome(carrier, chain) == [1, 2, 3, 4]
    links = [message.args[1] for message in carrier.published if message.task.startswith("flows_")]
    assert links[0] == [1, 2]
    assert all(link in ([1, 2], [3, 4], [3]) for link in links)


def test_a_group_is_a_few_chunks_and_one_join(carrier: Carrier) -> None:
    async def hundred(_data: Any) -> Any:
        return await workflow.group(*(step("echo", number) for number in range(100)))

    execution = begun(carrier, hundred)
    assert result(execution) == list(range(100))
    chunks = [message for message in carrier.published if message.task == "flows_echo"]
    assert len(chunks) == 2 * django_settings.DURABLE_WORKER_SLOTS
    assert carrier.deliveries[canvas.JOIN] == 1
    assert row(execution).epoch == 2, "taken over to begin, and once to join"
    assert carrier.points["before append"] == 2, "what was asked for, and the end: two decisions"


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_join_with_one_advance_though_every_message_comes_twice(carrier: Carrier, seed: int) -> None:
    async def hundred(_data: Any) -> Any:
        return await workflow.group(*(step("echo", number) for number in range(100)))

    carrier.under(Faults(order="random", copies=2, seed=seed))
    execution = ended(carrier, hundred)
    assert result(execution.id) == list(range(100))
    members = execution.steps
    assert set(members.values_list("attempt", flat=True)) == {1}
    # The others were told of nothing: one advance has seen the whole canvas, at its first member.
    assert list(members.exclude(resolved_seq=None).values_list("seq", "resolved_seq")) == [(1, 1)]
    assert len(activities.journal) == 100


def test_a_gather_travels_in_chunks(carrier: Carrier) -> None:
    async def gathers(_data: Any) -> Any:
        return await asyncio.gather(*(call("echo", number) for number in range(50)))

    assert outcome(carrier, gathers) == list(range(50))
    assert len(carrier.published) < 8


def test_what_is_rate_limited_travels_alone(carrier: Carrier) -> None:
    """So that Celery's limit counts each."""

    async def limited(_data: Any) -> Any:
        first = await call("limited", 0)
        return [first, *await workflow.group(*(step("limited", number) for number in range(1, 5)))]

    assert outcome(carrier, limited) == [0, 1, 2, 3, 4]
    links = [message.args[1] for message in carrier.published if message.task == "flows_limited"]
    assert sorted(links) == [[1], [2], [3], [4], [5]]


def test_each_step_goes_to_its_own_queue(carrier: Carrier) -> None:
    async def queues(_data: Any) -> Any:
        await call("echo", 1)
        await call("elsewhere", 2)
        await call("echo", 3, task_queue="third")

    execution = ended(carrier, queues)
    found = {(step_.name, step_.queue) for step_ in execution.steps.all()}
    background = django_settings.WORKFLOW_BACKGROUND_QUEUE
    assert found == {("flows_echo", execution.queue), ("flows_elsewhere", background), ("flows_echo", "third")}
    assert {message.queue for message in carrier.published} >= {background, "third"}


@pytest.mark.parametrize("seconds", [2, 3600, 86_400 * 40])
def test_a_delay_begins_when_its_turn_comes(carrier: Carrier, seconds: float) -> None:
    async def delays(_data: Any) -> Any:
        return await workflow.chain(
            step("echo", 1),
            step("echo", 2, start_delay=dt.timedelta(seconds=seconds)),
            workflow.group(step("echo", 3), step("echo", 4, start_delay=dt.timedelta(seconds=seconds))),
        )

    execution = ended(carrier, delays)
    assert result(execution.id) == [1, 2, [3, 4]]
    times = {one.seq: (one.started_at, one.completed_at) for one in execution.steps.all()}
    for delayed in (2, 4):
        wait = times[delayed][0] - times[delayed - 1 if delayed == 2 else 2][1]  # type: ignore[operator]
        assert seconds - 0.1 <= wait.total_seconds() <= seconds + 1
    assert (times[3][0] - times[2][1]).total_seconds() < 1  # type: ignore[operator]


def test_a_failure_skips_what_follows_and_says_why(carrier: Carrier) -> None:
    async def fails(_data: Any) -> Any:
        try:
            await workflow.chain(step("echo", 1), step("echo", 2), step("refuse", 3), step("echo", 4), step("echo", 5))
        except ActivityError as error:
            return words(error)

    execution = ended(carrier, fails)
    assert result(execution.id) == "ActivityError: ApplicationError: Refused: refused 3"
    assert [status for _, _, status in steps(execution.id)] == ["completed"] * 2 + ["failed"] + ["skipped"] * 2
    assert "skipped: step #3 'flows_refuse' before it ended as failed" in execution.steps.get(seq=5).failure


def test_errors_come_back_as_values_where_wanted(carrier: Carrier) -> None:
    async def values(_data: Any) -> Any:
        chained = await workflow.chain(step("refuse", 1), step("echo", 2), return_exceptions=True)
        grouped = await workflow.group(step("refuse", 1), step("echo", 2), return_exceptions=True)
        assert isinstance(chained[1].cause, SkippedError)
        return [[words(chained[0]), type(chained[1]).__name__], [words(grouped[0]), grouped[1]]]

    refused = "ActivityError: ApplicationError: Refused: refused 1"
    assert outcome(carrier, values) == [[refused, "ActivityError"], [refused, 2]]


def test_a_failure_need_not_stop(carrier: Carrier) -> None:
    async def goes_on(_data: Any) -> Any:
        members = await workflow.chain(
            step("refuse", 1, stop_on_failure=False),
            workflow.group(step("refuse", 2, stop_on_failure=False), step("echo", 3)),
            step("echo", 4),
            return_exceptions=True,
        )
        return [
            isinstance(members[0], ActivityError),
            isinstance(members[1][0], ActivityError),
            members[1][1],
            members[2],
        ]

    assert outcome(carrier, goes_on) == [True, True, 3, 4]


def test_members_are_tried_again_by_their_policy(carrier: Carrier) -> None:
    async def retries(_data: Any) -> Any:
        return await workflow.chain(
            step("flaky", 1, 2), workflow.group(step("flaky", 2, 1), step("echo", 3)), step("flaky", 4, 1)
        )

    assert outcome(carrier, retries) == [1, [2, 3], 4]
    assert len(activities.journal) == 3 + 2 + 1 + 2


def test_empty_ones_are_no_steps(carrier: Carrier) -> None:
    async def empty(_data: Any) -> Any:
        return [await workflow.chain(), await workflow.group(), await workflow.chain(workflow.group(), step("echo", 1))]

    assert outcome(carrier, empty) == [[], [], [1]]


def test_canvases_run_beside_each_other(carrier: Carrier) -> None:
    async def beside(_data: Any) -> Any:
        return await asyncio.gather(
            _await(workflow.chain(step("echo", 1), step("elsewhere", 2))),
            _await(workflow.group(step("echo", 3), step("echo", 4))),
            call("echo", 5),
        )

    assert outcome(carrier, beside) == [[1, 2], [3, 4], 5]


async def _await(what: Any) -> Any:
    return await what


def test_a_slow_link_hands_over_what_is_left(carrier: Carrier, settings: Any) -> None:
    settings.DURABLE_LINK_BUDGET = 0.001
    settings.DURABLE_CHUNK_BUDGET = 0.001

    async def slow(_data: Any) -> Any:
        chain = await workflow.chain(*(step("sleepy", 0.002, number) for number in range(5)))
        group = await workflow.group(*(step("sleepy", 0.002, number) for number in range(12)))
        return [chain, group, [await call("sleepy", 0.002, number) for number in range(4)]]

    assert outcome(carrier, slow) == [list(range(5)), list(range(12)), list(range(4))]
    assert carrier.errors == []
    assert sum(carrier.deliveries.values()) > 10
    assert len(activities.journal) == 21


def test_nothing_goes_on_while_the_broker_is_away_and_all_does_when_it_is_back(carrier: Carrier) -> None:
    async def away(_data: Any) -> Any:
        return await workflow.chain(step("elsewhere", 1), workflow.group(step("echo", 2), step("elsewhere", 3)))

    snippet(away)
    with carrier.broker_away():
        execution = carrier.start("flows_snippet", "away")
        for _ in range(3):
            clock.shift(20)
            carrier.sweep()
            carrier.drain()
        assert row(execution).status == ExecutionStatus.PENDING
    carrier.finish(execution)
    assert result(execution) == [1, [2, 3]]


def test_many_transactional_steps_in_sequence(carrier: Carrier, settings: Any) -> None:
    settings.DURABLE_LINK_BUDGET = 60

    async def enters(_data: Any) -> Any:
        return [await call("enter", str(number)) for number in range(300)]

    carrier.under(Faults())
    assert outcome(carrier, enters) == [str(number) for number in range(300)]
    assert carrier.errors == []
    assert carrier.sweeps <= 2
