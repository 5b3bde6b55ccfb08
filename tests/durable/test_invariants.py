"""The engine's promises, one test for each; each fails when the code that keeps the promise is taken away."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection

from automation import clock
from automation.durable import control, liveness, starts, states, workflow
from automation.durable.common import RetryPolicy
from automation.durable.runner import Outcome
from automation.models import Alert, Booking, ExecutionStatus, ExecutionStep, StepStatus, WorkflowExecution
from tests.durable.snippets import begun, ended, snippet, steps
from tests.flows import activities
from tests.flows.models import Posting
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, Message, result, row

ROOT = Path(__file__).resolve().parents[2]


async def two(_data: Any) -> Any:
    return [await call("echo", "one"), await call("echo", "two")]


async def sleeps(_data: Any) -> Any:
    await asyncio.sleep(86_400)
    return "woke"


def test_1_a_change_and_what_follows_from_it_commit_together_and_a_sweep_publishes_what_was_not(
    carrier: Carrier,
) -> None:
    """Whatever statement a worker dies after, no outcome is there without the step that follows from it."""
    snippet(two)
    seen: list[list[tuple[int, str, str]]] = []

    def watch(point: str) -> bool:
        if point.startswith("after ") and WorkflowExecution.objects.exists():
            seen.append(steps(WorkflowExecution.objects.get().id))
        return False

    carrier.under(Faults(kill=watch))
    execution = carrier.start("flows_snippet", "two")
    carrier.drain()
    assert result(execution) == ["one", "two"]
    states = [[status for _, _, status in at] for at in seen]
    assert ["running"] in states
    assert ["completed", "running"] in states
    assert ["completed"] not in states  # an outcome that is seen, and nothing that follows from it

    # What was not published then is published later.
    carrier.under(Faults())
    with carrier.broker_away():
        lost = carrier.start("flows_snippet", "two")
    carrier.drain()
    assert row(lost).status == ExecutionStatus.PENDING
    carrier.finish(lost)
    assert result(lost) == ["one", "two"]


def test_1_messages_are_published_after_the_commit(carrier: Carrier) -> None:
    from django.db import transaction

    snippet(two)
    with transaction.atomic():
        carrier.start("flows_snippet", "two")
        assert carrier.published == []
    assert len(carrier.published) == 1


def test_2_a_worker_that_lost_its_claim_writes_no_outcome(carrier: Carrier) -> None:
    """By its attempt number, and by the execution's epoch."""
    taken: list[int] = []

    def take_away(point: str) -> bool:
        if point == "after flows_echo" and not taken:
            taken.append(1)
            liveness.stopped(liveness._node_id)  # what the others see of a worker that is cut off
            clock.shift(settings.DURABLE_LEASE + 0.1)
            carrier.sweep()
            clock.shift(3)
            while carrier._deliver_next():
                pass
        return False

    carrier.under(Faults(kill=take_away))
    execution = begun(carrier, two)
    carrier.finish(execution)
    assert result(execution) == ["one", "two"]
    first = row(execution).steps.get(seq=1)
    assert first.attempt == 2
    assert [attempt for _, key, attempt in activities.journal if key.endswith(":1")] == [1, 2]
    assert [attempt for _, key, attempt in activities.journal if key.endswith(":2")] == [1]  # the loser carried nothing

    # The same for an attempt's number alone.
    ExecutionStep.objects.filter(id=first.id).update(status=StepStatus.RUNNING, attempt=3)
    late = Outcome(1, 2, "completed", '"late"', "", clock.now())
    held, _ = carrier.visit().statements.settle(execution, late, None, None, "somebody", clock.now())
    assert not held
    assert row(execution).steps.get(seq=1).output == '"one"'


