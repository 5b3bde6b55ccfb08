"""Trying workflows, with real workers: a bulk test, a live test to oneself, and a message that is sent now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automation.models import BookingStatus, BulkTest, BulkTestResult, Trigger, Workflow, WorkflowExecution
from automation.services import bulk_tests, planned, trials, workflows
from tests.automation.factories import NOW, make_booking, make_event_type, make_organizer
from tests.support.mail import SmtpServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

MAIL = {"action_type": "send_email", "subject": "{{ event_type_name }}", "message": "Hello {{ invitee_name }}"}


def make(trigger: str = Trigger.BOOKING_CREATED, name: str = "W", **fields: Any) -> Workflow:
    return workflows.create(make_organizer(), name=name, trigger=trigger, **{"actions": [MAIL], **fields})


def test_it_tries_many_on_workers_and_sends_nothing(shared_worker: Any, smtp_server: SmtpServer) -> None:
    olga = make_organizer()
    event_type = make_event_type(olga)
    for _ in range(30):
        make_booking(event_type, status=BookingStatus.COMPLETED)
    made = [make(name=name, is_active=False).pk for name in ("A", "B")]
    test = bulk_tests.start(olga, test_type="real_data", workflow_ids=made, last_bookings=30)
    assert isinstance(test, BulkTest)

    def completed() -> bool:
        row = bulk_tests.with_progress(BulkTest.objects.filter(pk=test.pk)).get()
        return bulk_tests.status_of(row, 0) == "completed"

    wait_until(completed, 40, lambda: str(list(WorkflowExecution.objects.values("status", "error_message"))))
    results = BulkTestResult.objects.filter(bulk_test=test)
    assert sorted(results.values_list("position", flat=True)) == list(range(60))
    assert results.filter(passed=True).count() == 60
    assert smtp_server.messages == []


def test_a_live_test_and_a_planned_message_go_out_when_they_are_told_to(
    shared_worker: Any, smtp_server: SmtpServer
) -> None:
    olga = make_organizer()
    booking = make_booking(make_event_type(olga), start_time=NOW + timedelta(days=3))
    trials.start_live(make(is_active=False), booking, by=olga, send_to_me=True)
    (mine,) = smtp_server.wait_for(1, timeout=40)
    assert (mine.recipients, mine.subject) == (("olga@example.com",), "[Test] Discovery Call")

    reminder = make(Trigger.BEFORE_MEETING, "Reminder", delay_minutes=60)
    rows = WorkflowExecution.objects.filter(workflow=reminder)
    wait_until(lambda: rows.filter(status="pending").exists(), 40, lambda: str(rows.values("status", "error_message")))
    planned.send_now(booking, rows.get().pk, by=olga.email)
    _, theirs = smtp_server.wait_for(2, timeout=40)
    assert (theirs.recipients, theirs.subject) == (("ina@example.com",), "Discovery Call")
