"""The shapes that ported code comes in run unchanged but for imports; and what Weir offers domains beyond the SDK."""

from __future__ import annotations

import asyncio
import functools
import logging
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from automation import durable
from automation.durable import (
    INTEGRATION_RETRY_POLICY,
    NO_RETRY_POLICY,
    PAYMENT_RETRY_POLICY,
    STANDARD_RETRY_POLICY,
    BaseWorkflow,
    activity,
    base,
    django_activity,
    get_default_retry_policy,
    live_runs,
    log_activity_result,
    monitored_activity,
    monitored_workflow,
    starts,
    transactional_activity,
    workflow,
)
from automation.durable.common import RetryPolicy
from automation.durable.decorators import loggable
from automation.durable.exceptions import ApplicationError, WorkflowFailureError
from automation.durable.options import parse
from automation.durable.testing import ActivityEnvironment, WorkflowEnvironment
from automation.models import ExecutionStatus
from tests.flows.models import Posting
from tests.support.carrier import result, row
from tests.support.waiting import wait_until

sent: list[tuple[int, str]] = []


@activity.defn
@monitored_activity(name="load_invoice")
@django_activity
def load_invoice(invoice_id: int) -> dict:
    return {"id": invoice_id, "postings": Posting.objects.count()}


@activity.defn
@monitored_activity(name="is_paid")
@django_activity
def is_paid(invoice_id: int) -> dict:
    Posting.objects.create(key=f"asked {invoice_id}", attempt=activity.info().attempt)
    return {"paid": Posting.objects.count() == invoice_id}


@activity.defn
def send_reminder(invoice_id: int, kind: str) -> None:
    sent.append((invoice_id, kind))


@workflow.defn
@monitored_workflow(name="InvoiceWorkflow")
class InvoiceWorkflow(BaseWorkflow):
    @workflow.run  # noqa: RET503 (continue_as_new raises)
    async def run(self, invoice_id: int) -> dict:
        invoice = await self.execute_activity("load_invoice", invoice_id, start_to_close_timeout=timedelta(seconds=10))
        assert invoice["id"] == invoice_id
        for _ in range(14):  # poll once a day
            await workflow.sleep(timedelta(days=1))
            if (await self.execute_activity("is_paid", invoice_id, start_to_close_timeout=timedelta(seconds=10)))[
                "paid"
            ]:
                return {"status": "paid"}
        await workflow.execute_activity(
            send_reminder,
            args=[invoice_id, "late"],
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=STANDARD_RETRY_POLICY,
        )
        workflow.continue_as_new(invoice_id)


@dataclass
class WelcomeInput:
    names: list[str]


@dataclass
class WelcomeResult:
    greetings: list[str]


@activity.defn
async def greet(name: str) -> str:
    await asyncio.sleep(0)
    return f"Hello, {name}"


@workflow.defn(name="welcome", sandboxed=False)
class WelcomeWorkflow:
    @workflow.run
    async def run(self, data: WelcomeInput) -> WelcomeResult:
        results = await asyncio.gather(
            *(
                workflow.execute_activity(
                    greet,
                    n,
                    retry_policy=get_default_retry_policy(),
                    start_to_close_timeout=timedelta(seconds=30),
                )
                for n in data.names
            )
        )
        await asyncio.sleep(24 * 3600)
        return WelcomeResult(results)


INVOICE = [load_invoice, is_paid, send_reminder]


def test_a_dataclass_goes_in_and_comes_out_a_day_later() -> None:
    with WorkflowEnvironment.start_time_skipping(activities=[greet]) as env:
        began = env.now
        assert env.run(WelcomeWorkflow.run, WelcomeInput(["Ada", "Bo"])) == WelcomeResult(["Hello, Ada", "Hello, Bo"])
        assert env.now - began == timedelta(days=1)


def test_a_workflow_on_the_base_polls_once_a_day_by_names_of_activities() -> None:
    with WorkflowEnvironment.start_time_skipping(activities=INVOICE) as env:
        began = env.now
        handle = env.start(InvoiceWorkflow.run, 3, id="invoice-3")
        assert handle.result() == {"status": "paid"}
        assert env.now - began == timedelta(days=3)
        assert [name for name, _ in handle.activities()] == ["load_invoice", "is_paid", "is_paid", "is_paid"]


def test_it_sends_a_reminder_after_two_weeks_and_begins_anew() -> None:
    sent.clear()
    with WorkflowEnvironment.start_time_skipping(activities=INVOICE) as env:
        began = env.now
        handle = env.start(InvoiceWorkflow.run, 20, id="invoice-20")
        env.skip(timedelta(days=14))
        assert sent == [(20, "late")]
        assert handle.execution.id != handle.run_id, "continued as new"
        assert handle.result() == {"status": "paid"}
        assert env.now - began == timedelta(days=20)
        assert len(handle.activities()) == 1 + 6


# -- decorators --------------------------------------------------------------------------------------------------------


def plain(card_number: str) -> dict[str, Any]:
    if not activity.in_activity():
        raise AssertionError("not run as an activity")
    return {"card_number": card_number, "nested": [{"api-token": "tok_1", "city": "Oslo"}], "empty_secret": ""}