def test_2_a_takeover_voids_what_was_decided_before_it(carrier: Carrier) -> None:
    """The decision of a visit that was overtaken is written nowhere, although its step's attempt was its own."""
    overtaken: list[int] = []

    def overtake(point: str) -> bool:
        if point == "after flows_echo" and not overtaken:
            overtaken.append(row(execution).epoch)
            WorkflowExecution.objects.filter(id=execution).update(epoch=row(execution).epoch + 1)
        if point == "after carry" and overtaken:
            carried.append(list(row(execution).steps.values_list("seq", flat=True)))
        return False

    snippet(two)
    carried: list[list[int]] = []
    execution = carrier.start("flows_snippet", "two")
    carrier.under(Faults(kill=overtake)).drain()
    assert carried[0] == [1]
    carrier.finish(execution)
    assert result(execution) == ["one", "two"]


def test_3_recovery_enqueues_and_never_executes(carrier: Carrier) -> None:
    snippet(two)
    carrier.under(Faults(kill=lambda point: point == "before flows_echo"))
    ids = [carrier.start("flows_snippet", "two") for _ in range(3)]
    carrier.drain()
    carrier.under(Faults())
    activities.journal.clear()
    before = len(carrier.published)
    clock.shift(settings.DURABLE_LEASE + 1)
    carrier.sweep()
    assert activities.journal == []
    assert len(carrier.published) > before
    # Again at once: nothing more, the rows have been moved on.
    between = len(carrier.published)
    carrier.sweep()
    assert len(carrier.published) == between
    carrier.finish(*ids)

    # The same for what nobody has begun yet.
    with carrier.broker_away():
        carrier.start("flows_snippet", "two")
    clock.shift(settings.DURABLE_REPUBLISH_MIN + 1)
    for sent in (1, 0, 0):
        before = len(carrier.published)
        carrier.sweep()
        assert len(carrier.published) - before == sent
    carrier.finish()


def test_4_a_timer_is_a_row_with_its_time_before_anything_waits(carrier: Carrier) -> None:
    def lost(message: Message) -> bool:
        return message.task == "fire_timers" and not carrier.sweeps

    async def short(_data: Any) -> Any:
        before = workflow.now()
        await asyncio.sleep(2)
        return (workflow.now() - before).total_seconds()

    carrier.under(Faults(lose=lost))
    soon = begun(carrier, short)
    far = begun(carrier, sleeps)
    timer = row(far).steps.get()
    assert timer.run_at is not None
    assert abs((timer.run_at - clock.now()).total_seconds() - 86_400) < 5
    assert [message.task for message in carrier.messages] == []  # a long wait is a row, and no message
    carrier.restart_workers()
    carrier.finish(soon, far)
    assert 2 <= result(soon) < 2 + settings.DURABLE_REPUBLISH_MIN + 1
    assert result(far) == "woke"


def test_4_no_message_waits_as_long_as_a_visibility_timeout_and_many_share_one(carrier: Carrier) -> None:
    snippet(sleeps)
    ids = starts.start_many([starts.NewExecution("flows_snippet", ("sleeps",)) for _ in range(120)])
    carrier.finish(*ids)
    waits = [message.options.get("countdown") or 0 for message in carrier.published]
    assert max(waits) <= settings.DURABLE_COUNTDOWN_HORIZON < settings.CELERY_VISIBILITY_TIMEOUT / 10
    fires = [message for message in carrier.published if message.task == "fire_timers"]
    assert len(fires) < 12
    assert sum(len(message.args[0]) for message in fires) >= 120


