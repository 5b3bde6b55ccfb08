"""Updates: accepted ones answer once, refused ones leave no trace."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation.durable import control, inbox, payloads, registry, updates, workflow
from automation.durable.client import SyncClient, WorkflowUpdateStage
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from automation.durable.updates import UpdateStage
from automation.errors import Conflict, NotFound
from automation.models import ExecutionStatus, ExecutionStep
from tests.durable.snippets import begun, snippet
from tests.flows import activities
from tests.flows.workflows import call
from tests.support.carrier import Carrier, Faults, result, row


@workflow.defn(name="updates_account")
class Account:
    @workflow.init
    def __init__(self) -> None:
        self.balance = 0
        self.open = True
        self.ids: list[str] = []

    @workflow.run
    async def run(self) -> list[Any]:
        await workflow.wait_condition(lambda: not self.open and workflow.all_handlers_finished())
        return [self.balance, self.ids]

    @workflow.update
    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @deposit.validator
    def check_deposit(self, amount: int) -> None:
        if amount <= 0:
            raise ValueError(f"deposit something, not {amount}")

    @workflow.update(name="pay-slowly")
    async def pay(self, amount: int) -> str:
        info = workflow.current_update_info()
        assert info is not None
        self.ids.append(f"{info.name}:{info.id}")
        receipt = await call("echo", f"receipt {amount}")
        self.balance -= amount
        again = workflow.current_update_info()
        assert again == info
        return receipt

    @workflow.update
    async def fail(self) -> None:
        await call("echo", 1)
        raise ApplicationError("no money", type="Broke")

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def hang(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    def nasty(self) -> None: ...

    @nasty.validator
    def check_nasty(self) -> None:
        workflow.start_activity("flows_echo", 1, start_to_close_timeout=1)

    @workflow.signal
    def close(self) -> None:
        self.open = False


registry.register_workflow(Account)


def put(execution: uuid.UUID, name: str, *args: Any, id: str | None = None) -> int:
    return updates.put(execution, name, payloads.encode(list(args)), id or str(uuid.uuid4()))


def close(execution: uuid.UUID) -> None:
    assert inbox.signal(execution, "close", "[]")


def history(execution: uuid.UUID) -> list[Any]:
    return list(ExecutionStep.objects.filter(execution_id=execution).order_by("seq").values())


def opened(carrier: Carrier) -> uuid.UUID:
    execution = carrier.start("updates_account")
    carrier.drain()
    return execution


def test_an_accepted_update_is_answered(carrier: Carrier) -> None:
    execution = opened(carrier)
    seq = put(execution, "deposit", 5)
    assert updates.look(execution, seq).stage == UpdateStage.ADMITTED
    carrier.drain()
    answer = updates.look(execution, seq)
    assert (answer.stage, answer.output) == (UpdateStage.COMPLETED, "5")
    assert updates.look(execution, seq) == answer  # as often as one looks
    close(execution)
    carrier.finish(execution)
    assert result(execution)[0] == 5


def test_a_refused_update_leaves_no_trace(carrier: Carrier) -> None:
    execution = opened(carrier)
    put(execution, "deposit", 5)
    carrier.drain()
    before = history(execution)
    seq = put(execution, "deposit", -1)
    carrier.drain()
    answer = updates.look(execution, seq)
    assert answer.refused
    assert str(answer.error) == "ValueError: deposit something, not -1"
    assert history(execution) == before
    with pytest.raises(NotFound, match="told of once"):
        updates.look(execution, seq)
    carrier.restart_workers()
    late = put(execution, "deposit", 2)
    close(execution)
    carrier.finish(execution)
    assert updates.look(execution, late).output == "7"
    assert result(execution)[0] == 7


def test_a_refusal_that_nobody_fetched_is_no_part_of_a_replay(carrier: Carrier) -> None:
    execution = opened(carrier)
    put(execution, "deposit", -1)
    carrier.drain()
    carrier.restart_workers()
    put(execution, "deposit", 3)
    carrier.restart_workers()
    close(execution)
    carrier.finish(execution)
    assert result(execution)[0] == 3


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("unknown", (), "'unknown' expected but not found; known are: deposit, fail, hang, nasty, pay-slowly"),
        ("deposit", (), "deposit\\(\\) missing|missing 1 required"),
        ("nasty", (), "must not ask for activity"),
    ],
)
def test_what_cannot_be_handled_is_refused(carrier: Carrier, name: str, args: tuple[Any, ...], words: str) -> None:
    execution = opened(carrier)
    seq = put(execution, name, *args)
    carrier.drain()
    answer = updates.look(execution, seq)
    assert answer.refused
    with pytest.raises(ApplicationError, match=words):
        raise answer.error or AssertionError
    assert row(execution).status == ExecutionStatus.RUNNING


def test_a_handler_that_fails_fails_its_update_only(carrier: Carrier) -> None:
    execution = opened(carrier)
    seq = put(execution, "fail")
    carrier.drain()
    answer = updates.look(execution, seq)
    assert (answer.stage, answer.refused, str(answer.error)) == (UpdateStage.COMPLETED, False, "Broke: no money")
    close(execution)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.COMPLETED


def test_an_async_handler_keeps_its_update_accepted_until_it_is_done(carrier: Carrier) -> None:
    execution = opened(carrier)
    seq = put(execution, "pay-slowly", 4, id="one")
    carrier.deliver_one()  # the advance that accepts it
    stages = {updates.look(execution, seq).stage}
    carrier.restart_workers()
    carrier.sweep()
    carrier.drain()
    stages.add(updates.look(execution, seq).stage)
    close(execution)
    carrier.finish(execution)
    assert updates.look(execution, seq).output == '"receipt 4"'
    assert result(execution) == [-4, ["pay-slowly:one"]]


def test_one_id_is_one_update(carrier: Carrier) -> None:
    execution = opened(carrier)
    seq = put(execution, "deposit", 5, id="same")
    assert put(execution, "deposit", 5, id="same") == seq
    carrier.drain()
    assert put(execution, "deposit", 5, id="same") == seq
    with pytest.raises(Conflict, match="was used for 'deposit'"):
        put(execution, "fail", id="same")
    refused = put(execution, "deposit", 0, id="again")
    carrier.drain()
    assert put(execution, "deposit", 1, id="again") != refused
    close(execution)
    carrier.finish(execution)
    assert result(execution)[0] == 6


def test_an_update_before_the_run_begins_is_handled_first(carrier: Carrier) -> None:
    execution = carrier.start("updates_account")
    seq = put(execution, "deposit", 5)
    refused = put(execution, "deposit", -5)
    carrier.drain()
    assert updates.look(execution, seq).output == "5"
    assert updates.look(execution, refused).refused
    carrier.restart_workers()
    close(execution)
    carrier.finish(execution)
    assert result(execution)[0] == 5


def test_an_early_update_waits_for_a_handler_that_the_code_sets(carrier: Carrier) -> None:
    @snippet
    async def setting(_data: Any) -> list[Any]:
        got: list[Any] = []

        def take(value: int) -> int:
            got.append(value)
            return value + 1

        def check(value: int) -> None:
            if value < 0:
                raise ApplicationError("negative")

        workflow.set_update_handler("take", take, validator=check)
        await workflow.wait_condition(lambda: len(got) == 2)
        return got

    execution = carrier.start("flows_snippet", "setting")
    seqs = [put(execution, "take", value) for value in (1, -1)]
    carrier.drain()
    carrier.restart_workers()
    seqs.append(put(execution, "take", 2))
    carrier.finish(execution)
    assert result(execution) == [1, 2]
    answers = [updates.look(execution, seq) for seq in seqs]
    assert [answer.output for answer in answers] == ["2", "", "3"]
    assert answers[1].refused


def test_the_end_of_the_workflow_answers_what_is_left(carrier: Carrier) -> None:
    @snippet
    async def ending(_data: Any) -> None:
        stop: list[int] = []

        async def hang() -> None:
            await workflow.wait_condition(lambda: False)

        workflow.set_update_handler("hang", hang)
        workflow.set_signal_handler("stop", lambda: stop.append(1))
        await workflow.wait_condition(lambda: bool(stop))

    execution = begun(carrier, ending)
    seq = put(execution, "hang")
    carrier.drain()
    assert updates.look(execution, seq).stage == UpdateStage.ACCEPTED
    assert inbox.signal(execution, "stop", "[]")
    with pytest.warns(workflow.UnfinishedUpdateHandlersWarning, match="hang"):
        carrier.finish(execution)
    assert "ended before the update did" in str(updates.look(execution, seq).error)
    with pytest.raises(Conflict, match="takes no updates"):
        put(execution, "hang")


def test_a_terminated_execution_answers_what_it_never_took(carrier: Carrier) -> None:
    execution = opened(carrier)
    accepted = put(execution, "hang")
    carrier.drain()
    with carrier.broker_away():
        waiting = put(execution, "deposit", 1)
    control.terminate(execution)
    assert "terminated" in str(updates.look(execution, waiting).error)
    assert updates.look(execution, accepted).error is not None


@pytest.mark.parametrize("seed", range(8))
def test_an_update_is_answered_once_whatever_goes_wrong(carrier: Carrier, seed: int) -> None:
    faults = {"order": "random", "copies": 2, "loss": 0.2, "deaths": 0.04, "interleaving": 0.3, "budget": 30}
    execution = carrier.start("updates_account")
    seqs: list[tuple[int, int]] = []
    for number in range(1, 9):
        carrier.under(Faults(seed=seed * 100 + number, **faults))  # type: ignore[arg-type]
        seqs.append((number, put(execution, "deposit" if number % 2 else "pay-slowly", number)))
        for _ in range(number % 3):
            carrier.deliver_one()
    close(execution)
    carrier.finish(execution)
    assert result(execution)[0] == sum(number if number % 2 else -number for number in range(1, 9))
    for number, seq in seqs:
        answer = updates.look(execution, seq)
        assert answer.stage == UpdateStage.COMPLETED
        assert answer.error is None
        if not number % 2:
            assert answer.output == f'"receipt {number}"'


def test_a_retried_execution_does_not_answer_twice(carrier: Carrier) -> None:
    @snippet
    async def retried(_data: Any) -> Any:
        done: list[int] = []

        async def work(value: int) -> int:
            done.append(await call("add", value, 1))
            return done[-1]

        workflow.set_update_handler("work", work)
        await workflow.wait_condition(lambda: bool(done))
        done.append(await call("flaky", 7, 1, retry_policy=RetryPolicy(maximum_attempts=1)))
        return done

    execution = begun(carrier, retried)
    seq = put(execution, "work", 3)
    carrier.finish(execution)
    assert row(execution).status == ExecutionStatus.FAILED
    answered = updates.look(execution, seq)
    assert answered.output == "4"
    carrier.restart_workers()
    control.retry(execution)
    carrier.finish(execution)
    assert result(execution) == [4, 7]
    assert updates.look(execution, seq) == answered
    assert [name for name, _, _ in activities.journal] == ["flows_add", "flows_flaky", "flows_flaky"]


def test_only_an_id_that_the_caller_gives_is_looked_for(carrier: Carrier) -> None:
    """Thousands of messages may be in the inbox, and no index finds one of them by its id."""
    handle = SyncClient().start_workflow("flows_relay", id="relay")
    carrier.drain()

    def asked(**options: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            handle.start_update("add", args=[1, 2], wait_for_stage=WorkflowUpdateStage.ADMITTED, **options)
        return sum('"options" IN' in query["sql"] for query in queries)

    assert [asked(), asked(id="mine"), asked(id="mine")] == [0, 1, 1]
    assert handle.start_update("add", args=[1, 2], id="mine", wait_for_stage=WorkflowUpdateStage.ADMITTED).id == "mine"
    assert ExecutionStep.objects.filter(kind="update").count() == 2