async def slow(card_number: str) -> dict[str, Any]:
    await asyncio.sleep(0)
    return plain(card_number)


STACKS: dict[str, list[Callable[[Any], Any]]] = {
    "defn on top": [
        log_activity_result,
        django_activity,
        monitored_activity(name="shapes"),
        activity.defn(name="shapes"),
    ],
    "defn below": [
        activity.defn(name="shapes"),
        monitored_activity(name="shapes"),
        django_activity,
        log_activity_result,
    ],
    "bare": [
        django_activity,
        activity.defn(name="shapes"),
        log_activity_result(level=logging.WARNING),
        monitored_activity,
    ],
}


@pytest.mark.parametrize("function", [plain, slow])
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_decorators_of_activities_stack_in_any_order(
    stack: list[Callable[[Any], Any]], function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    decorated = functools.reduce(lambda inner, decorate: decorate(inner), stack, _copy(function))
    assert decorated.__name__ == function.__name__
    with WorkflowEnvironment.start_time_skipping(activities=[decorated]) as env, caplog.at_level(logging.INFO):
        handle = env.start(OneActivity.run, "shapes", "4242")
        assert handle.result()["nested"] == [{"api-token": "tok_1", "city": "Oslo"}]
    logged = [record.getMessage().split("] ", 1)[1] for record in caplog.records if "shapes #1" in record.getMessage()]
    label = "shapes" if stack is not STACKS["bare"] else function.__name__
    assert f"activity {label} started, attempt 1" in logged
    assert any(line.startswith(f"activity {label} completed after ") for line in logged)
    returned = "{'card_number': '••••••••', 'nested': [{'api-token': '••••••••', 'city': 'Oslo'}], 'empty_secret': ''}"
    assert f"activity {function.__name__} returned {returned}" in logged
    assert "4242" not in caplog.text


def _copy(function: Any) -> Any:
    """Decorators leave marks on the function that they are given."""
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__annotations__, copy.__module__ = function.__annotations__, function.__module__
    return copy


@workflow.defn
class OneActivity:
    @workflow.run
    async def run(self, name: str, argument: Any) -> Any:
        return await workflow.execute_activity(
            name, argument, start_to_close_timeout=timedelta(seconds=9), retry_policy=NO_RETRY_POLICY
        )


@pytest.mark.parametrize("transactional_first", [True, False])
def test_a_monitored_activity_can_be_transactional(transactional_first: bool, caplog: pytest.LogCaptureFixture) -> None:
    def enter(text: str) -> None:
        Posting.objects.create(key="x", attempt=activity.info().attempt, note=text)
        if activity.info().attempt == 1:
            raise ValueError("after the write")

    both = [transactional_activity, monitored_activity(name="enter")]
    stack = [*(both if transactional_first else both[::-1]), activity.defn(name="shapes")]
    decorated = functools.reduce(lambda inner, decorate: decorate(inner), stack, enter)

    @workflow.defn
    class Enters(BaseWorkflow):
        @workflow.run
        async def run(self) -> None:
            await self.execute_activity_with_logging("shapes", "once")

    with WorkflowEnvironment.start_time_skipping(activities=[decorated]) as env, caplog.at_level(logging.INFO):
        env.run(Enters.run)
    assert [posting.attempt for posting in Posting.objects.all()] == [2]
    assert "activity enter failed after" in caplog.text
    assert "ValueError: after the write" in caplog.text
    assert "activity shapes: asked for" in caplog.text
    assert "activity shapes: returned None" in caplog.text


@pytest.mark.parametrize("monitored_first", [True, False])
def test_a_monitored_workflow_logs_once_however_often_it_is_replayed(
    monitored_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Sleeper(BaseWorkflow):
        @workflow.run
        async def run(self, name: str) -> str:
            await self.sleep_with_logging(timedelta(days=1), "it is late")
            await self.sleep_with_logging(60)
            return name

    both = [monitored_workflow(name="Night"), workflow.defn(name="sleeper")]
    cls = functools.reduce(lambda inner, decorate: decorate(inner), both if monitored_first else both[::-1], Sleeper)
    with WorkflowEnvironment.start_time_skipping() as env, caplog.at_level(logging.INFO):
        handle = env.start(cls.run, "Ada")
        for _ in range(3):
            live_runs.forget()
            env.skip(timedelta(hours=9))
        assert handle.result() == "Ada"
    logged = [record.getMessage().split("] ", 1)[1] for record in caplog.records if "[sleeper" in record.getMessage()]
    assert logged == [
        "workflow Night started",
        "sleeping for 1 day, 0:00:00: it is late",
        "slept for 1 day, 0:00:00: it is late",
        "sleeping for 0:01:00",
        "slept for 0:01:00",
        "workflow Night completed after 86460.000 s",
    ]


def test_a_monitored_workflow_logs_how_it_ended_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    @workflow.defn
    @monitored_workflow
    class Fails:
        @workflow.run
        async def run(self, fails: bool) -> None:
            if fails:
                raise ApplicationError("no more")
            await asyncio.sleep(10)

    with WorkflowEnvironment.start_time_skipping() as env, caplog.at_level(logging.INFO):
        with pytest.raises(WorkflowFailureError, match="no more"):
            env.run(Fails.run, True)
        env.start(Fails.run, False).cancel()
    assert "workflow Fails failed after 0.000 s: no more" in caplog.text
    assert "workflow Fails was cancelled after 0.000 s" in caplog.text


def test_a_monitored_class_needs_one_run_method() -> None:
    with pytest.raises(ValueError, match=r"exactly one @workflow\.run method"):
        monitored_workflow(type("Nothing", (), {}))


def test_what_cannot_be_written_is_logged_by_its_type_and_what_is_long_is_cut() -> None:
    assert loggable(object()) == "a object"
    assert loggable("x" * 3_000).endswith("… (3,000 characters)")
    assert loggable(WelcomeInput(["Ada"])) == "{'names': ['Ada']}"


def test_a_broken_connection_is_replaced_before_an_activity_uses_it() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("an in-memory database is gone with its connection")
    env = ActivityEnvironment()
    env.run(load_invoice, 1)
    connection.connection.close()
    with pytest.raises(OperationalError):
        Posting.objects.count()
    assert env.run(load_invoice, 1) == {"id": 1, "postings": 0}


# -- the base ----------------------------------------------------------------------------------------------------------


def test_the_base_gives_limits_and_a_policy_where_the_call_names_none() -> None:
    @workflow.defn
    class Calls(BaseWorkflow):
        default_retry_policy = PAYMENT_RETRY_POLICY

        @workflow.run
        async def run(self) -> list[Any]:
            return [
                await self.execute_activity("flows_add", 1, 2),
                await self.execute_activity("flows_add", args=[3, 4], schedule_to_close_timeout=timedelta(hours=1)),
                await self.execute_activity("flows_nothing", retry_policy=NO_RETRY_POLICY),
            ]

    with WorkflowEnvironment.start_time_skipping() as env:
        handle = env.start(Calls.run)
        assert handle.result() == [3, 7, None]
        first, second, third = (parse(step.options) for step in handle.steps)
    assert (first.start_to_close, first.retry) == (600.0, PAYMENT_RETRY_POLICY)
    assert (second.start_to_close, second.schedule_to_close) == (None, 3600.0)
    assert third.retry == NO_RETRY_POLICY


def test_arguments_are_given_one_by_one_or_together_but_not_both() -> None:
    @workflow.defn(failure_exception_types=[TypeError])
    class Confused(BaseWorkflow):
        @workflow.run
        async def run(self) -> None:
            await self.execute_activity("flows_add", 1, args=[2])

    with (
        WorkflowEnvironment.start_time_skipping() as env,
        pytest.raises(WorkflowFailureError, match="one by one or as 'args', not both"),
    ):
        env.run(Confused.run)


@pytest.mark.parametrize(
    ("policy", "first", "longest", "attempts"),
    [
        (STANDARD_RETRY_POLICY, timedelta(seconds=1), timedelta(minutes=10), 10),
        (PAYMENT_RETRY_POLICY, timedelta(minutes=5), timedelta(hours=24), 20),
        (INTEGRATION_RETRY_POLICY, timedelta(seconds=5), timedelta(minutes=30), 50),
    ],
)
def test_the_policies(policy: RetryPolicy, first: timedelta, longest: timedelta, attempts: int) -> None:
    assert policy == RetryPolicy(
        initial_interval=first, backoff_coefficient=2.0, maximum_interval=longest, maximum_attempts=attempts
    )
    assert get_default_retry_policy() is STANDARD_RETRY_POLICY


def test_a_policys_factor_has_one_name() -> None:
    with pytest.raises(TypeError, match=r"'backoff_coefficient', as in RetryPolicy\(backoff_coefficient=1.5\)"):
        RetryPolicy(coefficient=1.5)  # type: ignore[call-arg]
    assert RetryPolicy(backoff_coefficient=1.5).backoff_coefficient == 1.5


def test_the_package_offers_what_the_base_module_does() -> None:
    assert set(base.__all__) == durable._OFFERED
    with pytest.raises(AttributeError, match="no attribute 'BaseActivity'"):
        _ = durable.BaseActivity


# -- on a real worker --------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_plain_and_async_activities_use_the_orm_on_a_real_worker(shared_worker: Any) -> None:
    plan = [
        "all",
        ["call", "note", "plain"],
        ["call", "async_note", "async"],
        ["call", "async_enter", "transactional", 1],
        ["call", "async_nested", "nested"],
    ]
    execution = starts.start_many([starts.NewExecution("flows_script", (plan,))])[0]
    wait_until(lambda: row(execution).status != ExecutionStatus.RUNNING and row(execution).completed_at, timeout=60)
    assert result(execution) == [None, ["plain", "async"], "transactional", ["nested", 3]]
    assert [posting.attempt for posting in Posting.objects.order_by("id")] == [1, 1, 2]
