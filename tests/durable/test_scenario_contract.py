"""Sentences of the API's description that no other test holds as they are written."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import itertools
import logging
from typing import Any

import pytest

from automation import clock
from automation.durable import activity, log_activity_result, workflow
from automation.durable.client import Client, SyncClient
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, RetryState
from automation.durable.testing import WorkflowEnvironment
from tests.durable.snippets import outcome
from tests.support.carrier import Carrier

START = dt.datetime(2027, 3, 1, 9, 0, tzinfo=dt.UTC)

NAMES = {
    "workflow": "defn run init signal query update execute_activity start_activity execute_activity_method "
    "execute_activity_class execute_local_activity start_local_activity execute_local_activity_method "
    "execute_local_activity_class execute_child_workflow start_child_workflow get_external_workflow_handle sleep "
    "wait_condition wait as_completed now time uuid4 random info logger patched deprecate_patch continue_as_new "
    "upsert_search_attributes upsert_memo memo all_handlers_finished current_update_info set_signal_handler "
    "set_query_handler set_update_handler set_dynamic_signal_handler set_dynamic_query_handler "
    "set_dynamic_update_handler get_signal_handler get_query_handler get_update_handler unsafe "
    "ActivityCancellationType ParentClosePolicy ChildWorkflowCancellationType chain group step",
    "activity": "defn info heartbeat is_cancelled wait_for_cancelled_sync raise_complete_async logger",
    "common": "RetryPolicy WorkflowIDReusePolicy WorkflowIDConflictPolicy Priority SearchAttributeKey "
    "SearchAttributePair TypedSearchAttributes",
    "exceptions": "FailureError ApplicationError ActivityError ChildWorkflowError CancelledError TimeoutError "
    "TimeoutType TerminatedError WorkflowAlreadyStartedError NondeterminismError",
    "worker": "Worker Replayer",
    "testing": "WorkflowEnvironment ActivityEnvironment",
    "base": "BaseWorkflow monitored_workflow monitored_activity django_activity transactional_activity "
    "log_activity_result STANDARD_RETRY_POLICY PAYMENT_RETRY_POLICY INTEGRATION_RETRY_POLICY NO_RETRY_POLICY "
    "get_default_retry_policy",
}


@pytest.mark.parametrize("module", NAMES)
def test_each_module_has_what_is_promised_of_it(module: str) -> None:
    there = importlib.import_module(f"automation.durable.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(there, name)] == []


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (workflow.defn, "name dynamic sandboxed failure_exception_types"),
        (workflow.signal, "name dynamic"),
        (workflow.wait_condition, "timeout"),
        (activity.defn, "name queue rate_limit"),
        (
            RetryPolicy,
            "initial_interval backoff_coefficient maximum_interval maximum_attempts non_retryable_error_types",
        ),
    ],
)
def test_options_are_named_as_promised(function: Any, parameters: str) -> None:
    assert set(parameters.split()) <= set(inspect.signature(function).parameters)


def test_an_activity_is_told_its_attempt_ids_details_deadlines_and_key() -> None:
    promised = (
        "attempt activity_id workflow_id workflow_run_id heartbeat_details idempotency_key scheduled_time "
        "schedule_to_close_timeout start_to_close_timeout heartbeat_timeout task_token"
    )
    assert [name for name in promised.split() if not hasattr(activity.Info, name)] == []


@pytest.mark.parametrize("client", [Client, SyncClient])
def test_both_clients_do_all_that_is_promised(client: type) -> None:
    promised = (
        "start_workflow execute_workflow get_workflow_handle list_workflows count_workflows "
        "execute_update_with_start_workflow start_update_with_start_workflow create_schedule get_schedule_handle "
        "get_async_activity_handle"
    )
    assert [name for name in promised.split() if not hasattr(client, name)] == []
    assert {"start_signal", "start_signal_args"} <= set(inspect.signature(client.start_workflow).parameters)  # type: ignore[attr-defined]
    found = importlib.import_module("automation.durable.client")
    prefix = "" if client is Client else "Sync"
    workflow_handle, schedule_handle = (
        getattr(found, f"{prefix}WorkflowHandle"),
        getattr(found, f"{prefix}ScheduleHandle"),
    )
    of_workflows = (
        "result signal query execute_update cancel terminate describe fetch_history pause resume retry restart"
    )
    assert [name for name in of_workflows.split() if not hasattr(workflow_handle, name)] == []
    assert {"from_step", "input"} <= set(inspect.signature(workflow_handle.restart).parameters)
    assert [n for n in ["pause", "trigger", "backfill", "update", "delete"] if not hasattr(schedule_handle, n)] == []


# -- chains and groups are Celery's ------------------------------------------------------------------------------------


def test_a_chain_is_one_celery_chain_and_a_group_one_chord(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[Any] = []
    publish = carrier.publish

    def noting(signature: Any) -> bool:
        published.append(signature)
        return publish(signature)

    def step(name: str, value: int) -> workflow.Step:
        return workflow.step(f"flows_{name}", value)

    async def several(_data: Any) -> Any:
        chained = await workflow.chain(step("elsewhere", 1), step("echo", 2), step("elsewhere", 3))
        grouped = await workflow.group(*(step("echo", number) for number in range(100)))
        mixed = await workflow.chain(step("elsewhere", 1), workflow.group(*(step("echo", n) for n in range(8))))
        return [chained, grouped, mixed]

    with monkeypatch.context() as noted:  # undone before the carrier puts back what it had replaced
        noted.setattr("automation.durable.canvas._publish", noting)
        assert outcome(carrier, several) == [[1, 2, 3], list(range(100)), [1, list(range(8))]]
    canvases = [signature for signature in published if signature.task.startswith("celery.")]
    assert [signature.task for signature in canvases] == ["celery.chain", "celery.chord", "celery.chain"]
    assert len(canvases[0].tasks) == 3
    assert canvases[1].body.task == "join_steps"
    assert [signature.task for signature in published if signature not in canvases] == ["execute_workflow"]


# -- retries -----------------------------------------------------------------------------------------------------------


def test_by_default_an_activity_is_tried_until_schedule_to_close() -> None:
    """After 1 s, twice as long each time, at most 100 times the first wait."""
    at: list[float] = []

    def away() -> None:
        at.append((clock.now() - START).total_seconds())
        raise ConnectionError("away")

    @workflow.defn(name="contract_patient")
    class Patient:
        @workflow.run
        async def run(self) -> str:
            try:
                await workflow.execute_activity("contract_away", schedule_to_close_timeout=dt.timedelta(hours=1))
            except ActivityError as error:
                return str(error.retry_state and error.retry_state.name)
            return "never"

    with WorkflowEnvironment.start_time_skipping(
        workflows=[Patient], activities={"contract_away": away}, start_at=START
    ) as env:
        assert env.run(Patient.run) == RetryState.TIMEOUT.name
    waits = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert waits == [1, 2, 4, 8, 16, 32, 64] + [100] * (len(waits) - 7)
    assert 3600 - 100 <= at[-1] < 3600


# -- masking -----------------------------------------------------------------------------------------------------------

WORDS = "password secret token key auth credential ssn social credit card cvv security_code"


@pytest.mark.parametrize("word", WORDS.split())
def test_what_an_activity_returns_is_logged_with_secrets_masked(word: str, caplog: pytest.LogCaptureFixture) -> None:
    @activity.defn(name="contract_tells")
    @log_activity_result
    def tells() -> dict[str, Any]:
        return {"city": "Oslo", word: "s3cr3t", "deep": [{f"The-{word.upper()}-of": "s3cr3t", "town": "Bergen"}]}

    @workflow.defn(name="contract_telling")
    class Telling:
        @workflow.run
        async def run(self) -> Any:
            return await workflow.execute_activity("contract_tells", start_to_close_timeout=dt.timedelta(seconds=9))

    with (
        WorkflowEnvironment.start_time_skipping(workflows=[Telling], activities=[tells]) as env,
        caplog.at_level(logging.INFO),
    ):
        assert env.run(Telling.run)[word] == "s3cr3t", "what is masked is the log, not the result"
    assert "Oslo" in caplog.text
    assert "Bergen" in caplog.text
    assert "s3cr3t" not in caplog.text
