"""Texts that no database takes, and other hostile values, where workflow code and callers say them: refused with their
place, or made harmless; and never another execution's matter."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from typing import Any

import pytest
from django.db import DataError

from automation import clock
from automation.durable import control, deliveries, id_policies, inbox, payloads, postgres, starts, texts, workflow
from automation.durable.client import SyncClient
from automation.durable.exceptions import ApplicationError
from automation.errors import InvalidInput, NotFound
from automation.models import OPEN_STATUSES, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, ended, outcome, snippet
from tests.flows.workflows import call
from tests.support.carrier import Carrier, result, row

LIMIT = dt.timedelta(seconds=5)
NUL, LONE, LONG = "nul \0", "lone \ud800", "x" * 300


async def activity(data: Any) -> Any:
    return await workflow.execute_activity(data, start_to_close_timeout=LIMIT)


async def queue(data: Any) -> Any:
    return await workflow.execute_activity("flows_echo", 1, task_queue=data, start_to_close_timeout=LIMIT)


async def member(data: Any) -> Any:
    return await workflow.group(workflow.step(data), workflow.step("flows_echo", 1))


async def child(data: Any) -> Any:
    return await workflow.execute_child_workflow("flows_script", ["sleep", 1], id=data)


async def child_queue(data: Any) -> Any:
    return await workflow.execute_child_workflow("flows_script", ["sleep", 1], task_queue=data)


async def attribute(data: Any) -> Any:
    workflow.upsert_search_attributes({data: ["x"]})


async def patch(data: Any) -> Any:
    return workflow.patched(data)


async def next_queue(data: Any) -> Any:
    workflow.continue_as_new(args=["next_queue", data], task_queue=data)


def at_odds() -> Any:
    return workflow.execute_activity("flows_echo", 1, priority=-1, start_to_close_timeout=LIMIT)


async def urgent(_data: Any) -> Any:
    return await at_odds()


async def urgent_among_others(_data: Any) -> Any:
    return await asyncio.gather(call("echo", 1), at_odds())


async def then_urgent(_data: Any) -> Any:
    await call("echo", 1)
    return await at_odds()


async def fails(data: Any) -> Any:
    raise ApplicationError(data)


async def passes_on(data: Any) -> Any:
    return await call("refuse", data)


async def fine(data: Any) -> Any:
    return data


def beside_another(carrier: Carrier, function: Any, data: Any) -> WorkflowExecution:
    """An execution of this code that travels together with an innocent one, which must not suffer."""
    snippet(function)
    snippet(fine)
    hostile, innocent = starts.start_many(
        [
            starts.NewExecution("flows_snippet", (function.__name__, data)),
            starts.NewExecution("flows_snippet", ("fine", 1)),
        ]
    )
    for _ in range(10):
        carrier.drain()
        if not WorkflowExecution.objects.filter(status__in=OPEN_STATUSES).exists():
            break
        clock.shift(3)
        carrier.sweep()
    assert carrier.errors == []
    assert result(innocent) == 1
    return row(hostile)


@pytest.mark.parametrize("data", [NUL, LONE, LONG], ids=["nul", "surrogate", "long"])
@pytest.mark.parametrize(
    "function", [activity, queue, member, child, child_queue, attribute, patch, next_queue], ids=lambda f: f.__name__
)
def test_a_name_that_no_row_can_hold_is_refused_where_the_code_says_it(
    carrier: Carrier, function: Any, data: str
) -> None:
    parked = beside_another(carrier, function, data)
    assert parked.status == "parked"
    assert "InvalidInput" in parked.error_message
    assert "characters" in parked.error_message
    assert parked.steps.count() == 0


@pytest.mark.parametrize("function", [urgent, urgent_among_others], ids=lambda f: f.__name__)
def test_a_decision_that_the_database_refuses_parks_its_own_execution_alone(carrier: Carrier, function: Any) -> None:
    parked = beside_another(carrier, function, None)
    assert parked.status == "parked"
    assert "IntegrityError" in parked.error_message


async def notes_and_is_urgent(_data: Any) -> Any:
    workflow.upsert_memo({"note": "lost"})
    return await asyncio.gather(call("echo", 1), at_odds())


async def waits(_data: Any) -> Any:
    await asyncio.sleep(3600)


async def notes_and_waits(_data: Any) -> Any:
    workflow.upsert_memo({"note": "kept"})
    await asyncio.gather(asyncio.sleep(3600), workflow.execute_child_workflow("flows_script", ["sleep", 3600]))


async def ends(_data: Any) -> Any:
    return "at once"


def test_a_decision_that_is_refused_leaves_those_alone_that_were_written_with_it(carrier: Carrier) -> None:
    functions = [waits, notes_and_waits, ends, notes_and_is_urgent, waits, notes_and_waits, ends]
    ids = starts.start_many(
        [starts.NewExecution("flows_snippet", (snippet(function).__name__, None)) for function in functions]
    )
    carrier.drain()
    assert carrier.errors == []
    rows = [row(id_) for id_ in ids]
    assert [one.error_message for one in rows if one.status == "parked"] == [rows[3].error_message]
    assert "IntegrityError" in rows[3].error_message
    assert rows[3].memo in (None, {}, "")
    for one in (rows[0], rows[4]):
        assert [step.kind for step in one.steps.all()] == ["timer"]
    for one in (rows[1], rows[5]):
        assert [step.kind for step in one.steps.order_by("seq")] == ["timer", "child"]
        assert WorkflowExecution.objects.filter(parent_id=one.id).count() == 1
    assert [result(ids[at]) for at in (2, 6)] == ["at once", "at once"]


def test_the_outcome_of_a_step_is_kept_when_what_follows_it_cannot_be_written(carrier: Carrier) -> None:
    parked = beside_another(carrier, then_urgent, None)
    assert parked.status == "parked"
    assert [(step.seq, step.status) for step in parked.steps.all()] == [(1, "completed")]


@pytest.mark.parametrize(
    ("data", "said"),
    [(NUL, "nul \\x00"), (LONE, "lone \\ud800"), ("y" * 10_000, "y" * 100)],
    ids=["nul", "surrogate", "long"],
)
def test_what_a_failure_says_is_shown_as_a_row_can_hold_it(carrier: Carrier, data: str, said: str) -> None:
    failed = beside_another(carrier, fails, data)
    assert failed.status == "failed"
    assert failed.error_message.startswith(said)
    assert len(failed.error_message) <= texts.MESSAGE
    of_activity = beside_another(carrier, passes_on, data)
    assert of_activity.status == "failed"
    assert said in of_activity.error_message


def test_a_text_with_a_nul_is_not_cut_off_on_its_way() -> None:
    """libpq would take what comes before it."""
    for value in (NUL, [NUL]):
        with pytest.raises(DataError, match="a NUL in it"):
            postgres._text(value)


@pytest.mark.parametrize("data", [NUL, LONE], ids=["nul", "surrogate"])
def test_nobody_has_an_id_that_no_row_can_hold(carrier: Carrier, data: str) -> None:
    async def tells(data: Any) -> Any:
        try:
            await workflow.get_external_workflow_handle(data).signal("x")
        except ApplicationError as error:
            return error.type

    assert outcome(carrier, tells, data) == "ExternalWorkflowExecutionNotFound"
    assert deliveries.find(data) is None
    handle = SyncClient().get_workflow_handle(data)
    for ask in (handle.describe, handle.cancel, lambda: handle.signal("x"), lambda: handle.query("x")):
        with pytest.raises(NotFound):
            ask()
    for new in (
        starts.NewExecution("flows_script", business_id=data),
        starts.NewExecution(data),
        starts.NewExecution("flows_script", queue=data),
    ):
        with pytest.raises(InvalidInput, match="no characters"):
            id_policies.start(new)


@pytest.mark.parametrize("data", [NUL, LONE], ids=["nul", "surrogate"])
def test_a_reason_is_kept_as_a_row_can_hold_it(carrier: Carrier, data: str) -> None:
    snippet(fine)

    async def waits(_data: Any) -> Any:
        await workflow.wait_condition(lambda: False)

    shown = texts.shown(data)
    cancelled, ended_at_once = begun(carrier, waits), begun(carrier, waits)
    control.cancel(cancelled, data)
    control.terminate(ended_at_once, data)
    carrier.drain()
    planned = carrier.start("flows_snippet", "fine", scheduled_for=clock.now() + dt.timedelta(days=1))
    control.cancel(planned, data)
    assert [row(id_).error_message for id_ in (cancelled, ended_at_once, planned)] == [shown] * 3
    assert [row(id_).status for id_ in (cancelled, ended_at_once, planned)] == ["cancelled", "terminated", "cancelled"]


def test_values_of_any_text_and_depth_travel_as_they_are(carrier: Carrier) -> None:
    deep: Any = NUL
    for _ in range(200):
        deep = [deep]
    value = {"texts": [NUL, LONE, LONG], NUL: LONE, "deep": deep}

    async def hears(_data: Any) -> Any:
        heard: list[Any] = []
        workflow.set_signal_handler("say", heard.append)
        await workflow.wait_condition(lambda: bool(heard))
        return await call("echo", heard[0])

    execution = begun(carrier, hears)
    inbox.signal(execution, "say", payloads.encode([value]))
    carrier.finish(execution)
    assert result(execution) == value


def test_what_is_nested_too_deeply_is_refused_with_its_place(carrier: Carrier) -> None:
    async def digs(_data: Any) -> Any:
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        return await call("echo", deep)

    parked = ended(carrier, digs)
    assert parked.status == "parked"
    assert "arguments of activity 'flows_echo': nested too deeply" in parked.error_message


def test_thousands_of_waiting_signals_are_read_in_order(carrier: Carrier) -> None:
    async def counts(number: Any) -> Any:
        heard: list[int] = []
        workflow.set_signal_handler("count", heard.append)
        await workflow.wait_condition(lambda: len(heard) == number)
        return heard == list(range(number))

    snippet(counts)
    many = int(os.environ.get("WEIR_MANY_SIGNALS", "2000"))
    execution = carrier.start("flows_snippet", "counts", many, scheduled_for=clock.now() + dt.timedelta(hours=1))
    ExecutionStep.objects.bulk_create(
        [
            ExecutionStep(
                execution_id=execution,
                seq=-number - 1,
                kind="signal",
                name="count",
                status="completed",
                options=inbox.options(early=True),
                input=payloads.encode([number]),
                completed_at=clock.now(),
            )
            for number in range(many)
        ]
    )
    WorkflowExecution.objects.filter(id=execution).update(inbox_seq=many)
    carrier.finish(execution)
    assert result(execution) is True
