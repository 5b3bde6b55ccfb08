"""Bookings under fire: each sets off a webhook, two webhooks side by side, and a change of the booking, while workers
are killed and the broker loses everything. All complete without help; nothing is lost, nothing takes effect twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from automation.models import (
    OPEN_STATUSES,
    Booking,
    BookingAuditLog,
    ExecutionStatus,
    Trigger,
    WorkflowExecution,
)
from project.embedded import RedisServer
from tests.automation.factories import make_action, make_booking, make_event_type, make_workflow
from tests.faults.conftest import StartWorker
from tests.support.consistency import assert_consistent
from tests.support.processes import Beat
from tests.support.receiver import HttpReceiver
from tests.support.waiting import wait_until

PATHS = ("/first", "/left", "/right")


class Bookings:
    """Bookings whose automation calls three webhooks and then sets the booking's meeting id."""

    def __init__(self, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        self.event_type = make_event_type()
        workflow = make_workflow(Trigger.BOOKING_CREATED, self.event_type.organizer, actions=0)
        for path, order in zip(PATHS, (0, 1, 1), strict=True):
            make_action(
                workflow, name=path, order=order, action_type="webhook", webhook_url=receiver.url(path), message=""
            )
        make_action(
            workflow,
            name="Set the meeting id",
            order=2,
            action_type="update_booking",
            update_booking_fields={"meeting_id": "for {{ invitee_name }}"},
        )
        self.made: list[Booking] = []

    def make(self, count: int) -> None:
        for _ in range(count):
            name = f"Invitee {len(self.made)}"
            self.made.append(make_booking(self.event_type, invitee_name=name))

    def executions(self) -> Any:
        return WorkflowExecution.objects.filter(booking__in=self.made, trigger=Trigger.BOOKING_CREATED)

    def wait(self, timeout: float) -> None:
        wait_until(
            lambda: (
                self.executions().count() == len(self.made)
                and not self.executions().filter(status__in=OPEN_STATUSES).exists()
            ),
            timeout,
            lambda: f"all {len(self.made)} have ended; got {self.by_status()}",
            interval=0.3,
        )

    def by_status(self) -> Counter[str]:
        return Counter(self.executions().values_list("status", flat=True))

    def check(self) -> None:
        assert self.by_status() == {ExecutionStatus.COMPLETED: len(self.made)}
        ids = list(self.executions().values_list("id", flat=True))
        for path in PATHS:
            keys = {request.headers["idempotency-key"] for request in self.receiver.requests if request.path == path}
            executions = {key.split(":")[0] for key in keys}
            assert executions == set(map(str, ids)), path
            assert len(keys) == len(ids), f"{path}: a repeated call has the key of the first one"
        for booking in self.made:
            booking.refresh_from_db()
            assert booking.meeting_id == f"for {booking.invitee_name}"
        updates = Counter(BookingAuditLog.objects.filter(execution__in=ids).values_list("booking_id", flat=True))
        assert updates == {booking.id: 1 for booking in self.made}
        wait_until(
            lambda: not WorkflowExecution.objects.filter(id__in=ids, steps__due__isnull=False).exists(),
            30,
            "steps of ended executions are no longer due",
            interval=0.2,
        )
        assert_consistent(ids)


def _under_fire(
    receiver: HttpReceiver,
    worker: StartWorker,
    trouble: Callable[..., Any],
    redis: RedisServer,
    count: int,
    seconds: float,
) -> None:
    bookings = Bookings(receiver)
    struck = trouble(worker(), worker())
    for _ in range(2):
        bookings.make(count // 2)
        struck.for_seconds(seconds, every=3.0 if seconds > 5 else 1.0)
        redis.flush()
    redis.kill()
    redis.start()
    struck.end()
    bookings.wait(180)
    bookings.check()


@pytest.mark.real
def test_bookings_under_fire(
    http_receiver: HttpReceiver, worker: StartWorker, trouble: Callable[..., Any], redis_server: RedisServer
) -> None:
    _under_fire(http_receiver, worker, trouble, redis_server, 20, 2.5)


@pytest.mark.faults
def test_two_hundred_bookings_under_fire(
    http_receiver: HttpReceiver,
    worker: StartWorker,
    beat: Callable[..., Beat],
    trouble: Callable[..., Any],
    redis_server: RedisServer,
) -> None:
    beat()
    _under_fire(http_receiver, worker, trouble, redis_server, 200, 15.0)
