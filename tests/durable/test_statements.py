"""Who may do what is decided by row counts: the same answers from PostgreSQL's statements and the portable ones."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from automation import clock
from automation.durable import control, releasing, starts, statements
from automation.durable.arrivals import Wanted
from automation.durable.inbox import signal
from automation.durable.records import Decision, Ending, NewStep, Outcome, StepRecord
from automation.durable.writing import Writing
from automation.models import ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution
from tests.support.carrier import Carrier

pytestmark = pytest.mark.usefixtures("carrier")
ME, OTHER = "node/1", "node/2"


def later(seconds: float = 10) -> dt.datetime:
    return clock.now() + dt.timedelta(seconds=seconds)


def new(seq: int, **changes: Any) -> NewStep:
    values: dict[str, Any] = {
        "kind": "activity",
        "name": f"a{seq}",
        "queue": "q",
        "priority": 0,
        "options": "",
        "input": "",
    }
    return NewStep(seq=seq, **{**values, "due": later(), **changes})


def decision(execution: uuid.UUID, epoch: int, **changes: Any) -> Decision:
    values: dict[str, Any] = {"inbox_seq": 0, "seen": [], "new": [], "cancelled": []}
    return Decision(execution, epoch, **{**values, **changes})


def done(seq: int, attempt: int = 1, output: str = '"x"') -> Outcome:
    return Outcome(seq, attempt, "completed", output, "", clock.now())


@pytest.fixture
def sql(carrier: Carrier) -> statements.Statements:
    return statements.current()


@pytest.fixture
def execution(carrier: Carrier, sql: statements.Statements) -> uuid.UUID:
    """A running execution at epoch 1, with two pending steps and one that this worker runs."""
    id_ = starts.start_many([starts.NewExecution("flows_script", (["sleep", 1],))])[0]
    sql.take_over([(id_, 0)], ME, clock.now(), later())
    steps = [new(1), new(2), new(3, status="running")]
    assert sql.append([decision(id_, 1, new=steps)], ME, clock.now()) == {id_}
    return id_


def row(id_: uuid.UUID) -> WorkflowExecution:
    return WorkflowExecution.objects.get(id=id_)


def step(id_: uuid.UUID, seq: int) -> ExecutionStep:
    return ExecutionStep.objects.get(execution=id_, seq=seq)


def record(sql: statements.Statements, id_: uuid.UUID, seq: int) -> StepRecord:
    return next(one for one in sql.load_steps([id_]) if one.seq == seq)


def claim(sql: statements.Statements, id_: uuid.UUID, seq: int, worker: str = ME) -> StepRecord | None:
    return sql.claim(record(sql, id_, seq), worker, clock.now(), later())


# -- loading -----------------------------------------------------------------------------------------------------------


def test_a_kept_run_is_told_of_what_is_new_and_of_how_its_open_steps_have_come_on(
    carrier: Carrier, sql: statements.Statements, execution: uuid.UUID
) -> None:
    other = starts.start_many([starts.NewExecution("flows_script", (["sleep", 1],))])[0]
    sql.take_over([(other, 0)], ME, clock.now(), later())
    assert sql.append([decision(other, 1, new=[new(1)])], ME, clock.now()) == {other}

    def told(*, above: int, opened: Sequence[int], below: int = 0) -> list[tuple[bool, int]]:
        wanted = [Wanted(execution, list(opened), above, below), Wanted(other, [1], 1, 0)]
        return sorted((one.execution_id == execution, one.seq) for one in sql.load_wanted(wanted))

    assert told(above=3, opened=[1, 2, 3]) == [], "there is nothing to tell of what waits or runs"
    ExecutionStep.objects.filter(execution=execution, seq=3).update(due=None)
    assert told(above=3, opened=[1, 2, 3]) == [(True, 3)], "a step that is carried, and none that waits with a time"
    assert told(above=1, opened=[1]) == [(True, 2), (True, 3)], "what others have asked for since"
    assert claim(sql, execution, 1) is not None
    sql.settle(execution, done(1), later(), None, ME, later())
    assert told(above=3, opened=[1, 2]) == [(True, 1)], "what has ended"
    assert told(above=3, opened=[2]) == [], "and nothing that is over for the run"
    assert signal(execution, "one", "[]") is not None
    assert signal(execution, "two", "[]") is not None
    assert told(above=3, opened=[]) == [(True, -2), (True, -1)]
    assert told(above=3, opened=[], below=-1) == [(True, -2)], "messages after the last one that it has read"


def test_thousands_of_outcomes_are_seen_at_once_or_not_at_all(sql: statements.Statements, execution: uuid.UUID) -> None:
    count = 700
    now = clock.now()
    ExecutionStep.objects.bulk_create(
        ExecutionStep(execution_id=execution, seq=-n, kind="signal", status="completed", created_at=now, due=now)
        for n in range(1, count + 1)
    )
    other = starts.start_many([starts.NewExecution("flows_script", (["sleep", 1],))])[0]
    sql.take_over([(other, 0)], ME, now, later())
    assert sql.append([decision(other, 1, new=[new(1)])], ME, now) == {other}
    messages = ExecutionStep.objects.filter(execution=execution, seq__lt=0)

    def see(epoch: int) -> set[uuid.UUID]:
        seen = [(-n, n) for n in range(1, count + 1)]
        decisions = [decision(execution, epoch, seen=seen), decision(other, 1, seen=[(1, 1)])]
        return sql.append(decisions, ME, now)

    assert see(0) == {other}
    assert not messages.exclude(resolved_seq=None).exists(), "nothing, in an older epoch"
    assert see(1) == {execution, other}
    assert list(messages.order_by("-seq").values_list("resolved_seq", "due")) == [(n + 1, None) for n in range(count)]
    assert step(other, 1).resolved_seq == 1


# -- taking over -------------------------------------------------------------------------------------------------------


def test_take_over_bumps_the_epoch_and_names_the_worker(sql: statements.Statements, execution: uuid.UUID) -> None:
    taken = sql.take_over([(execution, 1)], OTHER, clock.now(), later())
    assert [(one.id, one.epoch, one.status, one.steps > 0) for one in taken] == [(execution, 2, "running", True)]
    assert (row(execution).epoch, row(execution).worker, row(execution).status) == (2, OTHER, "running")


def test_take_over_leaves_out_what_is_at_another_epoch(sql: statements.Statements, execution: uuid.UUID) -> None:
    assert sql.take_over([(execution, 0)], ME, clock.now(), later()) == []
    assert sql.take_over([(execution, 2)], ME, clock.now(), later()) == []
    assert len(sql.take_over([(execution, None)], ME, clock.now(), later())) == 1
    assert sql.take_over([(uuid.uuid4(), None)], ME, clock.now(), later()) == []


@pytest.mark.parametrize("act", [control.pause, control.terminate])
def test_take_over_leaves_out_what_is_paused_or_ended(
    sql: statements.Statements, execution: uuid.UUID, act: Any
) -> None:
    act(execution)
    assert sql.take_over([(execution, None)], ME, clock.now(), later()) == []


def test_take_over_leaves_out_what_is_planned_for_later(sql: statements.Statements) -> None:
    plan = starts.NewExecution("flows_script", scheduled_for=later(60))
    id_ = starts.start_many([plan])[0]
    assert sql.take_over([(id_, 0)], ME, clock.now(), later()) == []
    assert len(sql.take_over([(id_, 0)], ME, later(60.1), later())) == 1


def test_take_over_of_many_is_one_answer(sql: statements.Statements) -> None:
    ids = starts.start_many([starts.NewExecution("flows_script") for _ in range(20)])
    taken = sql.take_over([(id_, 0) for id_ in ids], ME, clock.now(), later())
    assert {one.id for one in taken} == set(ids)
    assert {one.epoch for one in taken} == {1}
    assert sql.take_over([(id_, 0) for id_ in ids], ME, clock.now(), later()) == []


# -- appending ---------------------------------------------------------------------------------------------------------


def test_append_is_void_at_another_epoch(sql: statements.Statements, execution: uuid.UUID) -> None:
    for epoch in (0, 2):
        assert sql.append([decision(execution, epoch, new=[new(9)], cancelled=[1])], ME, clock.now()) == set()
    assert not ExecutionStep.objects.filter(seq=9).exists()
    assert step(execution, 1).status == StepStatus.PENDING


def test_append_that_settles_is_void_when_the_attempt_is_lost(sql: statements.Statements, execution: uuid.UUID) -> None:
    lost = decision(execution, 1, settled=done(3, attempt=2), settled_order=1, new=[new(9)])
    assert sql.append([lost], ME, clock.now()) == set()
    assert not ExecutionStep.objects.filter(seq=9).exists()
    held = decision(execution, 1, settled=done(3), settled_order=1, new=[new(9)])
    assert sql.append([held], ME, clock.now()) == {execution}
    assert (step(execution, 3).status, step(execution, 3).resolved_seq, step(execution, 3).due) == (
        "completed",
        1,
        None,
    )


def test_an_end_is_void_while_the_inbox_is_unread(sql: statements.Statements, execution: uuid.UUID) -> None:
    control.cancel(execution)
    end = decision(execution, 1, ending=Ending("completed", result="1"))
    assert sql.append([end], ME, clock.now()) == set()
    assert row(execution).status == ExecutionStatus.RUNNING
    end.inbox_seq = 1
    assert sql.append([end], ME, clock.now()) == {execution}
    assert (row(execution).status, row(execution).result) == ("completed", "1")


def test_an_append_that_leaves_the_inbox_unread_leaves_the_execution_due(
    sql: statements.Statements, execution: uuid.UUID
) -> None:
    control.cancel(execution)
    assert sql.append([decision(execution, 1, new=[new(9)])], ME, clock.now()) == {execution}
    assert row(execution).due is not None


def test_cancelling_takes_back_what_waits_and_asks_what_runs(sql: statements.Statements, execution: uuid.UUID) -> None:
    sql.append([decision(execution, 1, cancelled=[1, 3])], ME, clock.now())
    assert (step(execution, 1).status, step(execution, 1).resolved_seq, step(execution, 1).due) == (
        "cancelled",
        0,
        None,
    )
    assert step(execution, 2).status == StepStatus.PENDING
    assert (step(execution, 3).status, step(execution, 3).cancel_requested) == ("running", True)


def test_an_end_cuts_off_what_is_open(sql: statements.Statements, execution: uuid.UUID) -> None:
    end = decision(execution, 1, ending=Ending("failed", failure="{}"), leaves_open=True)
    assert sql.append([end], ME, clock.now()) == {execution}
    statuses = {seq: step(execution, seq).status for seq in (1, 2, 3)}
    assert statuses == {1: "cancelled", 2: "cancelled", 3: "running"}
    assert step(execution, 1).resolved_seq is None  # a retry may go on with it
    assert step(execution, 3).cancel_requested
    assert row(execution).completed_at is not None


# -- carrying ----------------------------------------------------------------------------------------------------------


def test_carry_writes_both_or_nothing(sql: statements.Statements, execution: uuid.UUID) -> None:
    refused: list[tuple[int, int, int]] = [(2, 0, 1), (0, 0, 1), (1, 1, 1), (1, 0, 2)]
    for epoch, inbox, attempt in refused:
        assert not sql.carry(execution, epoch, inbox, done(3, attempt), 1, new(9), ME)
        assert not ExecutionStep.objects.filter(seq=9).exists()
        assert step(execution, 3).status == StepStatus.RUNNING
    assert sql.carry(execution, 1, 0, done(3), 1, new(9), ME)
    assert (step(execution, 3).status, step(execution, 3).resolved_seq) == ("completed", 1)
    carried = step(execution, 9)
    assert (carried.status, carried.attempt, carried.worker) == ("running", 1, ME)
    assert not sql.carry(execution, 1, 0, done(3), 1, new(10), ME)  # an outcome is written once


def test_begin_writes_a_claimed_step_or_nothing(sql: statements.Statements, execution: uuid.UUID) -> None:
    assert not sql.begin(execution, 2, 0, new(9), ME, clock.now())
    assert not sql.begin(execution, 1, 5, new(9), ME, clock.now())
    assert sql.begin(execution, 1, 0, new(9), ME, clock.now())
    assert (step(execution, 9).status, step(execution, 9).attempt) == ("running", 1)


def test_finish_ends_or_does_nothing(sql: statements.Statements, execution: uuid.UUID) -> None:
    end = decision(execution, 2, settled=done(3), settled_order=1, ending=Ending("completed", result="7"))
    assert not sql.finish(end, ME)
    end.epoch = 1
    end.settled = done(3, attempt=4)
    assert not sql.finish(end, ME)
    assert row(execution).status == ExecutionStatus.RUNNING
    end.settled = done(3)
    assert sql.finish(end, ME)
    assert (row(execution).status, row(execution).result, row(execution).worker) == ("completed", "7", "")


# -- one step ----------------------------------------------------------------------------------------------------------


def test_a_step_is_claimed_once(sql: statements.Statements, execution: uuid.UUID) -> None:
    loaded = record(sql, execution, 1)
    claimed = sql.claim(loaded, ME, clock.now(), later())
    assert claimed is not None
    assert claimed.attempt == 1
    assert sql.claim(loaded, OTHER, clock.now(), later()) is None
    assert (step(execution, 1).status, step(execution, 1).worker) == ("running", ME)


def test_what_waits_for_its_time_is_not_claimed(sql: statements.Statements, execution: uuid.UUID) -> None:
    ExecutionStep.objects.filter(seq=1).update(run_at=later(5))
    assert claim(sql, execution, 1) is None
    assert sql.claim(record(sql, execution, 1), ME, later(5.1), later()) is not None


def test_what_waits_for_its_stage_is_not_claimed(sql: statements.Statements, execution: uuid.UUID) -> None:
    ExecutionStep.objects.filter(seq=1).update(due=None)
    assert claim(sql, execution, 1) is None


@pytest.mark.parametrize("act", [control.pause, control.terminate])
def test_nothing_of_a_paused_or_ended_execution_is_claimed(
    sql: statements.Statements, execution: uuid.UUID, act: Any
) -> None:
    loaded = record(sql, execution, 1)
    act(execution)
    assert sql.claim(loaded, ME, clock.now(), later()) is None


def test_settle_holds_only_for_the_attempt_that_runs(sql: statements.Statements, execution: uuid.UUID) -> None:
    assert sql.settle(execution, done(3, attempt=2), None, None, ME, later()) == (False, None)
    assert sql.settle(execution, done(1), None, None, ME, later()) == (False, None)
    held, following = sql.settle(execution, done(3), later(), record(sql, execution, 1), ME, later())
    assert held
    assert following is not None
    assert (following.seq, following.attempt) == (1, 1)
    assert sql.settle(execution, done(3), None, None, ME, later()) == (False, None)
    assert step(execution, 3).due is not None


def test_settle_claims_nothing_while_paused(sql: statements.Statements, execution: uuid.UUID) -> None:
    loaded = record(sql, execution, 1)
    control.pause(execution)
    assert sql.settle(execution, done(3), None, loaded, ME, later()) == (True, None)
    assert step(execution, 1).status == StepStatus.PENDING


def test_settle_many_writes_and_claims_each_by_itself(sql: statements.Statements, execution: uuid.UUID) -> None:
    assert claim(sql, execution, 1) is not None
    outcomes = [(done(1), None), (done(3, attempt=9), None)]
    wanted = [record(sql, execution, 2), record(sql, execution, 3)]
    held, claimed = sql.settle_many(execution, outcomes, wanted, ME, clock.now(), later())
    assert held == {1}
    assert [one.seq for one in claimed] == [2]
    sql.unclaim(execution, [2], ME, clock.now())
    assert (step(execution, 2).status, step(execution, 2).worker) == ("pending", "")


@pytest.mark.parametrize("how", ["claim", "settle", "settle_many"])
def test_a_claim_knows_what_came_since_the_step_was_read(
    sql: statements.Statements, execution: uuid.UUID, how: str
) -> None:
    """A worker that read the step during the attempt before, and claims it after that has failed."""
    assert claim(sql, execution, 1) is not None
    loaded = record(sql, execution, 1)
    sql.beat(execution, 1, 1, "[5]", clock.now(), later())
    assert sql.retry(execution, 1, 1, "", clock.now(), later())
    if how == "claim":
        claimed = sql.claim(loaded, OTHER, clock.now(), later())
    elif how == "settle":
        claimed = sql.settle(execution, done(3), later(), loaded, OTHER, later())[1]
    else:
        (claimed,) = sql.settle_many(execution, [], [loaded], OTHER, clock.now(), later())[1]
    assert claimed is not None
    assert (claimed.attempt, claimed.heartbeat) == (2, "[5]")


def test_retry_and_heartbeat_hold_only_for_the_attempt_that_runs(
    sql: statements.Statements, execution: uuid.UUID
) -> None:
    assert sql.beat(execution, 3, 2, "[]", clock.now(), later()) == (False, True)
    assert sql.beat(execution, 3, 1, "[1]", clock.now(), later()) == (True, False)
    assert step(execution, 3).heartbeat == "[1]"
    assert not sql.retry(execution, 3, 2, "{}", later(), later())
    assert sql.retry(execution, 3, 1, '{"message":"no"}', later(), later())
    assert (step(execution, 3).status, step(execution, 3).worker) == ("pending", "")


def test_a_cancelled_step_is_not_retried_and_its_heartbeat_says_so(
    sql: statements.Statements, execution: uuid.UUID
) -> None:
    sql.append([decision(execution, 1, cancelled=[3])], ME, clock.now())
    assert sql.beat(execution, 3, 1, "[]", clock.now(), later()) == (True, True)
    assert not sql.retry(execution, 3, 1, "{}", later(), later())


# -- timers ------------------------------------------------------------------------------------------------------------


def test_timers_fire_once_and_in_time(sql: statements.Statements, execution: uuid.UUID) -> None:
    sql.append([decision(execution, 1, new=[new(4, kind=StepKind.TIMER, run_at=later(5))])], ME, clock.now())
    assert sql.fire([(execution, 4)], clock.now(), later()) == []
    assert sql.fire([(execution, 1)], later(9), later()) == []  # no timer
    assert sql.fire([(execution, 4), (execution, 4)], later(6), later()) == [execution]
    assert sql.fire([(execution, 4)], later(6), later()) == []


def test_a_timer_does_not_fire_while_paused(sql: statements.Statements, execution: uuid.UUID) -> None:
    sql.append([decision(execution, 1, new=[new(4, kind=StepKind.TIMER, run_at=later(5))])], ME, clock.now())
    control.pause(execution)
    assert sql.fire([(execution, 4)], later(6), later()) == []
    assert step(execution, 4).status == StepStatus.PENDING


def test_a_visit_that_fails_gives_back_nothing_that_another_thread_holds(
    execution: uuid.UUID, sql: statements.Statements
) -> None:
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(Writing, "estuary-workflows").result().worker
    own = Writing("estuary-workflows").worker
    first, second = sql.load_members(execution, [1, 2])
    assert sql.claim(first, own, clock.now(), later()) is not None
    assert sql.claim(second, others, clock.now(), later()) is not None

    releasing.release({execution}, own, set(), blameless=True)

    statuses = dict(ExecutionStep.objects.filter(execution=execution, seq__in=[1, 2]).values_list("seq", "status"))
    assert statuses == {1: StepStatus.PENDING, 2: StepStatus.RUNNING}
