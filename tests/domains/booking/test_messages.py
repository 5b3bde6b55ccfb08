"""What follows a creation, reminders of one and of many, and sessions that are moved."""

from __future__ import annotations

import datetime as dt

import icalendar
import pytest
from django.core import mail

from automation import clock
from automation.domains.shared.models import Figure
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import Booking, BookingAuditLog, BookingEvent, BookingStatus, ExecutionStep
from automation.models.ids import uuid7
from tests.domains.booking import factories as make

RESCHEDULE = "ReschedulingWorkflow"


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


# -- BookingCreatedWorkflow --------------------------------------------------------------------------------------------


def test_a_new_booking_is_confirmed_to_both_and_put_into_calendars(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    result = env.run("BookingCreatedWorkflow", booking.pk)
    assert result["confirmed"] == ["invitee", "organizer"]
    [event] = icalendar.Calendar.from_ical(result["calendar"]).walk("VEVENT")
    assert event["uid"].startswith(f"{booking.pk}@")
    assert event.decoded("dtstart") == booking.start_time
    assert Figure.objects.get(name="booking_created").value == 1
    assert sorted(letter.to[0] for letter in mail.outbox) == ["ina@example.com", "olga@example.com"]
    for letter in mail.outbox:
        [calendar] = [part for part in letter.message().walk() if part.get_content_type() == "text/calendar"]
        assert f"UID:{booking.pk}".encode() in calendar.get_payload(decode=True)


def test_an_unknown_booking_is_named(env: WorkflowEnvironment) -> None:
    unknown = uuid7()
    with pytest.raises(WorkflowFailureError) as caught:
        env.run("BookingCreatedWorkflow", unknown)
    assert f"There is no booking {unknown}" in str(caught.value.cause.__cause__)


# -- BookingReminderWorkflow -------------------------------------------------------------------------------------------


def test_reminders_go_out_at_their_offsets(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    handle = env.start("BookingReminderWorkflow", booking.pk, [60, 2880, 1440], False)
    for hours, count in ((48, 1), (24, 2), (1, 3)):
        env.skip_to(booking.start_time - dt.timedelta(hours=hours, seconds=5))
        assert len(mail.outbox) == count - 1
        env.skip(dt.timedelta(seconds=10))
        assert len(mail.outbox) == count
    assert handle.result() == {"booking_id": str(booking.pk), "sent": [2880, 1440, 60], "skipped": []}
    assert [letter.subject for letter in mail.outbox] == [
        "Reminder: Yoga in 2 days",
        "Reminder: Yoga in 24 hours",
        "Reminder: Yoga in 1 hour",
    ]


def test_an_offset_whose_time_has_passed_is_skipped(env: WorkflowEnvironment) -> None:
    result = env.run("BookingReminderWorkflow", make.session(3).pk)
    assert (result["sent"], result["skipped"]) == ([60], [1440])


def test_a_session_that_is_off_is_not_reminded_of(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    handle = env.start("BookingReminderWorkflow", booking.pk)
    Booking.objects.filter(pk=booking.pk).update(status="cancelled")
    assert handle.result()["sent"] == []
    assert not mail.outbox


# -- BatchReminderWorkflow ---------------------------------------------------------------------------------------------


def test_all_sessions_of_a_window_are_reminded_of_in_one_chord(env: WorkflowEnvironment) -> None:
    for hours in (1, 5, 23):
        make.session(hours)
    make.session(25)
    make.session(2, status="cancelled")
    make.session(3, invitee_email="ina@invalid..example")
    handle = env.start("BatchReminderWorkflow")
    assert handle.result() == {"total": 4, "sent": 3, "failed": 1, "skipped": 0}
    assert len(mail.outbox) == 3
    steps = ExecutionStep.objects.filter(execution=handle.execution, name="send_session_message")
    assert (steps.count(), steps.values("canvas").distinct().count()) == (4, 1)


def test_nobody_is_reminded_twice(env: WorkflowEnvironment) -> None:
    make.session(5)
    assert env.run("BatchReminderWorkflow")["sent"] == 1
    assert env.run("BatchReminderWorkflow") == {"total": 1, "sent": 0, "failed": 0, "skipped": 1}
    assert len(mail.outbox) == 1


def test_a_window_without_sessions(env: WorkflowEnvironment) -> None:
    assert env.run("BatchReminderWorkflow", 2.0) == {"total": 0, "sent": 0, "failed": 0, "skipped": 0}


def test_many_sessions_take_several_chords(env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    from automation.domains.booking.workflows import messages

    monkeypatch.setattr(messages, "AT_ONCE", 2)
    for hours in range(1, 6):
        make.session(hours)
    handle = env.start("BatchReminderWorkflow")
    assert handle.result()["sent"] == 5
    steps = ExecutionStep.objects.filter(execution=handle.execution, name="send_session_message")
    assert steps.values("canvas").distinct().count() == 3


# -- ReschedulingWorkflow ----------------------------------------------------------------------------------------------


def test_a_session_is_moved_and_both_are_told(env: WorkflowEnvironment) -> None:
    old = make.session(72)
    start = clock.now().replace(microsecond=0) + dt.timedelta(hours=100)
    result = env.run(RESCHEDULE, old.pk, start)
    new = Booking.objects.get(rescheduled_from=old)
    old.refresh_from_db()
    assert result["status"] == "rescheduled"
    assert result["new_booking_id"] == str(new.pk)
    assert (old.status, new.status) == (BookingStatus.RESCHEDULED, BookingStatus.CONFIRMED)
    assert (new.start_time, new.end_time - new.start_time) == (start, dt.timedelta(hours=1))
    assert new.invitee_email == "ina@example.com"
    assert result["told"] == ["invitee", "organizer"]
    assert all("is now on" in letter.subject for letter in mail.outbox)
    assert BookingEvent.objects.filter(booking=new, trigger="booking_rescheduled").count() == 1
    assert BookingAuditLog.objects.get(booking=old).new_values == {"status": "rescheduled"}


@pytest.mark.parametrize(
    ("trouble", "words"),
    [("taken", "another session"), ("past", "a start in the future"), ("inactive", "switched off")],
)
def test_a_session_that_cannot_be_moved_stays(env: WorkflowEnvironment, trouble: str, words: str) -> None:
    old = make.session(72)
    start = clock.now() + dt.timedelta(hours=100)
    if trouble == "taken":
        make.session(100.5, event_type=old.event_type)
    elif trouble == "past":
        start = clock.now() - dt.timedelta(hours=1)
    else:
        type(old.event_type).objects.update(is_active=False)
    result = env.run(RESCHEDULE, old.pk, start)
    assert result["status"] == "reinstated"
    assert words in result["error"]
    old.refresh_from_db()
    assert old.status == BookingStatus.CONFIRMED
    assert not Booking.objects.filter(rescheduled_from=old).exists()
    assert {letter.subject.split(" on ")[0] for letter in mail.outbox} == {"Yoga stays"}


@pytest.mark.parametrize("state", ["cancelled", "completed", "no_show"])
def test_what_is_over_is_not_moved(env: WorkflowEnvironment, state: str) -> None:
    old = make.session(72, status=state)
    result = env.run(RESCHEDULE, old.pk, clock.now() + dt.timedelta(hours=100))
    assert (result["status"], state in result["error"]) == ("refused", True)
    assert not mail.outbox


def test_two_moves_at_once_make_one_new_session(env: WorkflowEnvironment) -> None:
    old = make.session(72)
    start = clock.now() + dt.timedelta(hours=100)
    first, second = env.start(RESCHEDULE, old.pk, start), env.start(RESCHEDULE, old.pk, start)
    assert (first.result()["status"], second.result()["status"]) == ("rescheduled", "refused")
    assert Booking.objects.filter(rescheduled_from=old).count() == 1
