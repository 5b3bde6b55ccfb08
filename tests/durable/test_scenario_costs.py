"""A step costs the same wherever in a long history it stands.

What is counted is work, which is the same on every machine: the instructions of the engine's Python, the rows that
PostgreSQL fetches, and the bytes of the messages, for twenty steps from the 10th on and for as many up to the 1,000th.
Two workers, each with live runs of its own, share the execution.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection

import automation
from automation import clock
from automation.durable import current, inbox, payloads, postgres, workflow
from automation.durable.testing import WorkflowEnvironment
from automation.models import WorkflowExecution
from tests.durable.snippets import outcome, snippet
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result

COUNT = 1000
WINDOWS = {10: "early", 975: "late"}
WIDTH = 20

ENGINE = automation.__file__.removesuffix("__init__.py")
GENERATED = "<string>"
"""Where the code of dataclasses and of named tuples says that it is from."""

FORGETFUL = 180_000
"""The first version of PostgreSQL that forgets, when it is asked to, what it has found out about a table."""
TABLES = ("automation_executionstep", "automation_workflowexecution")


@dataclass(frozen=True)
class Work:
    instructions: int
    rows: int
    bytes: int


class Meter:
    """Counts the work between two numbers of steps; workflow code tells it the number, once each.

    The rows that a sweep reads are left out: it looks at what is due of all executions, and PostgreSQL finds these by
    the index on `due` once it has seen that there are more than one."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.instructions = 0
        self.swept = 0
        self.spent: dict[str, Work] = {}
        self._begun: Work | None = None

    def sweep(self) -> None:
        before = _rows_fetched()
        self.carrier.sweep()
        self.swept += _rows_fetched() - before

    def reached(self, number: int) -> None:
        if workflow.unsafe.is_replaying():
            return
        if number in WINDOWS:
            with current.outside():
                self._begun = self._work()
                sys.settrace(self._trace)
        elif number - WIDTH in WINDOWS and self._begun is not None:
            sys.settrace(None)
            with current.outside():
                now, begun = self._work(), self._begun
            spent = Work(now.instructions - begun.instructions, now.rows - begun.rows, now.bytes - begun.bytes)
            self.spent[WINDOWS[number - WIDTH]] = spent

    def _work(self) -> Work:
        sent = sum(len(json.dumps(message.args)) for message in self.carrier.published)
        return Work(self.instructions, _rows_fetched() - self.swept, sent)

    def _trace(self, frame: Any, _event: str, _arg: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(ENGINE) and name != GENERATED:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    def _count(self, _frame: Any, event: str, _arg: Any) -> Any:
        self.instructions += event == "opcode"
        return self._count


def _rows_fetched() -> int:
    """Rows of executions and steps that this database has read so far; 0 where it does not say."""
    if connection.vendor != "postgresql" or connection.cursor().connection.info.server_version < FORGETFUL:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT SUM(COALESCE(idx_tup_fetch, 0) + seq_tup_read) FROM pg_stat_user_tables "
            "WHERE relname IN ('automation_executionstep', 'automation_workflowexecution')"
        )
        return int(cursor.fetchone()[0])


Reached = Callable[[int], None]


async def in_one_visit(reached: Reached) -> None:
    for number in range(COUNT):
        reached(number)
        await call("echo", number)


async def a_message_each(reached: Reached) -> None:
    """From queue to queue, while something from the beginning is still waited for."""
    waiting = asyncio.create_task(asyncio.sleep(86_400 * 365))
    for number in range(COUNT):
        reached(number)
        await call("echo" if number % 2 else "elsewhere", number)
    waiting.cancel()


async def in_groups(reached: Reached) -> None:
    for number in range(0, COUNT, 5):
        reached(number)
        await workflow.group(*(workflow.step("flows_echo", number + member) for member in range(5)))


async def timers_of_a_day(reached: Reached) -> None:
    for number in range(COUNT):
        reached(number)
        # Those between the two that are counted need not wait for a sweep each.
        counted = any(number in range(first, first + WIDTH) for first in WINDOWS)
        await workflow.sleep(dt.timedelta(days=1) if counted else 5)


async def timers_that_are_cancelled(reached: Reached) -> None:
    came: list[int] = []
    workflow.set_signal_handler("come", came.append)
    for number in range(COUNT):
        reached(number)
        await workflow.wait_condition(lambda number=number: len(came) > number, timeout=3600)
    assert came == list(range(COUNT))


