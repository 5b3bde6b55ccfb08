"""Queries: answered by replay, with nothing written."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from automation import clock
from automation.durable import control, inbox, payloads, queries, registry, workflow
from automation.durable.common import RawValue
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.durable.snippets import begun, ended, snippet
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, row


@workflow.defn(name="queries_basket")
class Basket:
    @workflow.init
    def __init__(self) -> None:
        self.items: list[str] = []
        self.closed = False

    @workflow.run
    async def run(self) -> list[str]:
        while not self.closed:
            await workflow.wait_condition(lambda: self.closed)
        self.items.append(await call("echo", "end"))
        return self.items

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.query
    def count(self) -> int:
        return len(self.items)

    @workflow.query(name="items-from")
    def items_from(self, first: int, *, last: int = 100) -> list[str]:
        return self.items[first:last]

    @workflow.query
    async def awaited(self) -> int:
        return len(self.items)

    @workflow.query
    async def waits(self) -> None:
        await asyncio.sleep(1)

    @workflow.query
    def breaks(self) -> None:
        raise LookupError("nothing here")

    @workflow.query
    def asks(self) -> None:
        workflow.start_activity("flows_echo", 1, start_to_close_timeout=dt.timedelta(seconds=1))

    @workflow.query
    def draws(self) -> float:
        return workflow.random().random()

    @workflow.query(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> Any:
        return [name, *(payloads.decode(one.payload) for one in args)]


registry.register_workflow(Basket)


def ask(execution: uuid.UUID, name: str, *args: Any) -> Any:
    return payloads.decode(queries.ask(execution, name, payloads.encode(list(args))))


def send(execution: uuid.UUID, name: str, *args: Any) -> None:
    assert inbox.signal(execution, name, payloads.encode(list(args)))


def rows(execution: uuid.UUID) -> Any:
    """Everything that is written of an execution."""
    return (
        WorkflowExecution.objects.filter(id=execution).values().get(),
        list(ExecutionStep.objects.filter(execution_id=execution).order_by("seq").values()),
    )


def test_it_answers_of_a_running_and_a_finished_execution_and_changes_nothing(carrier: Carrier) -> None:
    execution = carrier.start("queries_basket")
    carrier.drain()
    send(execution, "add", "a")
    carrier.drain()
    before = rows(execution)
    assert ask(execution, "count") == 1
    assert ask(execution, "items-from", 0) == ["a"]
    assert ask(execution, "awaited") == 1
    assert rows(execution) == before
    send(execution, "close")
    carrier.finish(execution)
    ran = len(activities.journal)
    before = rows(execution)
    assert before[0]["status"] == ExecutionStatus.COMPLETED
    assert ask(execution, "items-from", 0) == ["a", "end"]
    assert rows(execution) == before
    assert len(activities.journal) == ran
    assert not carrier.messages


def test_an_answer_knows_of_every_signal_sent_before(carrier: Carrier) -> None:
    execution = carrier.start("queries_basket")
    assert ask(execution, "count") == 0  # not begun, and as if it had
    send(execution, "add", "early")
    assert ask(execution, "count") == 1
    carrier.drain()
    send(execution, "add", "b")
    before = rows(execution)
    assert ask(execution, "count") == 2  # no advance has seen it yet
    assert rows(execution) == before
    control.pause(execution)
    assert ask(execution, "count") == 1  # a paused execution has not taken it


def test_a_handler_only_looks(carrier: Carrier) -> None:
    execution = carrier.start("queries_basket")
    carrier.drain()
    before = rows(execution)
    for name, words in (
        ("asks", "must not ask for activity 'flows_echo'"),
        ("draws", "must not use random numbers"),
        ("waits", "it waits for something|must not"),
        ("breaks", "nothing here"),
    ):
        with pytest.raises(queries.QueryFailed, match=words):
            ask(execution, name)
    assert rows(execution) == before


def test_dynamic_and_unknown_queries(carrier: Carrier) -> None:
    execution = carrier.start("queries_basket")
    carrier.drain()
    assert ask(execution, "whatever", 1, "x") == ["whatever", 1, "x"]

    @snippet
    async def without(_data: Any) -> None:
        workflow.set_query_handler("known", lambda: 1)
        await workflow.wait_condition(lambda: False)

    other = begun(carrier, without)
    assert ask(other, "known") == 1
    with pytest.raises(queries.QueryFailed, match="'unknown' expected but not found; known are: known"):
        ask(other, "unknown")
    assert "run:" in ask(other, "__stack_trace")


def test_it_answers_of_failed_cancelled_and_terminated_executions(carrier: Carrier) -> None:
    """Their code asked for things that were never written; that is no reason not to answer."""

    @snippet
    async def half(_data: Any) -> None:
        state = {"stage": "one"}
        workflow.set_query_handler("stage", lambda: state["stage"])
        await call("echo", 1)
        state["stage"] = "two"
        asyncio.create_task(asyncio.sleep(1000))  # noqa: RUF006
        if _data == "wait":
            await workflow.wait_condition(lambda: False)

    done = ended(carrier, half)
    assert done.status == ExecutionStatus.COMPLETED
    assert ask(done.id, "stage") == "two"
    for stop in (control.terminate, control.cancel):
        execution = begun(carrier, half, "wait")
        stop(execution)
        carrier.drain()
        assert row(execution).status in (ExecutionStatus.TERMINATED, ExecutionStatus.CANCELLED)
        assert ask(execution, "stage") == "two"


def test_what_cannot_be_asked_says_why(carrier: Carrier) -> None:
    with pytest.raises(NotFound):
        ask(uuid.uuid4(), "count")
    planned = carrier.start("queries_basket", scheduled_for=clock.now() + dt.timedelta(days=1))
    with pytest.raises(Conflict, match="has not begun before"):
        ask(planned, "count")
    unknown = carrier.start("queries_basket")
    carrier.drain()
    WorkflowExecution.objects.filter(id=unknown).update(definition="queries_baskets")
    with pytest.raises(Conflict, match="did you mean 'queries_basket'"):
        ask(unknown, "count")

    @snippet
    async def parked(_data: Any) -> None:
        raise KeyError("a defect")

    broken = begun(carrier, parked)
    with pytest.raises(Conflict, match=r"is parked .*mend the code"):
        ask(broken, "count")


def test_code_that_does_not_fit_the_history_cannot_answer(carrier: Carrier) -> None:
    @snippet
    async def changing(_data: Any) -> None:
        await call("echo", 1)
        await workflow.wait_condition(lambda: False)

    execution = begun(carrier, changing)

    @snippet  # a deploy
    async def changing(_data: Any) -> None:
        await call("add", 1)

    before = rows(execution)
    with pytest.raises(Conflict, match="does not fit its history: step #1"):
        ask(execution, "count")
    assert rows(execution) == before


def test_a_program_that_only_imports_the_class_can_ask(carrier: Carrier) -> None:
    """As one that is no worker does, and has started nothing itself: it knows an id."""
    with registry.scoped():

        @workflow.defn(name="queries_elsewhere")
        class Elsewhere:
            @workflow.run
            async def run(self) -> None:
                await workflow.wait_condition(lambda: False)

            @workflow.query
            def word(self) -> str:
                return "heard"

        registry.register_workflow(Elsewhere)
        execution = carrier.start("queries_elsewhere")
        carrier.drain()
    with registry.scoped():
        assert registry.find_workflow("queries_elsewhere") is None
        assert ask(execution, "word") == "heard"
    with registry.scoped():

        @workflow.defn(name="queries_elsewhere")
        class Another(Elsewhere):
            @workflow.run
            async def run(self) -> None: ...

        with pytest.raises(Conflict, match="there is no workflow named 'queries_elsewhere'"):
            ask(execution, "word")  # which of them?
        assert Another is not Elsewhere