def test_5_an_activity_runs_outside_of_any_transaction(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carried, claimed by itself, and in a chunk; only a transactional one is inside."""
    inside: dict[str, bool] = {}
    note = activities._note

    def look() -> None:
        note()
        name = activities.activity.info().activity_type
        inside[name] = inside.get(name, False) or connection.in_atomic_block or _in_transaction()

    monkeypatch.setattr(activities, "_note", look)

    async def all_ways(_data: Any) -> Any:
        await call("echo", 1)
        await workflow.group(*(workflow.step("flows_add", n, 1) for n in range(4)))
        await workflow.chain(workflow.step("flows_elsewhere", 1), workflow.step("flows_limited", 2))
        await call("enter", "row")

    ended(carrier, all_ways)
    assert inside == {
        "flows_echo": False,
        "flows_add": False,
        "flows_elsewhere": False,
        "flows_limited": False,
        "flows_enter": True,
    }


def _in_transaction() -> bool:
    if connection.vendor != "postgresql":
        return False
    return bool(connection.connection.pgconn.transaction_status != 0)


def test_6_a_transactional_activity_takes_effect_once_and_keys_never_change(carrier: Carrier) -> None:
    """At whatever point its worker dies; and a plain activity's attempts share one key."""

    async def enters(_data: Any) -> Any:
        return [await call("enter", "once"), await call("flaky", "kept", 2)]

    quiet = begun(carrier, enters)
    carrier.finish(quiet)
    for point in sorted(carrier.points):
        Posting.objects.all().delete()
        activities.journal.clear()
        died: list[str] = []

        def kill(here: str, point: str = point, died: list[str] = died) -> bool:
            if here == point and not died:
                died.append(here)
                return True
            return False

        execution = carrier.under(Faults(kill=kill)).start("flows_snippet", "enters")
        carrier.finish(execution)
        assert Posting.objects.count() == 1, point
        keys = {key for name, key, _ in activities.journal if name == "flows_flaky"}
        assert keys == {f"{execution}:2"}, point


def test_6_a_transactional_activity_that_lost_its_claim_rolls_back(carrier: Carrier) -> None:
    def take_away(point: str) -> bool:
        if point == "before settle" and not Posting.objects.filter(note="taken").exists():
            assert Posting.objects.count() == 1
            Posting.objects.update(note="taken")
            # Within its own transaction, as nobody else could: the row is locked.
            ExecutionStep.objects.update(attempt=7)
        return False

    async def enters(_data: Any) -> Any:
        return await call("enter", "mine")

    carrier.under(Faults(kill=take_away))
    execution = begun(carrier, enters)
    assert Posting.objects.count() == 0
    carrier.under(Faults())
    liveness_rows = row(execution).steps.get()
    assert (liveness_rows.status, liveness_rows.attempt) == ("running", 1)


def test_7_a_join_is_decided_by_rows(carrier: Carrier) -> None:
    """The chord's body never comes, or comes early and five times: the canvas goes on once, when its rows say so."""

    async def joins(_data: Any) -> Any:
        return await workflow.chain(
            workflow.group(*(workflow.step("flows_echo", n) for n in range(6))),
            workflow.step("flows_enter", "after"),
        )

    carrier.under(Faults(lose=lambda message: message.task == "join_steps"))
    lost = begun(carrier, joins)
    carrier.settle(lost)
    carrier.under(Faults())
    carrier.finish(lost, days=0.01)
    assert result(lost) == [[0, 1, 2, 3, 4, 5], "after"]

    Posting.objects.all().delete()

    def dies_before_it_asks(point: str) -> bool:
        members = ExecutionStep.objects.filter(execution__status=ExecutionStatus.RUNNING, stage=0)
        return point == "before publish" and not carrier.deaths and not members.exclude(status="completed").exists()

    carrier.under(Faults(kill=dies_before_it_asks, lose=lambda message: message.task == "join_steps"))
    alone = begun(carrier, joins)
    carrier.settle(alone)
    carrier.under(Faults())
    carrier.finish(alone, days=0.01)
    assert result(alone) == [[0, 1, 2, 3, 4, 5], "after"]

    Posting.objects.all().delete()
    early = carrier.start("flows_snippet", "joins")
    for _ in range(200):
        for _ in range(2):
            carrier.messages.append(
                Message("join_steps", [str(early), 1], settings.WORKFLOW_TASK_QUEUE, clock.timestamp())
            )
        if not carrier.messages or (row(early).status != ExecutionStatus.RUNNING and row(early).started_at):
            break
        for _ in range(4):
            carrier._deliver_next()
        clock.shift(0.1)
    carrier.finish(early)
    assert result(early) == [[0, 1, 2, 3, 4, 5], "after"]
    assert Posting.objects.count() == 1


def test_7_a_join_that_comes_while_a_member_runs_starts_nothing(carrier: Carrier) -> None:
    async def joins(_data: Any) -> Any:
        return await workflow.chain(
            workflow.group(workflow.step("flows_echo", 1), workflow.step("flows_echo", 2)),
            workflow.step("flows_enter", "after"),
        )

    asked: list[tuple[str, bool]] = []

    def ask(point: str) -> bool:
        members = ExecutionStep.objects.filter(stage=0)
        if point == "before flows_echo" and not members.filter(status="pending").exists():
            progress = states.progress(members[0].execution_id, 1, clock.now())
            asked.append((ExecutionStep.objects.get(stage=1).status, progress.ended or bool(progress.ready)))
        return False

    carrier.under(Faults(kill=ask))
    execution = ended(carrier, joins)
    assert result(execution.id) == [[1, 2], "after"]
    assert asked
    assert set(asked) == {("pending", False)}


def test_7_a_canvas_whose_messages_all_vanish_is_rebuilt(carrier: Carrier) -> None:
    async def vanishes(_data: Any) -> Any:
        return await workflow.chain(
            workflow.step("flows_echo", 1),
            workflow.group(workflow.step("flows_echo", 2), workflow.step("flows_elsewhere", 3)),
            workflow.step("flows_elsewhere", 4),
        )

    snippet(vanishes)
    execution = carrier.start("flows_snippet", "vanishes")
    for _ in range(60):
        carrier.deliver_one()
        carrier.forget_messages()
        if row(execution).status == ExecutionStatus.COMPLETED:
            break
        clock.shift(5)
        carrier.sweep()
    assert result(execution) == [1, [2, 3], 4]


def test_8_a_dead_worker_is_noticed_by_its_missing_heartbeat(carrier: Carrier) -> None:
    carrier.under(Faults(kill=lambda point: point == "before flows_echo" and not carrier.deaths))
    execution = begun(carrier, two)
    before = clock.timestamp()
    carrier.finish(execution)
    begun_again = row(execution).steps.get(seq=1).started_at
    assert begun_again is not None
    assert begun_again.timestamp() - before < settings.DURABLE_LEASE + 1 < settings.CELERY_VISIBILITY_TIMEOUT / 10


def test_8_a_living_worker_keeps_its_step_beyond_the_lease(carrier: Carrier) -> None:
    def linger(point: str) -> bool:
        if point == "before flows_echo":
            for _ in range(3):
                clock.shift(settings.DURABLE_LEASE + 0.5)
                carrier.sweep()
                carrier._deliver_next()
        return False

    carrier.under(Faults(kill=linger))
    execution = begun(carrier, two)
    carrier.finish(execution)
    assert [attempt for _, _, attempt in activities.journal] == [1, 1]


def test_9_other_code_parks_the_execution_with_its_history_untouched(carrier: Carrier) -> None:
    async def other(_data: Any) -> Any:
        return await call("add", 1, 1)

    execution = begun(carrier, sleeps)
    carrier.restart_workers()
    before = list(ExecutionStep.objects.filter(execution=execution).values())
    snippet.known["sleeps"] = other
    carrier.visit().executions([(execution, None)])
    parked = row(execution)
    assert parked.status == ExecutionStatus.PARKED
    assert parked.error_message == (
        "NondeterminismError: step #1: the history says timer 'timer', but the code asks for activity 'flows_add'"
    )
    assert list(ExecutionStep.objects.filter(execution=execution).values()) == before
    snippet.known["sleeps"] = sleeps
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == "woke"


def test_10_poison_ends_in_a_visible_dead_letter_with_an_alert(carrier: Carrier) -> None:
    async def poison(_data: Any) -> Any:
        return await call("echo", "poison", retry_policy=RetryPolicy())

    carrier.under(Faults(kill=lambda point: point == "before flows_echo"))
    execution = begun(carrier, poison)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.DEAD_LETTER
    assert len(carrier.deaths) == settings.DURABLE_MAX_RECOVERIES + 1
    assert Alert.objects.get(closed_at=None).execution_id == execution


def test_11_only_the_engine_s_own_modules_write_a_status() -> None:
    """`states`, the statements beside it, and what they are called by; nothing outside of `automation/durable`."""
    writes = re.compile(
        r"(\.update\(|bulk_update\(|update_fields=)[^)]*\bstatus\b|"
        r"UPDATE automation_(workflowexecution|executionstep)",
        re.DOTALL,
    )
    strangers = []
    for path in [*ROOT.glob("automation/**/*.py"), *ROOT.glob("tasks/*.py")]:
        text = path.read_text()
        about_us = (
            re.search(r"\b(WorkflowExecution|ExecutionStep)\b.*objects", text) or "automation_executionstep" in text
        )
        if not about_us or "/durable/" in str(path) or "/migrations/" in str(path):
            continue
        for match in writes.finditer(text):
            before = text[max(0, match.start() - 300) : match.end()]
            if re.search(r"(WorkflowExecution|ExecutionStep)\b", before) and "Booking" not in before[-200:]:
                strangers.append(f"{path.relative_to(ROOT)}: {match.group(0)[:80]!r}")
    assert strangers == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="row locks")