def drive(meter: Meter) -> None:
    """To the end, with nothing that reads rows but the engine."""
    carrier, rest = meter.carrier, 0
    while carrier.messages or rest < 2:
        carrier.settle()
        clock.shift(86_400)
        meter.sweep()
        rest = 0 if carrier.messages else rest + 1


def send_one_by_one(meter: Meter) -> None:
    execution = WorkflowExecution.objects.get().id
    for number in range(COUNT):
        meter.carrier.drain()
        inbox.signal(execution, "come", payloads.encode([number]))
    meter.carrier.drain()


@pytest.fixture(autouse=True)
def by_index(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What PostgreSQL last saw of the tables is an accident of the tests before: it may read them as a whole, or by an
    index for something else. The rows that are counted here are those of tables that it knows nothing special of."""
    if connection.vendor != "postgresql":
        yield
        return
    monkeypatch.setattr(postgres, "_plan_freely", postgres._plan_by_index)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        for table in TABLES if cursor.connection.info.server_version >= FORGETFUL else ():
            cursor.execute("SELECT pg_clear_relation_stats('public', %s)", [table])
            cursor.execute(
                "SELECT pg_clear_attribute_stats('public', %s, attname::text, FALSE) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [table, table],
            )
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET enable_seqscan")


@pytest.mark.parametrize(
    ("code", "driven"),
    [
        (in_one_visit, drive),
        (a_message_each, drive),
        (in_groups, drive),
        (timers_of_a_day, drive),
        (timers_that_are_cancelled, send_one_by_one),
    ],
    ids=lambda one: one.__name__,
)
def test_the_thousandth_step_costs_no_more_than_twice_the_tenth(
    carrier: Carrier, settings: Any, code: Any, driven: Callable[[Meter], None]
) -> None:
    settings.DURABLE_LINK_BUDGET = settings.DURABLE_CHUNK_BUDGET = 1000  # what a visit does depends on no clock
    meter = Meter(carrier)

    @snippet
    async def many(_data: Any) -> str:
        await code(meter.reached)
        return "all of them"

    execution = carrier.start("flows_snippet", "many")
    try:
        driven(meter)
    finally:
        sys.settrace(None)
    carrier.finish(execution)
    assert result(execution) == "all of them"
    early, late = meter.spent["early"], meter.spent["late"]
    print(code.__name__, early, late)
    assert early.instructions > 20_000, "nothing was counted"
    assert late.instructions <= 2 * early.instructions
    assert late.rows <= 2 * early.rows
    assert late.bytes <= 2 * early.bytes


def test_signals_that_come_out_of_order_are_handled_in_theirs(carrier: Carrier) -> None:
    """Each has a number; the code deals with a number when its turn has come, with a step for each."""
    count = 60

    @snippet
    async def in_turn(_data: Any) -> list[int]:
        arrived: dict[int, str] = {}
        handled: list[int] = []
        workflow.set_signal_handler("part", arrived.setdefault)
        while len(handled) < count:
            await workflow.wait_condition(lambda: len(handled) in arrived)
            assert await call("echo", arrived.pop(len(handled))) == f"part {len(handled)}"
            handled.append(len(handled))
        return handled

    carrier.under(Faults(order="random", copies=2, loss=0.1, budget=20, interleaving=0.2, seed=24))
    execution = carrier.start("flows_snippet", "in_turn")
    numbers = list(range(count))
    random.Random(24).shuffle(numbers)
    for number in numbers:
        assert inbox.signal(execution, "part", payloads.encode([number, f"part {number}"])) is not None
        carrier.deliver_one()
    carrier.finish(execution)
    assert result(execution) == list(range(count))


def test_a_thousand_steps_at_once_come_back_in_order(carrier: Carrier) -> None:
    async def at_once(_data: Any) -> Any:
        return await asyncio.gather(*(call("echo", number) for number in range(COUNT)))

    assert outcome(carrier, at_once) == list(range(COUNT))


def test_a_thousand_timers_at_once_ring_each_at_its_own_time() -> None:
    @workflow.defn(name="scenario_bells")
    class Bells:
        @workflow.run
        async def run(self) -> list[float]:
            began = workflow.time()
            rang: list[float] = []

            async def ring(seconds: float) -> None:
                await asyncio.sleep(seconds)
                rang.append(round(workflow.time() - began, 3))

            # Asked for in another order than they are due in, twenty for each time.
            await asyncio.gather(*(ring(10.0 + number * 7 % 50) for number in range(COUNT)))
            return rang

    with WorkflowEnvironment.start_time_skipping(workflows=[Bells]) as env:
        assert env.run(Bells.run) == [10.0 + number // 20 for number in range(COUNT)]
