"""A session from its confirmation to its survey, in time that is skipped."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core import mail

from automation import clock
from automation.domains.booking import following
from automation.domains.booking.models import Attendance, SessionMessage
from automation.domains.payment.models import Earning
from automation.domains.shared.models import Event, Figure
from automation.durable import inbox, payloads
from automation.durable.testing import EnvironmentHandle, WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import Booking, BookingAuditLog, BookingStatus, NotificationLog, Suppression
from automation.providers.email import Email
from automation.providers.sms import memory as sms
from tests.domains.booking import factories as make

SESSION, LIFECYCLE, NO_SHOW = "BookingWorkflow", "BookingLifecycleWorkflow", "NoShowWorkflow"


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


@pytest.fixture(autouse=True)
def _texts(settings: Any) -> None:
    settings.SMS_BACKEND = "automation.providers.sms.memory.MemoryBackend"
    sms.clear()


def subjects(to: str) -> list[str]:
    return [letter.subject.split(":")[0] for letter in mail.outbox if letter.to == [to]]


def send(handle: EnvironmentHandle, env: WorkflowEnvironment, name: str, *args: object) -> None:
    inbox.signal(handle.execution.id, name, payloads.encode(list(args)))
    env.settle()


def status(booking: Booking) -> str:
    booking.refresh_from_db()
    return booking.status


# -- BookingWorkflow ---------------------------------------------------------------------------------------------------


def test_a_session_that_takes_place(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    sale = make.sold(booking)
    assert env.run("PaymentProcessingWorkflow", sale.pk)["status"] == "paid"
    mail.outbox.clear()
    handle = env.start(SESSION, booking.pk)
    assert subjects("ina@example.com") == ["Confirmed"]
    env.skip_to(booking.start_time - dt.timedelta(hours=48, seconds=1))
    assert subjects("ina@example.com") == ["Confirmed"]
    env.skip(dt.timedelta(seconds=2))
    assert subjects("ina@example.com") == ["Confirmed", "Reminder"]
    assert subjects("olga@example.com") == ["Confirmed", "Reminder"]
    env.skip_to(booking.start_time - dt.timedelta(minutes=16))
    booking.refresh_from_db()
    assert not booking.meeting_link
    env.skip(dt.timedelta(minutes=2))
    booking.refresh_from_db()
    assert booking.meeting_link
    make.joins(booking)
    env.skip_to(booking.end_time - dt.timedelta(minutes=1))
    assert status(booking) == BookingStatus.CONFIRMED
    env.skip(dt.timedelta(minutes=2))
    assert status(booking) == BookingStatus.COMPLETED
    earning = Earning.objects.get()
    assert (earning.amount, earning.payment) == (85, sale)
    assert earning.available_at - booking.end_time == pytest.approx(dt.timedelta(hours=48), abs=dt.timedelta(minutes=1))
    result = handle.result()
    assert clock.now() - booking.end_time == pytest.approx(dt.timedelta(hours=24), abs=dt.timedelta(minutes=1))
    assert (result["status"], result["survey"], result["earnings"]["net"]) == ("completed", True, "85.00")
    assert result["room"] == booking.meeting_link
    assert mail.outbox[-1].subject == "How was Yoga?"
    assert Figure.objects.get(name="session_completed").value == 1
    assert BookingAuditLog.objects.filter(booking=booking, action="completed").count() == 1


def test_a_session_that_costs_nothing_earns_nothing(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    make.joins(booking)
    result = env.run(SESSION, booking.pk)
    assert (result["status"], result["earnings"]["status"]) == ("completed", "no_payment")


@pytest.mark.parametrize("state", ["cancelled", "rescheduled"])
def test_what_is_not_confirmed_is_not_begun(env: WorkflowEnvironment, state: str) -> None:
    booking = make.session(72, status=state)
    assert env.run(SESSION, booking.pk) == {"booking_id": str(booking.pk), "status": state}
    assert not mail.outbox


def test_a_cancellation_on_the_way_ends_it(env: WorkflowEnvironment) -> None:
    booking = make.session(240)
    handle = env.start(SESSION, booking.pk)
    env.skip(dt.timedelta(days=3))
    booking.status = BookingStatus.CANCELLED
    booking.save()
    assert handle.result()["status"] == "cancelled"
    assert subjects("ina@example.com") == ["Confirmed"], "no reminder of what is not to be"


@pytest.mark.django_db(transaction=True)
def test_a_session_that_is_moved_is_followed_at_once(env: WorkflowEnvironment) -> None:
    booking = make.session(240)
    handle = env.start(SESSION, booking.pk)
    booking.start_time, booking.end_time = clock.now() + dt.timedelta(hours=50), clock.now() + dt.timedelta(hours=51)
    booking.save()
    env.settle()
    env.skip(dt.timedelta(hours=3))
    assert subjects("ina@example.com") == ["Confirmed", "Reminder"]
    make.joins(booking)
    assert handle.result()["status"] == "completed"


def test_a_lost_signal_of_a_change_costs_a_day_at_most(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "tell", lambda *_: 0)
    booking = make.session(240)
    handle = env.start(SESSION, booking.pk)
    booking.start_time, booking.end_time = clock.now() + dt.timedelta(hours=60), clock.now() + dt.timedelta(hours=61)
    booking.save()
    make.joins(booking)
    assert handle.result(within=dt.timedelta(hours=86))["status"] == "completed"


def test_a_session_completed_by_hand_before_the_attendance_check_earns(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    sale = make.sold(booking)
    env.run("PaymentProcessingWorkflow", sale.pk)
    handle = env.start(SESSION, booking.pk)
    env.skip_to(booking.start_time + dt.timedelta(minutes=10))
    booking.refresh_from_db()
    booking.status = BookingStatus.COMPLETED
    booking.save()
    result = handle.result()
    assert (result["status"], result["earnings"]["net"]) == ("completed", "85.00")


def test_a_signal_about_nobody_ends_no_session(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    handle = env.start(SESSION, booking.pk)
    send(handle, env, "participant_joined", "ghost")
    make.joins(booking)
    assert handle.result()["status"] == "completed"
    assert not Attendance.objects.exclude(role="invitee").exists()


def test_a_room_that_cannot_be_made_ends_no_session(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    make.joins(booking)

    def create_room(booking_id: str) -> None:
        from automation.durable.exceptions import ApplicationError

        raise ApplicationError("no rooms today", non_retryable=True)

    env.replace_activities({"create_room": create_room})
    result = env.run(SESSION, booking.pk)
    assert (result["status"], result["room"]) == ("completed", "")


def test_feedback_that_came_spares_the_survey(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    make.joins(booking)
    handle = env.start(SESSION, booking.pk)
    env.skip(dt.timedelta(hours=3))
    make.thinks(booking)
    send(handle, env, "feedback_given")
    assert handle.result()["survey"] is False
    assert clock.now() < booking.end_time + dt.timedelta(hours=12)


def test_an_address_that_takes_no_mail_ends_no_session(env: WorkflowEnvironment) -> None:
    booking = make.session(1, invitee_email="ina@invalid..example")
    make.joins(booking)
    assert env.run(SESSION, booking.pk)["status"] == "completed"
    assert set(SessionMessage.objects.filter(role="invitee").values_list("status", flat=True)) == {"failed"}


def test_an_address_on_the_organizers_list_gets_no_mail_of_a_session(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    make.joins(booking)
    Suppression.objects.create(
        organizer_id=booking.organizer_id, channel="email", recipient="ina@example.com", reason="bounced"
    )
    assert env.run(SESSION, booking.pk)["status"] == "completed"
    assert subjects("ina@example.com") == []
    [error] = set(SessionMessage.objects.filter(role="invitee").values_list("error", flat=True))
    assert error == "Nothing is sent to ina@example.com: the address does not exist."


# -- no-shows ----------------------------------------------------------------------------------------------------------


def test_an_invitee_who_never_comes_is_a_no_show_with_an_offer(env: WorkflowEnvironment) -> None:
    booking = make.session(1, invitee_phone="+34600123456")
    result = env.run(SESSION, booking.pk)
    assert (result["status"], result["offer"]) == ("no_show", True)
    assert status(booking) == BookingStatus.NO_SHOW
    assert clock.now() - booking.start_time == pytest.approx(dt.timedelta(minutes=20), abs=dt.timedelta(minutes=1))
    assert subjects("ina@example.com") == ["Confirmed", "We are waiting for you", "We missed you"]
    assert f"/b/{booking.access_token}/reschedule/" in mail.outbox[-1].body
    assert [text.to for text in sms.outbox] == ["+34600123456"]
    assert not Earning.objects.exists()
    assert Event.objects.filter(name="session_no_show").exists()


def test_an_invitee_who_comes_after_the_message_is_recovered(env: WorkflowEnvironment) -> None:
    booking = make.session(1)
    handle = env.start(SESSION, booking.pk)
    env.skip_to(booking.start_time + dt.timedelta(minutes=17))
    assert subjects("ina@example.com")[-1] == "We are waiting for you"
    make.joins(booking)
    result = handle.result()
    assert result["status"] == "completed"
    assert status(booking) == BookingStatus.COMPLETED
    assert "We missed you" not in subjects("ina@example.com")


def test_a_no_show_flow_of_its_own_is_recovered_by_a_signal(env: WorkflowEnvironment) -> None:
    booking = make.session(-0.25)
    handle = env.start(NO_SHOW, booking.pk)
    send(handle, env, "participant_joined", "invitee")
    assert handle.result()["status"] == "recovered"
    assert Attendance.objects.get().role == "invitee"
    assert clock.now() - booking.start_time < dt.timedelta(minutes=20)


def test_an_organizer_alone_is_no_invitee(env: WorkflowEnvironment) -> None:
    booking = make.session(-0.25)
    make.joins(booking, "organizer")
    assert env.run(NO_SHOW, booking.pk)["status"] == "no_show"


def test_a_cancellation_while_waiting_is_no_no_show(env: WorkflowEnvironment) -> None:
    booking = make.session(-0.25)
    handle = env.start(NO_SHOW, booking.pk)
    Booking.objects.filter(pk=booking.pk).update(status="cancelled")
    assert handle.result()["status"] == "cancelled"


# -- BookingLifecycleWorkflow ------------------------------------------------------------------------------------------


def test_a_lifecycle_with_feedback(env: WorkflowEnvironment) -> None:
    booking = make.session(48)
    handle = env.start(LIFECYCLE, booking.pk)
    env.skip_to(booking.start_time - dt.timedelta(hours=23, minutes=59))
    assert subjects("ina@example.com") == ["Confirmed", "Reminder"]
    make.joins(booking)
    env.skip_to(booking.end_time + dt.timedelta(minutes=1))
    assert status(booking) == BookingStatus.COMPLETED
    assert subjects("ina@example.com")[-1] == "Thank you for coming"
    make.thinks(booking)
    result = handle.result()
    assert (result["status"], result["feedback"], result["feedback_reminder"]) == ("completed", True, False)


def test_a_lifecycle_without_feedback_reminds_after_three_days(env: WorkflowEnvironment) -> None:
    booking = make.session(48)
    handle = env.start(LIFECYCLE, booking.pk)
    make.joins(booking)
    result = handle.result()
    assert (result["feedback"], result["feedback_reminder"]) == (False, True)
    assert clock.now() - booking.end_time == pytest.approx(dt.timedelta(days=3), abs=dt.timedelta(minutes=1))
    assert "your thoughts" in mail.outbox[-1].subject


def test_a_lifecycle_to_which_nobody_came(env: WorkflowEnvironment) -> None:
    booking = make.session(48)
    assert env.run(LIFECYCLE, booking.pk)["status"] == "no_show"
    assert status(booking) == BookingStatus.NO_SHOW


def test_a_lifecycle_of_a_session_completed_by_hand(env: WorkflowEnvironment) -> None:
    booking = make.session(2)
    handle = env.start(LIFECYCLE, booking.pk)
    env.skip_to(booking.start_time + dt.timedelta(minutes=30))
    booking.refresh_from_db()
    booking.status = BookingStatus.COMPLETED
    booking.save()
    assert handle.result()["status"] == "completed"


def test_letters_are_in_the_readers_time_zone(env: WorkflowEnvironment) -> None:
    booking = make.session(72, start_time=dt.datetime(2027, 1, 15, 17, 0, tzinfo=dt.UTC),
                           end_time=dt.datetime(2027, 1, 15, 18, 0, tzinfo=dt.UTC))  # fmt: skip
    env.start(SESSION, booking.pk)
    by_reader = {letter.to[0]: letter.body for letter in mail.outbox}
    assert "Friday, 15 January 2027, 12:00 (America/New_York)" in by_reader["ina@example.com"]
    assert "Friday, 15 January 2027, 18:00 (Europe/Madrid)" in by_reader["olga@example.com"]


def test_a_message_that_somebody_began_to_send_keeps_its_message_id(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    SessionMessage.objects.create(booking=booking, sequence=0, kind="confirmation", role="invitee", key="theirs")
    env.run("BookingCreatedWorkflow", booking.pk)
    [letter] = [one for one in mail.outbox if one.to == ["ina@example.com"]]
    theirs = Email(to="ina@example.com", subject="", text="", idempotency_key="theirs").message_id
    assert letter.extra_headers["Message-ID"] == theirs


def test_two_workflows_of_one_session_confirm_it_once(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    env.start(SESSION, booking.pk)
    env.start(LIFECYCLE, booking.pk)
    env.run("BookingCreatedWorkflow", booking.pk)
    assert subjects("ina@example.com") == ["Confirmed"]
    assert NotificationLog.objects.filter(status="sent").count() == 2
