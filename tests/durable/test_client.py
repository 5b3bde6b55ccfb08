"""The client, in both its faces."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from automation.durable import activity, payloads, registry, workflow
from automation.durable.client import (
    Client,
    QueryRejectCondition,
    SyncClient,
    WaitTimeoutError,
    WithStartWorkflowOperation,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHistory,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from automation.durable.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from automation.durable.exceptions import ApplicationError, CancelledError, TerminatedError, WorkflowAlreadyStartedError
from automation.durable.replay import Run
from automation.durable.testing import WorkflowEnvironment
from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution
from tests.flows import activities
from tests.flows.workflows import call

REGION, SIZE, TAGS, SINCE = (
    SearchAttributeKey.for_keyword("Region"),
    SearchAttributeKey.for_int("Size"),
    SearchAttributeKey.for_keyword_list("Tags"),
    SearchAttributeKey.for_datetime("Since"),
)


@dataclass
class Order:
    number: int
    items: list[str]


@dataclass
class Receipt:
    total: int


@workflow.defn(name="client_shop")
class Shop:
    @workflow.init
    def __init__(self, order: Order) -> None:
        self.order = order
        self.closed = False

    @workflow.run
    async def run(self, order: Order) -> Receipt:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return Receipt(len(self.order.items))

    @workflow.signal
    def add(self, item: str, times: int = 1) -> None:
        self.order.items += [item] * times

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.query
    def items(self) -> list[str]:
        return self.order.items

    @workflow.query
    def receipt(self) -> Receipt:
        return Receipt(len(self.order.items))

    @workflow.update
    async def buy(self, item: str) -> Receipt:
        await call("echo", item)
        self.order.items.append(item)
        return Receipt(len(self.order.items))

    @buy.validator
    def check_buy(self, item: str) -> None:
        if not item:
            raise ValueError("buy something")


@workflow.defn(name="client_step")
class Steps:
    """Runs its plan: each number is added to the sum by an activity."""

    @workflow.run
    async def run(self, plan: list[int], fails: bool = False) -> list[int]:
        total: list[int] = []
        for number in plan:
            total.append(await call("add", number, sum(total)))
        if fails:
            raise ApplicationError("enough", {"total": total}, type="Enough")
        return total


@workflow.defn(name="client_counter")
class Counter:
    @workflow.run
    async def run(self, left: int) -> str:
        await asyncio.sleep(1)
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.info().run_id


@activity.defn(name="client_by_hand")
def by_hand(value: str) -> str:
    activity.raise_complete_async()


@workflow.defn(name="client_waiter")
class Waiter:
    @workflow.run
    async def run(self) -> str:
        result: str = await workflow.execute_activity(
            by_hand, "x", activity_id="hand", start_to_close_timeout=dt.timedelta(hours=1),
            heartbeat_timeout=dt.timedelta(minutes=5), retry_policy=RetryPolicy(maximum_attempts=1),
        )  # fmt: skip
        return result


for _cls in (Shop, Steps, Counter, Waiter):
    registry.register_workflow(_cls)
registry.register_activity(by_hand)


@pytest.fixture
def env(_rows: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


@pytest.fixture
def client(env: WorkflowEnvironment) -> SyncClient:
    return SyncClient()


# -- a workflow's life, in both faces ----------------------------------------------------------------------------------


def test_plain_code_starts_steers_and_gets_the_result(client: SyncClient) -> None:
    handle = client.start_workflow(Shop.run, Order(1, ["a"]), id="shop-1", task_queue="shop")
    handle.signal(Shop.add, args=["b", 2])
    assert handle.query(Shop.items) == ["a", "b", "b"]
    assert handle.query("receipt") == Receipt(3)
    assert handle.execute_update(Shop.buy, "c") == Receipt(4)
    handle.signal("close")
    assert handle.result() == Receipt(4)
    assert handle.query(Shop.items) == ["a", "b", "b", "c"]
    assert client.get_workflow_handle("shop-1").result() == Receipt(4)  # the class is known here
    assert client.get_workflow_handle_for(Shop.run, "shop-1").result() == Receipt(4)


def test_async_code_does_the_same(env: WorkflowEnvironment) -> None:
    async def go() -> None:
        client = await Client.connect("localhost:7233", lazy=True)
        handle = await client.start_workflow(Shop.run, Order(1, ["a"]), id="shop-2", task_queue="shop")
        await handle.signal(Shop.add, "b")
        assert await handle.query(Shop.items) == ["a", "b"]
        update = await handle.start_update(Shop.buy, "c", wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="u1")
        assert await update.result() == Receipt(3)
        again = handle.get_update_handle("u1")
        assert await again.result() == Receipt(3)
        await handle.signal(Shop.close)
        assert await handle.result() == Receipt(3)
        assert [one.id async for one in client.list_workflows("WorkflowId = 'shop-2'")] == ["shop-2"]
        assert (await client.count_workflows("WorkflowType = 'client_shop'")).count == 1
        assert (await client.execute_workflow(Steps.run, [1, 2], id="steps", task_queue="shop")) == [1, 3]
        description = await handle.describe()
        assert description.status is WorkflowExecutionStatus.COMPLETED
        assert await description.memo() == {}
        assert client.sync.get_workflow_handle("shop-2").id == "shop-2"

    async_to_sync(go)()


def test_both_faces_offer_the_same() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(Client) - public(SyncClient) == {"sync"}
    assert public(SyncClient) <= public(Client)


def test_unknown_options_are_refused(client: SyncClient) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'ide'"):
        client.execute_workflow(Steps.run, [1], ide="x")
    with pytest.raises(TypeError, match="'id'"):
        client.execute_workflow(Steps.run, [1])
    with pytest.raises(ValueError, match="id must be a text"):
        client.start_workflow(Steps.run, [1], id="")
    with pytest.raises(registry.UnknownName, match="did you mean 'client_step'"):
        client.start_workflow("client_steps", [1], id="x")
    with pytest.raises(TypeError, match="is not a workflow"):
        client.start_workflow(Order, id="x")
    with pytest.raises(TypeError, match="is no signal handler"):
        client.get_workflow_handle("x").signal(Shop.items)
    with pytest.raises(ValueError, match="namespace"):
        SyncClient(namespace="other")
    with pytest.raises(TypeError, match="targets"):
        SyncClient.connect(targets=1)


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_failure_tells_its_cause(client: SyncClient) -> None:
    with pytest.raises(WorkflowFailureError) as raised:
        client.execute_workflow(Steps.run, args=[[1], True], id="fails", task_queue="q")
    cause = raised.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.details[0]) == ("Enough", {"total": [1]})


@pytest.mark.parametrize(("stop", "error"), [("cancel", CancelledError), ("terminate", TerminatedError)])
def test_a_stopped_workflow_tells_so(client: SyncClient, stop: str, error: type[Exception]) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="stopped", task_queue="q")
    getattr(handle, stop)(reason="because")
    with pytest.raises(WorkflowFailureError) as raised:
        handle.result()
    assert isinstance(raised.value.cause, error)
    assert "because" in str(raised.value.cause)
    with pytest.raises(Conflict, match="ended already"):
        handle.signal(Shop.close)
    with pytest.raises(Conflict, match="takes no updates"):
        handle.execute_update(Shop.buy, "x")


def test_it_follows_continued_runs(client: SyncClient) -> None:
    handle = client.start_workflow(Counter.run, 3, id="counter", task_queue="q")
    last = handle.result()
    assert last != handle.result_run_id
    with pytest.raises(WorkflowContinuedAsNewError):
        handle.result(follow_runs=False)
    runs = list(client.list_workflows("WorkflowId = 'counter' ORDER BY StartTime ASC"))
    assert [run.status.name for run in runs] == ["CONTINUED_AS_NEW"] * 3 + ["COMPLETED"]
    assert {run.first_run_id for run in runs} == {handle.first_execution_run_id}
    assert client.get_workflow_handle("counter", run_id=runs[1].run_id).describe().run_id == runs[1].run_id


def test_waiting_ends_at_its_time(client: SyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="long", task_queue="q")
    with monkeypatch.context() as patched:  # undone here: the environment is closed before the test's own patches
        patched.setattr("automation.durable.hooks._wait_hook", lambda seconds: None)
        with pytest.raises(WaitTimeoutError, match="has not ended in time; it is pending"):
            handle.result(rpc_timeout=dt.timedelta(seconds=3))


def test_a_handle_of_another_chain_of_runs_stops_nothing(client: SyncClient) -> None:
    first = client.start_workflow(Shop.run, Order(1, []), id="chain", task_queue="q")
    first.terminate()
    client.start_workflow(Shop.run, Order(2, []), id="chain", task_queue="q")
    with pytest.raises(NotFound, match="another was started since"):
        first.cancel()
    assert client.get_workflow_handle("chain").describe().state in ("pending", "running")
    with pytest.raises(NotFound, match="no workflow 'nobody'"):
        client.get_workflow_handle("nobody").describe()


# -- messages ----------------------------------------------------------------------------------------------------------


def test_a_refused_update_raises_and_leaves_no_trace(client: SyncClient) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="refusing", task_queue="q")
    for refused in (
        lambda: handle.execute_update(Shop.buy, ""),
        lambda: handle.start_update(Shop.buy, "", wait_for_stage=WorkflowUpdateStage.ACCEPTED),
    ):
        with pytest.raises(WorkflowUpdateFailedError, match="buy something") as raised:
            refused()
        assert isinstance(raised.value.cause, ApplicationError)
    assert not ExecutionStep.objects.filter(execution__business_id="refusing").exists()
    assert len(handle.fetch_history().events) == 1


@pytest.mark.parametrize("name", ["", "x" * 191, "a\0b", "line\nfeed", "\ud800"])
def test_a_name_that_no_row_can_hold_is_refused(client: SyncClient, name: str) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="named", task_queue="q")
    with pytest.raises(InvalidInput, match="1 to 190 printable characters"):
        handle.signal(name)
    with pytest.raises(InvalidInput, match="the update's name is a text of 1 to 190"):
        handle.execute_update(name)


def test_odd_names_and_values_arrive_as_they_were_sent(client: SyncClient, env: WorkflowEnvironment) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="odd", task_queue="q")
    name, value = "ünïcode 'quote\" $1 {}", {"a": [1, None, "\0\ud800"]}
    handle.signal(name, value)
    handle.signal(Shop.add, "\0")
    env.settle()
    step = ExecutionStep.objects.get(execution__business_id="odd", seq=-1)
    assert (step.name, payloads.decode(step.input)) == (name, [value])
    assert handle.query(Shop.items) == ["\0"]
    for bad in (object(), float("nan")):
        with pytest.raises(TypeError, match="arguments of signal 'add'"):
            handle.signal(Shop.add, bad)


def test_queries_may_be_rejected_and_may_fail(client: SyncClient) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="asked", task_queue="q")
    assert handle.query(Shop.items, reject_condition=QueryRejectCondition.NOT_OPEN) == []
    with pytest.raises(WorkflowQueryFailedError, match="known are: items, receipt"):
        handle.query("other")
    handle.terminate()
    for condition in (QueryRejectCondition.NOT_OPEN, QueryRejectCondition.NOT_COMPLETED_CLEANLY):
        with pytest.raises(WorkflowQueryRejectedError) as raised:
            handle.query(Shop.items, reject_condition=condition)
        assert raised.value.status is WorkflowExecutionStatus.TERMINATED


def test_a_signal_with_start_starts_or_joins(client: SyncClient) -> None:
    def signal_with_start(item: str) -> Any:
        return client.start_workflow(
            Shop.run, Order(1, []), id="basket", task_queue="q", start_signal="add", start_signal_args=[item]
        )

    first, second = signal_with_start("a"), signal_with_start("b")
    assert first.result_run_id == second.result_run_id
    assert WorkflowExecution.objects.filter(business_id="basket").count() == 1
    assert first.query(Shop.items) == ["a", "b"]
    with pytest.raises(WorkflowAlreadyStartedError):
        client.start_workflow(Shop.run, Order(1, []), id="basket", task_queue="q")
    with pytest.raises(WorkflowAlreadyStartedError):
        client.start_workflow(
            Shop.run, Order(1, []), id="basket", task_queue="q", start_signal="close",
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )  # fmt: skip
    first.signal(Shop.close)
    first.result()
    with pytest.raises(WorkflowAlreadyStartedError):
        client.start_workflow(
            Shop.run, Order(1, []), id="basket", task_queue="q", id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
        )


def test_an_update_with_start_starts_or_joins(client: SyncClient) -> None:
    def operation() -> WithStartWorkflowOperation:
        return WithStartWorkflowOperation(
            Shop.run, Order(1, []), id="lazy", task_queue="q", id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
        )

    one, two = operation(), operation()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = one.handle
    assert client.execute_update_with_start_workflow(Shop.buy, "a", start_workflow_operation=one) == Receipt(1)
    update = client.start_update_with_start_workflow(
        Shop.buy, "b", start_workflow_operation=two, wait_for_stage=WorkflowUpdateStage.ACCEPTED
    )
    assert update.result() == Receipt(2)
    assert one.run_id == two.run_id == update.workflow_run_id
    assert one.handle.query(Shop.items) == ["a", "b"]


def test_ours_pause_resume_retry(client: SyncClient) -> None:
    handle = client.start_workflow(Steps.run, [1, 2], id="paused", task_queue="q")
    handle.pause()
    assert handle.describe().paused
    handle.resume()
    assert handle.result() == [1, 3]
    with pytest.raises(Conflict, match="only a failed or parked one"):
        handle.retry()


# -- restart -----------------------------------------------------------------------------------------------------------


def test_a_restart_copies_the_steps_before(client: SyncClient) -> None:
    handle = client.start_workflow(Steps.run, [1, 2, 3], id="forked", task_queue="q")
    assert handle.result() == [1, 3, 7]
    ran = len(activities.journal)
    run_id = handle.restart(from_step=3)
    forked = client.get_workflow_handle("forked", run_id=run_id)
    assert forked.result() == [1, 3, 7]
    assert len(activities.journal) == ran + 1
    assert handle.describe().run_id == run_id  # the newest of its workflow id
    assert WorkflowExecution.objects.get(id=run_id).status == ExecutionStatus.COMPLETED


def test_a_restart_takes_other_arguments(client: SyncClient) -> None:
    handle = client.start_workflow(Steps.run, args=[[1, 2, 3], True], id="changed", task_queue="q")
    with pytest.raises(WorkflowFailureError):
        handle.result()
    again = client.get_workflow_handle("changed", run_id=handle.restart(from_step=3, input=[[1, 2, 5], False]))
    assert again.result() == [1, 3, 9]
    anew = client.get_workflow_handle("changed", run_id=again.restart(input=[[4]]))
    assert anew.result() == [4]
    with pytest.raises(Conflict, match="are not what was done"):
        again.restart(from_step=3, input=[[1]])


def test_a_restart_says_what_it_cannot_do(client: SyncClient) -> None:
    handle = client.start_workflow(Shop.run, Order(1, []), id="open", task_queue="q")
    with pytest.raises(Conflict, match="cancel or terminate it before"):
        handle.restart()
    handle.terminate()
    with pytest.raises(InvalidInput, match="no step #1; it has none"):
        handle.restart(from_step=1)
    client.start_workflow(Shop.run, Order(1, []), id="open", task_queue="q")
    ended = client.get_workflow_handle("open", run_id=handle.result_run_id)
    with pytest.raises(Conflict, match="in use by another"):
        ended.restart()


def test_a_restart_keeps_what_it_was_told(client: SyncClient, env: WorkflowEnvironment) -> None:
    """Signals before the step keep their place; later ones are delivered again."""
    handle = client.start_workflow(Shop.run, Order(1, []), id="told", task_queue="q")
    handle.signal(Shop.add, "before")
    handle.execute_update(Shop.buy, "bought")  # step 1
    handle.signal(Shop.add, "after")
    handle.signal(Shop.close)
    assert handle.result() == Receipt(3)
    again = client.get_workflow_handle("told", run_id=handle.restart(from_step=1))
    assert again.result() == Receipt(3)
    assert again.query(Shop.items)[0] == "before"


@pytest.mark.parametrize("from_step", [2, 4])
def test_a_restart_within_a_canvas_does_the_rest_again(client: SyncClient, from_step: int) -> None:
    plan = ["chain", ["echo", 1], ["group", ["echo", 2], ["echo", 3]], ["echo", 4]]
    handle = client.start_workflow("flows_script", plan, id="canvas", task_queue="q")
    assert handle.result() == [1, [2, 3], 4]
    ran = len(activities.journal)
    again = client.get_workflow_handle("canvas", run_id=handle.restart(from_step=from_step))
    assert again.result() == [1, [2, 3], 4]
    assert len(activities.journal) - ran == 5 - from_step


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_start_commits_or_rolls_back_with_its_transaction(client: SyncClient, env: WorkflowEnvironment) -> None:
    class Undone(Exception):
        pass

    def start_and_fail() -> None:
        with transaction.atomic():
            client.start_workflow(Steps.run, [1], id="undone", task_queue="q")
            raise Undone

    with pytest.raises(Undone):
        start_and_fail()
    env.settle()
    assert not WorkflowExecution.objects.filter(business_id="undone").exists()
    assert not activities.journal
    with transaction.atomic():
        handle = client.start_workflow(Steps.run, [1], id="done", task_queue="q")
    assert handle.result() == [1]


def test_waiting_inside_a_transaction_is_refused(client: SyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("automation.durable.hooks._wait_hook", None)
        with pytest.raises(RuntimeError, match="inside atomic\\(\\) would wait for ever"), transaction.atomic():
            client.execute_workflow(Steps.run, [1], id="x", task_queue="q")


# -- activities from outside -------------------------------------------------------------------------------------------


def test_an_activity_is_completed_by_ids(client: SyncClient, env: WorkflowEnvironment) -> None:
    handle = client.start_workflow(Waiter.run, id="hands", task_queue="q")
    env.settle()
    outside = client.get_async_activity_handle(workflow_id="hands", activity_id="hand")
    outside.heartbeat("alive")
    outside.complete("by hand")
    assert handle.result() == "by hand"
    with pytest.raises(ValueError, match="either task_token, or workflow_id"):
        client.get_async_activity_handle(workflow_id="hands")


def test_an_activity_is_failed_by_ids(client: SyncClient, env: WorkflowEnvironment) -> None:
    handle = client.start_workflow(Waiter.run, id="hands-2", task_queue="q")
    env.settle()
    client.get_async_activity_handle(workflow_id="hands-2", activity_id="hand").fail(ApplicationError("no"))
    with pytest.raises(WorkflowFailureError):
        handle.result()


# -- histories ---------------------------------------------------------------------------------------------------------


def test_a_history_can_be_kept_and_replayed(client: SyncClient) -> None:
    handle = client.start_workflow(Shop.run, Order(1, ["a"]), id="kept", task_queue="q")
    handle.execute_update(Shop.buy, "b")
    handle.signal(Shop.close)
    handle.result()
    history = handle.fetch_history()
    kept = WorkflowHistory.from_json("kept", history.to_json())
    assert kept.events == history.events
    assert kept.run_id == handle.result_run_id
    execution, steps = kept.records()
    run = Run(execution)
    run.look(steps, ended=True, paused=False)
    assert run.instance.order.items == ["a", "b"]
    run.close()


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shops(client: SyncClient) -> SyncClient:
    since = dt.datetime(2027, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    for number, (region, size) in enumerate([("north", 5), ("south", 50), ("north", 500)]):
        attributes = TypedSearchAttributes(
            [
                SearchAttributePair(REGION, region),
                SearchAttributePair(SIZE, size),
                SearchAttributePair(TAGS, ["x", f"tag {number}"]),
                SearchAttributePair(SINCE, since + dt.timedelta(days=number)),
            ]
        )
        client.start_workflow(
            Shop.run, Order(number, []), id=f"list-{number}", task_queue="q", search_attributes=attributes,
            memo={"number": number},
        )  # fmt: skip
    client.start_workflow(Steps.run, [1], id="other", task_queue="q2").result()
    client.get_workflow_handle("list-2").terminate()
    return client


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["other", "list-2", "list-1", "list-0"]),
        ("WorkflowType = 'client_shop'", ["list-2", "list-1", "list-0"]),
        ("WorkflowType != 'client_shop'", ["other"]),
        ('WorkflowId = "list-1" OR WorkflowId = "list-0"', ["list-1", "list-0"]),
        ("WorkflowId IN ('list-1', 'list-2', 'none')", ["list-2", "list-1"]),
        ("WorkflowId NOT IN ('list-1', 'list-2')", ["other", "list-0"]),
        ("WorkflowId STARTS_WITH 'list' AND ExecutionStatus = 'Running'", ["list-1", "list-0"]),
        ("ExecutionStatus IN ('Completed', 'Terminated')", ["other", "list-2"]),
        ("NOT (ExecutionStatus = 'Running') AND TaskQueue = 'q'", ["list-2"]),
        ("ExecutionStatus = 'Terminated' OR WorkflowId = 'other' AND WorkflowId = 'none'", ["list-2"]),
        ("CloseTime IS NULL ORDER BY WorkflowId", ["list-0", "list-1"]),
        ("CloseTime IS NOT NULL ORDER BY WorkflowId DESC", ["other", "list-2"]),
        ("StartTime > '2020-01-01T00:00:00Z' AND StartTime < '2999-01-01'", ["other", "list-2", "list-1", "list-0"]),
        ("StartTime BETWEEN '2020-01-01' AND '2021-01-01T00:00:00+01:00'", []),
        ("Region = 'north'", ["list-2", "list-0"]),
        ("Region != 'north'", ["list-1"]),
        ("Region STARTS_WITH 'sou'", ["list-1"]),
        ("Region IS NULL", ["other"]),
        ("Size > 5", ["list-2", "list-1"]),
        ("Size BETWEEN 5 AND 50 ORDER BY Size DESC", ["list-1", "list-0"]),
        ("Size IN (5, 500)", ["list-2", "list-0"]),
        ("Tags = 'tag 1'", ["list-1"]),
        ("Tags = 'x' AND `Region` = 'south'", ["list-1"]),
        ("Since >= '2027-01-02T10:00:00Z'", ["list-2", "list-1"]),
        ("Since = '2027-01-01T11:00:00+01:00'", ["list-0"]),
        ("Region = 'it''s'", []),
    ],
)
def test_it_lists_by_filter(shops: SyncClient, query: str, found: list[str]) -> None:
    assert [one.id for one in shops.list_workflows(query)] == found
    assert shops.count_workflows(query).count == len(found)


def test_it_lists_by_pages_and_tells_attributes(shops: SyncClient) -> None:
    pages = shops.list_workflows("WorkflowType = 'client_shop'", page_size=2)
    first = [next(pages), next(pages)]
    token = pages.next_page_token
    assert [one.id for one in (*first, *pages)] == ["list-2", "list-1", "list-0"]
    assert [one.id for one in shops.list_workflows("WorkflowType = 'client_shop'", next_page_token=token)] == ["list-0"]
    assert len(list(shops.list_workflows(limit=3, page_size=2))) == 3
    one = first[0]
    assert one.typed_search_attributes[SIZE] == 500
    assert one.typed_search_attributes[SINCE] == dt.datetime(2027, 1, 3, 10, tzinfo=dt.UTC)
    assert one.search_attributes["Tags"] == ["x", "tag 2"]
    assert one.raw_memo == {"number": 2}


def test_it_counts_by_status(shops: SyncClient) -> None:
    counted = shops.count_workflows("GROUP BY ExecutionStatus")
    groups = {group.group_values[0]: group.count for group in counted.groups}
    assert groups == {"COMPLETED": 1, "RUNNING": 2, "TERMINATED": 1}
    assert counted.count == 4


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("WorkflowTyp = 'x'", "did you mean WorkflowType"),
        ("WorkflowType 'x'", "expected =, !="),
        ("WorkflowType = x", "expected a text in quotes"),
        ("WorkflowType = 'x' AND", "expected a field"),
        ("WorkflowType = 'x' WorkflowId = 'y'", "expected AND, OR, ORDER BY or the end, not 'WorkflowId'"),
        ("(WorkflowType = 'x'", "expected \\)"),
        ("ExecutionStatus = 'Going'", "no status 'Going'; there are: Running, Completed"),
        ("ExecutionStatus > 'Running'", "has no order"),
        ("StartTime > 'yesterday'", "a time such as '2027-03-01T09:30:00Z'"),
        ("StartTime STARTS_WITH '2027'", "STARTS_WITH compares texts"),
        ("RunId = '17'", "a run's id, a UUID"),
        ("WorkflowType = 7", "with a text in quotes"),
        ("Size BETWEEN 1 OR 2", "expected AND, not 'OR'"),
        ("GROUP BY WorkflowType", "GROUP BY ExecutionStatus"),
        ("WorkflowType ~ 'x'", "at character 13.*expected a name, a sign"),
    ],
)
def test_a_wrong_filter_says_what_would_be_right(client: SyncClient, query: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        client.list_workflows(query)
