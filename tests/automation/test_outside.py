"""Whole workflows and a world that fails: what waits, what goes on, what is replayed, and where a loop ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from automation import clock
from automation.durable import activity, registry, workflow
from automation.models import (
    Alert,
    Booking,
    BookingAuditLog,
    BookingEvent,
    CircuitState,
    Destination,
    ExecutionStatus,
    HeldCall,
    HeldState,
    Trigger,
    WorkflowExecution,
)
from automation.services import bookings, destinations
from automation.services.executions import execution_log
from tests.automation.factories import make_action, make_booking, make_workflow
from tests.support.carrier import Carrier, carrying
from tests.support.receiver import HttpReceiver, Reply
from tests.support.rows import clear

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    with carrying() as one:
        yield one
    clear()


def hook(receiver: HttpReceiver) -> dict[str, Any]:
    return {"action_type": "webhook", "webhook_url": receiver.url(), "subject": "", "message": ""}


NOTE = {"action_type": "update_booking", "update_booking_fields": {"meeting_id": "noted"}, "subject": "", "message": ""}


def statuses() -> Counter[str]:
    return Counter(WorkflowExecution.objects.values_list("status", flat=True))


def test_while_a_host_is_away_only_its_action_waits_and_all_is_delivered_once_when_it_is_back(
    carrier: Carrier, http_receiver: HttpReceiver, settings: Any
) -> None:
    settings.OUTBOUND_BREAKER_FAILURES = 2
    http_receiver.on("/hook", Reply(status=503))
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, order=0, **hook(http_receiver))
    make_action(flow, order=0, **NOTE)
    for number in range(8):
        make_booking(flow.event_types.first(), flow.organizer, invitee_email=f"i{number}@example.com")
    carrier.drain()
    assert Destination.objects.get().state == CircuitState.OPEN
    assert len(http_receiver.requests) == 2
    assert HeldCall.objects.filter(state=HeldState.HELD).count() == 6
    assert BookingAuditLog.objects.count() == 8  # the other action went on
    assert statuses() == {ExecutionStatus.RUNNING: 8}
    http_receiver.on("/hook", Reply())
    carrier.finish(days=1)
    assert statuses() == {ExecutionStatus.COMPLETED: 8}
    keys = Counter(request.headers["idempotency-key"] for request in http_receiver.requests)
    assert len(keys) == 8
    assert sum(keys.values()) <= 8 + 2  # the two that had failed, and each once
    assert not HeldCall.objects.exists()
    assert Destination.objects.get().state == CircuitState.CLOSED
    assert not Alert.objects.filter(kind="circuit", closed_at=None).exists()


def test_what_failed_for_good_is_replayed_in_bulk_by_its_cause(carrier: Carrier, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=401), Reply(status=401), Reply(status=401), Reply(status=400))
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, **hook(http_receiver))
    for _ in range(4):
        make_booking(None, flow.organizer)
    carrier.finish()
    assert statuses() == {ExecutionStatus.FAILED: 4}
    row = Destination.objects.get()
    found = [(cause["cause"], cause["failed"]) for cause in destinations.causes(row)]
    assert found == [("HTTP 401", 3), ("HTTP 400", 1)]
    first = {request.headers["idempotency-key"] for request in http_receiver.requests}

    http_receiver.on("/hook", Reply())
    assert destinations.replay(row.pk, "HTTP 401") == 3
    carrier.finish()
    assert statuses() == {ExecutionStatus.COMPLETED: 3, ExecutionStatus.FAILED: 1}
    assert {request.headers["idempotency-key"] for request in http_receiver.requests} == first
    assert [cause["cause"] for cause in destinations.causes(row)] == ["HTTP 400"]


def test_a_replayed_call_has_all_its_attempts_again(carrier: Carrier, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=400))
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, **hook(http_receiver))
    make_booking(None, flow.organizer)
    carrier.finish()
    http_receiver.on("/hook", Reply(status=500), Reply(status=500), Reply())
    assert destinations.replay(Destination.objects.get().pk) == 1
    carrier.finish()
    assert statuses() == {ExecutionStatus.COMPLETED: 1}
    assert len(http_receiver.requests) == 4


def test_what_was_cancelled_meanwhile_stays_so(carrier: Carrier, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=400))
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, **hook(http_receiver))
    booking = make_booking(None, flow.organizer)
    carrier.finish()
    bookings.cancel(booking.pk)
    carrier.drain()
    http_receiver.on("/hook", Reply())
    destinations.replay(Destination.objects.get().pk)
    carrier.finish()
    [entry] = execution_log(WorkflowExecution.objects.get())
    assert entry["status"] == "skipped"
    assert len(http_receiver.requests) == 1
    assert destinations.tidy(clock.now()) == 1  # what was skipped waits for nobody
    assert not HeldCall.objects.exists()
    assert destinations.tidy(clock.now() + timedelta(days=31)) == 1  # nor is the host of any concern
    assert not Destination.objects.exists()


def test_calls_that_are_not_meant_any_more_do_not_keep_a_circuit_open(
    carrier: Carrier, http_receiver: HttpReceiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "BATCH", 2)
    settings.OUTBOUND_BREAKER_FAILURES = 1
    http_receiver.on("/hook", Reply(status=503))
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, **hook(http_receiver))
    made = [make_booking(None, flow.organizer) for _ in range(6)]
    carrier.drain()
    for booking in made[:5]:
        bookings.cancel(booking.pk)
    http_receiver.on("/hook", Reply())
    carrier.finish(days=1)
    assert statuses() == {ExecutionStatus.COMPLETED: 6}
    assert Destination.objects.get().state == CircuitState.CLOSED
    assert len(http_receiver.requests) == 2


def test_alerts_end_with_what_they_are_about(carrier: Carrier, http_receiver: HttpReceiver, settings: Any) -> None:
    settings.OUTBOUND_BREAKER_FAILURES = 1
    http_receiver.on("/hook", Reply(status=503))
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, **hook(http_receiver))
    make_booking(None, flow.organizer)
    carrier.drain()
    assert [alert.kind for alert in Alert.objects.filter(closed_at=None)] == ["circuit"]
    destinations.tidy(clock.now())
    assert Alert.objects.filter(closed_at=None).count() == 1
    Destination.objects.all().delete()
    destinations.tidy(clock.now())
    assert not Alert.objects.filter(closed_at=None).exists()


def test_a_rate_spreads_calls_over_time_and_loses_none(
    carrier: Carrier, http_receiver: HttpReceiver, settings: Any
) -> None:
    settings.OUTBOUND_RATE_HOST = "3/min"
    flow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    make_action(flow, **hook(http_receiver))
    for _ in range(7):
        make_booking(None, flow.organizer)
    carrier.drain()
    assert len(http_receiver.requests) == 3
    carrier.finish()
    assert statuses() == {ExecutionStatus.COMPLETED: 7}
    assert len(http_receiver.requests) == 7
    starts = sorted(WorkflowExecution.objects.values_list("completed_at", flat=True))
    assert starts[-1] - starts[0] >= timedelta(seconds=79)  # by the clock that the test moves


def test_a_loop_through_a_python_workflow_ends_with_a_reason(carrier: Carrier) -> None:
    with registry.scoped():

        @activity.defn(name="outside_move")
        def move(booking: str) -> None:
            row = Booking.objects.get(pk=booking)
            bookings.reschedule(row.pk, row.start_time + timedelta(hours=1), source="calendar")

        @workflow.defn(name="outside_loop")
        class Loop:
            @workflow.run
            async def run(self, booking: str) -> None:
                await workflow.execute_child_workflow("outside_mover", booking)

        @workflow.defn(name="outside_mover")
        class Mover:
            @workflow.run
            async def run(self, booking: str) -> None:
                await workflow.execute_activity(move, booking, start_to_close_timeout=timedelta(seconds=30))

        registry.register_activity(move)
        registry.register_workflow(Loop)
        registry.register_workflow(Mover)
        flow = make_workflow(Trigger.BOOKING_RESCHEDULED, actions=0)
        started = {"workflow": "outside_loop", "input": {"booking": "{{ booking_id }}"}}
        make_action(flow, action_type="run_workflow", config=started, subject="", message="")
        booking = make_booking(None, flow.organizer)
        carrier.drain()
        bookings.reschedule(booking.pk, booking.start_time + timedelta(hours=1), actor="ada@example.com", source="web")
        carrier.finish()
    own = list(WorkflowExecution.objects.filter(workflow=flow).order_by("id"))
    assert [execution.depth for execution in own] == [0, 2, 4]
    assert [e.depth for e in WorkflowExecution.objects.filter(definition="outside_loop").order_by("id")] == [1, 3]
    [entry] = execution_log(own[-1])
    assert entry["status"] == "skipped"
    assert "5 workflows have led to this one" in entry["notes"][0]
    moved = BookingEvent.objects.filter(trigger=Trigger.BOOKING_RESCHEDULED).order_by("occurred_at")
    assert list(moved.values_list("source", "depth")) == [("web", 0), ("calendar", 2), ("calendar", 4)]
    causes: list[UUID | None] = list(moved.values_list("caused_by", flat=True))
    assert causes[0] is None
    assert None not in causes[1:]
