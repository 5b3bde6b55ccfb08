"""Replay: same rows in, same decisions out; other code is parked with its history untouched."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from automation.durable import control, workflow
from automation.durable.exceptions import NondeterminismError
from automation.models import Alert, ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, ended, snippet, steps
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, result, row


def history(execution: uuid.UUID) -> list[tuple[Any, ...]]:
    fields = [field.name for field in ExecutionStep._meta.fields if field.name not in ("due",)]
    return list(ExecutionStep.objects.filter(execution=execution).order_by("seq").values_list(*fields))


def deploy(name: str, function: Any) -> None:
    """Put other code under a name that executions run already."""
    snippet.known[name] = function


async def changing(_data: Any) -> Any:
    first = await call("echo", "first")
    await asyncio.sleep(86_400)
    return [first, await call("add", 1, 2)]


async def _other_activity(_data: Any) -> Any:
    await call("add", 5, 5)
    await asyncio.sleep(86_400)


async def _other_kind(_data: Any) -> Any:
    await asyncio.sleep(5)
    await call("echo", "first")


async def _one_more(_data: Any) -> Any:
    first = await call("echo", "first")
    slept = asyncio.create_task(asyncio.sleep(86_400))
    more = asyncio.create_task(call("echo", "more"))
    await asyncio.gather(slept, more)
    return first


async def _one_less(_data: Any) -> Any:
    return await call("echo", "first")


@pytest.mark.parametrize(
    ("code", "seq", "expected", "actual"),
    [
        (_other_activity, 1, "activity 'flows_echo'", "activity 'flows_add'"),
        (_other_kind, 1, "activity 'flows_echo'", "timer 'timer'"),
        (_one_more, 3, "nothing at that point", "activity 'flows_echo'"),
        (_one_less, 2, "timer 'timer'", "nothing more"),
    ],
)
def test_other_code_is_parked_and_goes_on_when_it_is_put_back(
    carrier: Carrier, code: Any, seq: int, expected: str, actual: str
) -> None:
    execution = begun(carrier, changing)
    assert len(steps(execution)) == 2
    carrier.restart_workers()
    deploy("changing", code)
    before = history(execution)
    control_row = row(execution)
    carrier.point("")
    carrier.visit().executions([(execution, None)])

    parked = row(execution)
    assert parked.status == ExecutionStatus.PARKED
    assert f"step #{seq}: the history says {expected}" in parked.error_message
    assert f"the code asks for {actual}" in parked.error_message
    assert history(execution) == before
    assert Alert.objects.get(kind="parked").execution_id == execution
    assert parked.started_at == control_row.started_at

    carrier.finish(execution)  # sweeps leave it where it is
    assert row(execution).status == ExecutionStatus.PARKED
    deploy("changing", changing)
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == ["first", 3]
    assert Alert.objects.get().closed_at is not None
    assert [name for name, _, _ in activities.journal] == ["flows_echo", "flows_add"]


def test_code_cannot_swallow_the_error(carrier: Carrier) -> None:
    async def swallows(_data: Any) -> Any:
        try:
            await call("echo", 1)
        except Exception:
            return "swallowed"
        return await asyncio.sleep(1000)

    async def other(_data: Any) -> Any:
        try:
            await call("add", 1, 1)
        except BaseException:
            return "swallowed"

    execution = begun(carrier, swallows)
    carrier.restart_workers()
    deploy("swallows", other)
    carrier.visit().executions([(execution, None)])
    assert row(execution).status == ExecutionStatus.PARKED


def test_the_error_names_its_parts() -> None:
    error = NondeterminismError(3, "activity 'a'", "timer 'timer'")
    assert (error.seq, error.expected, error.actual) == (3, "activity 'a'", "timer 'timer'")
    assert not isinstance(error, Exception)


def test_a_defect_of_the_code_parks_and_a_mended_deploy_goes_on(carrier: Carrier) -> None:
    async def defect(_data: Any) -> Any:
        first = await call("echo", 1)
        return first + None  # type: ignore[operator]

    async def mended(_data: Any) -> Any:
        return await call("echo", 1) + 1

    execution = begun(carrier, defect)
    assert row(execution).status == ExecutionStatus.PARKED
    assert "TypeError" in row(execution).error_message
    deploy("defect", mended)
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == 2
    assert len(activities.journal) == 1


@pytest.mark.parametrize("name", ["mislabelled"])
def test_a_result_that_does_not_fit_its_annotation_parks(carrier: Carrier, name: str) -> None:
    async def misled(_data: Any) -> Any:
        return await call("mislabelled")

    row_ = ended(carrier, misled)
    assert row_.status == ExecutionStatus.PARKED
    assert "result of step #1 'flows_mislabelled'" in row_.error_message
    assert carrier.errors == []


def test_a_dataclass_comes_back_as_one(carrier: Carrier) -> None:
    async def points(_data: Any) -> Any:
        point = await call("point", 3, 4)
        assert isinstance(point, activities.Point)
        return point.x + point.y

    row_ = ended(carrier, points)
    assert result(row_.id) == 7


def test_a_result_that_cannot_be_written_fails_the_step_and_names_the_place(carrier: Carrier) -> None:
    from automation.durable.exceptions import ActivityError

    async def unwritable(_data: Any) -> Any:
        try:
            await call("unwritable")
        except ActivityError as error:
            return str(error.cause)

    assert "result of activity 'flows_unwritable'['handle']" in result(ended(carrier, unwritable).id)


def test_a_result_of_the_workflow_that_cannot_be_written_parks(carrier: Carrier) -> None:
    async def opaque(_data: Any) -> Any:
        return {"handle": object()}

    row_ = ended(carrier, opaque)
    assert row_.status == ExecutionStatus.PARKED
    assert "result['handle']" in row_.error_message


def test_a_condition_that_raises_parks(carrier: Carrier) -> None:
    async def broken(_data: Any) -> Any:
        await call("echo", 1)
        await workflow.wait_condition(lambda: bool({}["no"]))  # type: ignore[call-overload]

    async def breaks_later(_data: Any) -> Any:
        box: list[int] = []
        waiting = asyncio.create_task(workflow.wait_condition(lambda: box[0] == 1 if box else False))
        box.append("x")  # type: ignore[arg-type]
        await call("echo", 1)
        await waiting

    assert ended(carrier, broken).status == ExecutionStatus.PARKED
    execution = begun(carrier, breaks_later)
    assert row(execution).status in (ExecutionStatus.RUNNING, ExecutionStatus.PARKED)
    assert carrier.errors == []


def test_an_unknown_workflow_is_parked_until_a_worker_knows_it(carrier: Carrier) -> None:
    execution = carrier.start("flows_no_such")
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.PARKED
    assert "there is no workflow named 'flows_no_such'" in row(execution).error_message


def test_arguments_that_do_not_fit_park(carrier: Carrier) -> None:
    execution = carrier.start("flows_script", 1, 2, 3)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.PARKED


def test_one_execution_s_defect_leaves_the_others_of_its_message_alone(carrier: Carrier) -> None:
    async def fine(_data: Any) -> Any:
        return await call("echo", "fine")

    snippet(fine)
    bad = carrier.start("flows_no_such")
    good = [carrier.start("flows_snippet", "fine") for _ in range(3)]
    carrier.forget_messages()
    carrier.visit().executions([(id_, None) for id_ in (bad, *good)])
    carrier.finish()
    assert [result(id_) for id_ in good] == ["fine"] * 3
    assert row(bad).status == ExecutionStatus.PARKED


def test_every_prefix_of_a_history_replays(carrier: Carrier) -> None:
    """Workers are replaced after every message: each advance is a replay from the rows."""

    async def long(_data: Any) -> Any:
        total = 0
        for number in range(6):
            left, right = await asyncio.gather(call("add", total, number), call("elsewhere", 1))
            total = left + right
            await asyncio.sleep(3600 * number)
            total += sum(await workflow.group(*(workflow.step("flows_echo", n) for n in range(3))))
        return total

    execution = begun(carrier, long)
    while WorkflowExecution.objects.filter(id=execution, status="running").exists():
        carrier.restart_workers()
        if not carrier.deliver_one():
            carrier._move_on(2e12, [execution])
    assert result(execution) == 15 + 6 + 18


def test_outcomes_that_come_together_are_seen_in_the_order_of_their_times(carrier: Carrier) -> None:
    async def races(_data: Any) -> Any:
        seen: list[str] = []

        async def one(name: str) -> None:
            seen.append(await call("echo", name))

        await asyncio.gather(*(one(name) for name in "abcdef"))
        await asyncio.sleep(86_400)
        return seen

    execution = begun(carrier, races)
    order = list(row(execution).steps.filter(kind="activity").order_by("resolved_seq").values_list("seq", flat=True))
    times = list(row(execution).steps.filter(kind="activity").order_by("resolved_seq").values_list("completed_at"))
    assert times == sorted(times)
    carrier.restart_workers()
    carrier.finish(execution)
    assert result(execution) == ["abcdef"[seq - 1] for seq in order]
