"""A destination's circuit and rate: what waits, for how long, and what does not notice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation import clock
from automation.actions.registry import registry
from automation.durable.exceptions import ApplicationError
from automation.models import (
    Alert,
    AuditLog,
    CircuitState,
    Destination,
    HeldCall,
    HeldState,
    NotificationLog,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)
from automation.outbound.rates import parse_rate
from automation.services import alerts, workflows
from tests.actions.conftest import Stage
from tests.support.mail import SmtpServer
from tests.support.receiver import HttpReceiver, Reply

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    clock.hold(NOW.timestamp())
    yield
    clock.let_go()


def later(seconds: float) -> None:
    clock.hold(clock.timestamp() + seconds)


def hook(receiver: HttpReceiver, **more: Any) -> dict[str, Any]:
    return {"action_type": "webhook", "webhook_url": receiver.url(), **more}


def fails(stage: Stage, execution: WorkflowExecution, attempt: int = 1) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        stage.run(execution, attempt)
    return caught.value


def trip(stage: Stage, receiver: HttpReceiver) -> Destination:
    """Five executions whose first call fails."""
    receiver.on("/hook", Reply(status=503))
    for _ in range(5):
        assert fails(stage, stage.execution(**hook(receiver))).type == "HTTP503"
    return Destination.objects.get()


def test_a_call_that_is_answered_costs_no_query_for_its_circuit(stage: Stage, http_receiver: HttpReceiver) -> None:
    stage.act(**hook(http_receiver))  # the version and the like are read once per process
    invocation = stage.invocation(stage.execution(**hook(http_receiver)))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        registry.get("webhook").run(invocation)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    # The look (action and destination in one), the log's row, reading it, and noting the answer.
    assert len(statements) == 4, statements
    assert not Destination.objects.exists()
    assert not HeldCall.objects.exists()


def test_five_failures_in_a_row_open_the_circuit_and_what_comes_next_waits(
    stage: Stage, http_receiver: HttpReceiver
) -> None:
    row = trip(stage, http_receiver)
    assert (row.state, row.failures, row.last_cause) == (CircuitState.OPEN, 5, "HTTP 503")
    assert row.probe_at == NOW + dt.timedelta(seconds=30)
    error = fails(stage, execution := stage.execution(**hook(http_receiver)))
    assert error.type == "CircuitOpen"
    assert not error.non_retryable
    assert error.next_retry_delay is not None
    assert error.next_retry_delay >= dt.timedelta(seconds=30)
    assert len(http_receiver.requests) == 5
    held = HeldCall.objects.get(execution=execution)
    assert (held.state, held.cause, held.waits) == (HeldState.HELD, "HTTP 503", 1)
    [alert] = Alert.objects.filter(kind="circuit", closed_at=None)
    assert alert.workflow is not None
    assert "has failed 5 times in a row (HTTP 503)" in alert.message


def test_other_hosts_and_other_organizers_do_not_wait(stage: Stage, http_receiver: HttpReceiver) -> None:
    trip(stage, http_receiver)
    http_receiver.on("/other")
    elsewhere = http_receiver.url("/other").replace("127.0.0.1", "localhost")
    assert stage.act(action_type="webhook", webhook_url=elsewhere)["status"] == "success"
    other = User.objects.create_user("eve@weir.example")
    Destination.objects.update(organizer=other)
    http_receiver.on("/hook", Reply())
    assert stage.act(**hook(http_receiver))["status"] == "success"


def test_one_answer_in_between_starts_the_count_anew(stage: Stage, http_receiver: HttpReceiver) -> None:
    bad = Reply(status=500)
    http_receiver.on("/hook", bad, bad, bad, bad, Reply(), bad, bad, bad, bad)
    for number in range(9):
        execution = stage.execution(**hook(http_receiver))
        if number == 4:
            stage.run(execution)
        else:
            fails(stage, execution)
    assert Destination.objects.get().state == CircuitState.CLOSED


@pytest.mark.parametrize("status", [400, 404, 301])
def test_an_answer_about_the_request_says_nothing_of_the_host(
    stage: Stage, http_receiver: HttpReceiver, status: int
) -> None:
    http_receiver.on("/hook", Reply(status=status))
    for _ in range(6):
        assert fails(stage, stage.execution(**hook(http_receiver))).non_retryable
    row = Destination.objects.get()
    assert (row.state, row.failures) == (CircuitState.CLOSED, 0)
    assert HeldCall.objects.filter(state=HeldState.FAILED, cause=f"HTTP {status}").count() == 6


def test_after_the_pause_one_call_probes_and_its_answer_closes_the_circuit(
    stage: Stage, http_receiver: HttpReceiver
) -> None:
    trip(stage, http_receiver)
    waiting = [stage.execution(**hook(http_receiver)) for _ in range(3)]
    for execution in waiting:
        fails(stage, execution)
    later(31)
    http_receiver.on("/hook", Reply(status=200))
    assert stage.run(waiting[0], 2)["status"] == "success"
    row = Destination.objects.get()
    assert (row.state, row.failures, row.trips) == (CircuitState.CLOSED, 0, 0)
    assert row.mended_at == clock.now()
    assert not Alert.objects.filter(kind="circuit", closed_at=None).exists()
    for execution in waiting[1:]:
        assert stage.run(execution, 2)["status"] == "success"
    assert not HeldCall.objects.filter(execution__in=waiting).exists()


def test_while_a_probe_is_under_way_the_others_wait_and_a_lost_probe_is_replaced(
    stage: Stage, http_receiver: HttpReceiver
) -> None:
    trip(stage, http_receiver)
    later(31)
    Destination.objects.update(state=CircuitState.HALF_OPEN, probe_at=clock.now() + dt.timedelta(minutes=1))
    assert fails(stage, stage.execution(**hook(http_receiver))).type == "CircuitOpen"
    later(61)
    http_receiver.on("/hook", Reply())
    assert stage.act(**hook(http_receiver))["status"] == "success"


def test_a_failed_probe_doubles_the_pause_up_to_the_longest(stage: Stage, http_receiver: HttpReceiver) -> None:
    trip(stage, http_receiver)
    pauses = []
    execution = stage.execution(**hook(http_receiver))
    for attempt in range(1, 8):
        row = Destination.objects.get()
        assert row.probe_at is not None
        clock.hold(row.probe_at.timestamp())
        assert fails(stage, execution, attempt).type == "HTTP503"
        row.refresh_from_db()
        assert row.probe_at is not None
        pauses.append((row.probe_at - clock.now()).total_seconds())
    assert pauses == [60, 120, 240, 480, 600, 600, 600]
    assert Alert.objects.filter(kind="circuit").count() == 1


def test_waiting_for_a_circuit_burns_no_attempt(stage: Stage, http_receiver: HttpReceiver) -> None:
    trip(stage, http_receiver)
    execution = stage.execution(**hook(http_receiver))
    for attempt in range(1, 31):
        assert fails(stage, execution, attempt).type == "CircuitOpen"
    Destination.objects.update(state=CircuitState.CLOSED, failures=0)
    error = fails(stage, execution, 31)  # the first real attempt
    assert (error.type, error.non_retryable) == ("HTTP503", False)
    assert error.next_retry_delay == dt.timedelta(seconds=2)
    for attempt in range(32, 42):
        Destination.objects.update(state=CircuitState.CLOSED, failures=0)
        assert not fails(stage, execution, attempt).non_retryable
    Destination.objects.update(state=CircuitState.CLOSED, failures=0)
    assert fails(stage, execution, 42).non_retryable  # the twelfth
    assert NotificationLog.objects.get(execution=execution).attempts == 12
    assert HeldCall.objects.get(execution=execution).state == HeldState.FAILED


def test_nothing_waits_longer_than_the_hold(stage: Stage, http_receiver: HttpReceiver, settings: Any) -> None:
    settings.OUTBOUND_HOLD = 3600.0
    trip(stage, http_receiver)
    execution = stage.execution(**hook(http_receiver))
    fails(stage, execution)
    later(3601)
    Destination.objects.update(probe_at=clock.now() + dt.timedelta(seconds=30))
    error = fails(stage, execution, 2)
    assert error.non_retryable
    assert "is given up" in error.message
    assert HeldCall.objects.get(execution=execution).state == HeldState.FAILED


def test_no_answer_opens_the_circuit_too(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(mode="reset"))
    for _ in range(5):
        fails(stage, stage.execution(**hook(http_receiver)))
    row = Destination.objects.get()
    assert (row.state, row.last_cause) == (CircuitState.OPEN, "no answer")


def test_zero_failures_switch_the_breaker_off(stage: Stage, http_receiver: HttpReceiver, settings: Any) -> None:
    settings.OUTBOUND_BREAKER_FAILURES = 0
    http_receiver.on("/hook", Reply(status=503))
    for _ in range(8):
        assert fails(stage, stage.execution(**hook(http_receiver))).type == "HTTP503"


def test_a_410_switches_the_action_off_and_opens_one_alert_for_its_organizer(
    stage: Stage, http_receiver: HttpReceiver
) -> None:
    http_receiver.on("/hook", Reply(status=410))
    execution = stage.execution(**hook(http_receiver))
    assert fails(stage, execution).type == "Gone"
    action = WorkflowAction.objects.get()
    assert not action.is_active
    assert "410" in action.disabled_reason
    [alert] = Alert.objects.all()
    assert (alert.kind, alert.key, alert.workflow) == ("action_off", str(action.id), execution.workflow)
    assert "'Act'" in alert.message
    [entry] = AuditLog.objects.all()
    assert (entry.subject, entry.subject_id, entry.actor, entry.organizer) == (
        *("action", str(action.id), None),
        stage.organizer,
    )
    assert entry.changes == {"is_active": [True, False], "disabled_reason": ["", action.disabled_reason]}
    assert stage.run(execution, 2)["status"] == "skipped"
    assert Alert.objects.count() == AuditLog.objects.count() == 1


def test_what_nobody_foresaw_is_an_attempt_too(
    stage: Stage, http_receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("oops")

    execution = stage.execution(**hook(http_receiver))
    monkeypatch.setattr("automation.actions.destinations.admit", broken)
    for attempt in range(1, 12):
        with pytest.raises(ZeroDivisionError):
            stage.run(execution, attempt)
    error = fails(stage, execution, 12)
    assert (error.type, error.non_retryable) == ("ZeroDivisionError", True)


def test_the_organizer_is_mailed_of_a_410_once(
    stage: Stage, http_receiver: HttpReceiver, smtp_server: SmtpServer, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    http_receiver.on("/hook", Reply(status=410))
    fails(stage, stage.execution(**hook(http_receiver)))
    assert not smtp_server.messages  # not in the action's own time
    assert alerts.mail_open_alerts() == 1
    assert alerts.mail_open_alerts() == 0
    [mail] = smtp_server.messages
    assert mail.recipients == ("ada@weir.example",)
    assert "410 Gone" in mail.text


def test_switched_on_again_the_action_s_alert_is_closed(stage: Stage, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=410), Reply())
    fails(stage, stage.execution(**hook(http_receiver)))
    Workflow.objects.update(version=1)  # the stage's workflow has one
    action = WorkflowAction.objects.get()
    workflows.update_action(action, is_active=True)
    assert action.disabled_reason == ""
    assert Alert.objects.get().closed_at is not None


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_probes_and_each_gets_a_slot_of_its_own(
    transactional_db: None, stage: Stage, http_receiver: HttpReceiver, settings: Any
) -> None:
    trip(stage, http_receiver)
    http_receiver.on("/hook", Reply(status=503))
    waiting = [stage.execution(**hook(http_receiver)) for _ in range(6)]
    later(31)
    types = in_threads(lambda execution: fails(stage, execution).type, waiting)
    assert sorted(types) == ["CircuitOpen"] * 5 + ["HTTP503"]
    assert Destination.objects.get().trips == 1

    Destination.objects.update(state=CircuitState.CLOSED, failures=0)
    http_receiver.on("/hook", Reply())
    settings.OUTBOUND_RATE_HOST = "2/min"

    def attempt(execution: WorkflowExecution) -> float:
        try:
            stage.run(execution, 2)
        except ApplicationError as error:
            return (error.next_retry_delay or dt.timedelta(days=-1)).total_seconds()
        return 0.0

    assert sorted(in_threads(attempt, waiting)) == [0, 0, 30, 60, 90, 120]


def in_threads(do: Callable[[WorkflowExecution], Any], executions: Sequence[WorkflowExecution]) -> list[Any]:
    def alone(execution: WorkflowExecution) -> Any:
        try:
            return do(execution)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(executions)) as pool:
        return list(pool.map(alone, executions))


# -- rates -------------------------------------------------------------------------------------------------------------


def test_a_call_over_its_rate_waits_for_a_slot_of_its_own(
    stage: Stage, http_receiver: HttpReceiver, settings: Any
) -> None:
    settings.OUTBOUND_RATE_HOST = "2/min"
    for _ in range(2):
        assert stage.act(**hook(http_receiver))["status"] == "success"
    waiting = [stage.execution(**hook(http_receiver)) for _ in range(3)]
    delays = []
    for execution in waiting:
        error = fails(stage, execution)
        assert error.type == "RateLimited"
        assert error.next_retry_delay is not None
        delays.append(error.next_retry_delay.total_seconds())
    assert delays == [30, 60, 90]
    assert len(http_receiver.requests) == 2
    later(30)
    assert stage.run(waiting[0], 2)["status"] == "success"
    assert fails(stage, waiting[1], 2).next_retry_delay == dt.timedelta(seconds=30)  # woken early, it keeps its slot
    assert fails(stage, stage.execution(**hook(http_receiver))).next_retry_delay == dt.timedelta(seconds=90)
    later(30)
    assert stage.run(waiting[1], 3)["status"] == "success"


def test_waiting_for_a_slot_burns_no_attempt(stage: Stage, http_receiver: HttpReceiver, settings: Any) -> None:
    settings.OUTBOUND_RATE_HOST = "1/h"
    stage.act(**hook(http_receiver))
    execution = stage.execution(**hook(http_receiver))
    for attempt in range(1, 20):
        fails(stage, execution, attempt)
    http_receiver.on("/hook", Reply(status=500))
    later(3600)
    error = fails(stage, execution, 20)
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("HTTP500", False, dt.timedelta(seconds=2))


def test_a_destination_has_a_rate_of_its_own_and_the_organizer_one_for_all(
    stage: Stage, http_receiver: HttpReceiver, settings: Any
) -> None:
    settings.OUTBOUND_RATE_HOST = "1/h"
    Destination.objects.create(
        organizer=stage.organizer, host=http_receiver.url("").removeprefix("http://"), rate="off"
    )
    for _ in range(3):
        stage.act(**hook(http_receiver))
    settings.OUTBOUND_RATE_ORGANIZER = "1/h"
    stage.act(**hook(http_receiver))
    error = fails(stage, stage.execution(**hook(http_receiver)))
    assert error.type == "RateLimited"
    assert "1 in 3600 s in all" in error.message


def test_rates_are_exact() -> None:
    rate = parse_rate("3/min")
    assert rate is not None
    slots, row = [], None
    for _ in range(7):
        slot, row = rate.take(row, NOW)
        slots.append((slot - NOW).total_seconds())
    assert slots == [0, 0, 0, 20, 40, 60, 80]
    assert rate.take(row, NOW + dt.timedelta(hours=1))[0] == NOW + dt.timedelta(hours=1)
    assert parse_rate("off") is None