def test_11_executions_are_locked_before_steps(carrier: Carrier) -> None:
    """An append that cannot have the execution's lock holds no step's lock while it waits."""
    import threading

    from django.db import connections, transaction

    execution = begun(carrier, sleeps)
    waiting, free = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                WorkflowExecution.objects.select_for_update().get(id=execution)
                waiting.set()
                free.wait(20)
                # With the execution's lock held, every step of it can be had.
                ExecutionStep.objects.select_for_update(nowait=True).filter(execution=execution).first()
        finally:
            connections.close_all()

    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            hold()
        except BaseException as error:
            failed.append(error)

    holder = threading.Thread(target=guarded)
    holder.start()
    waiting.wait(20)

    def cancel() -> None:
        try:
            control.cancel(execution)
        finally:
            connections.close_all()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    free.set()
    holder.join(20)
    canceller.join(20)
    assert failed == []
    carrier.drain()
    carrier.visit().executions([(execution, None)])
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.CANCELLED


def test_12_workflow_code_s_clock_is_history_s(carrier: Carrier) -> None:
    async def clocks(_data: Any) -> Any:
        seen = [workflow.time(), asyncio.get_running_loop().time()]
        await call("echo", seen)
        await asyncio.sleep(600)
        return [*seen, workflow.time()]

    execution = begun(carrier, clocks)
    recorded = row(execution).steps.get(seq=1).input
    carrier.restart_workers()
    clock.shift(5000)
    carrier.finish(execution)
    first, second, later = result(execution)
    assert first == second
    assert f"[[{first!r},{second!r}]]" == recorded
    assert 600 <= later - first < 6000 + 5


def test_12_asyncio_s_io_and_the_orm_are_refused(carrier: Carrier) -> None:
    async def strays(_data: Any) -> Any:
        said = []
        for stray in (
            lambda: asyncio.open_connection("127.0.0.1", 9),
            lambda: asyncio.to_thread(print),
            lambda: asyncio.create_subprocess_exec("true"),
        ):
            try:
                await stray()
            except RuntimeError as error:  # asyncio's own NotImplementedError is one, too
                said.append("refused" if "is refused in workflow code" in str(error) else repr(error))
        try:
            Booking.objects.count()
        except SynchronousOnlyOperation:
            said.append("refused")
        return said

    assert result(ended(carrier, strays).id) == ["refused"] * 4


def test_12_the_same_order_in_every_process(carrier: Carrier) -> None:
    """Sets of tasks are walked by number, not by address: a task group cancels in the same order everywhere."""

    async def cancels(_data: Any) -> Any:
        order: list[int] = []

        async def member(number: int) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                order.append(number)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(30):
                    group.create_task(member(number))
                await asyncio.sleep(1)
                raise ValueError("stop")
        except BaseExceptionGroup:
            return order

    assert result(ended(carrier, cancels).id) == list(range(30))


def test_the_times_of_this_module_are_quick() -> None:
    """What the tests above measure against."""
    assert settings.DURABLE_LEASE <= 2
    assert dt.timedelta(seconds=settings.CELERY_VISIBILITY_TIMEOUT) >= dt.timedelta(minutes=30)
