"""What comes too late is not sent; what is put off waits, is looked at again, and uses up no attempt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import clock
from automation.actions.messages import RETRY_POLICY
from automation.actions.wishes import quiet_until
from automation.durable import retry
from automation.durable.deferral import Deferred
from automation.durable.exceptions import ApplicationError
from automation.models import NotificationLog, NotificationPreference, Suppression, WorkflowExecution
from tests.actions.conftest import Change, Stage
from tests.support.mail import SmtpServer

JOSE = "jose@enterprise.example"
MAIL: dict[str, Any] = {"action_type": "send_email", "subject": "Soon", "message": "See you"}
Clock = Callable[[dt.datetime], None]

pytestmark = pytest.mark.usefixtures("smtp")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return lambda moment: monkeypatch.setattr(clock, "now", lambda: moment)


def planned(execution: WorkflowExecution, moment: dt.datetime) -> WorkflowExecution:
    WorkflowExecution.objects.filter(id=execution.id).update(scheduled_for=moment)
    return execution


# --- Too late ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["skip", "run_now"])
def test_an_overdue_reminder_does_not_come_after_the_meeting_has_begun(
    policy: str, stage: Stage, smtp_server: SmtpServer, at: Clock
) -> None:
    """The workers were down for an hour."""
    start = stage.booking.start_time
    execution = planned(stage.execution("before_meeting", **MAIL), start - dt.timedelta(minutes=30))
    assert execution.workflow is not None
    type(execution.workflow).objects.filter(id=execution.workflow.id).update(late_policy=policy)
    at(start + dt.timedelta(minutes=30))
    result = stage.run(execution)
    assert result["status"] == "skipped"
    assert "The meeting has begun" in result["notes"][0]
    assert smtp_server.messages == []


def test_one_that_is_late_and_still_before_the_start_is_sent(stage: Stage, smtp_server: SmtpServer, at: Clock) -> None:
    start = stage.booking.start_time
    execution = planned(stage.execution("before_meeting", **MAIL), start - dt.timedelta(minutes=30))
    at(start - dt.timedelta(seconds=1))
    assert stage.run(execution)["status"] == "success"


def test_a_retry_that_comes_after_the_start_is_not_sent(stage: Stage, smtp_server: SmtpServer, at: Clock) -> None:
    start = stage.booking.start_time
    execution = planned(stage.execution("before_meeting", **MAIL), start - dt.timedelta(minutes=30))
    smtp_server.greylist(1)
    at(start - dt.timedelta(seconds=2))
    with pytest.raises(ApplicationError, match="451"):
        stage.run(execution)
    at(start + dt.timedelta(seconds=3))
    assert stage.run(execution, attempt=2)["status"] == "skipped"
    row = NotificationLog.objects.get()
    assert row.status == "suppressed"
    assert "has begun" in row.error
    assert smtp_server.messages == []


def test_an_action_that_is_meant_for_after_the_start_runs(stage: Stage, smtp_server: SmtpServer, at: Clock) -> None:
    start = stage.booking.start_time
    execution = stage.execution("before_meeting", **{**MAIL, "delay_minutes": 45})
    planned(execution, start - dt.timedelta(minutes=30))
    at(start + dt.timedelta(minutes=15))
    assert stage.run(execution)["status"] == "success"


def test_other_triggers_know_no_such_end(stage: Stage, smtp_server: SmtpServer, at: Clock) -> None:
    for trigger in ("booking_created", "after_meeting"):
        execution = planned(stage.execution(trigger, **MAIL), stage.booking.start_time - dt.timedelta(days=1))
        at(stage.booking.start_time + dt.timedelta(days=1))
        assert stage.run(execution)["status"] == "success"


# --- Put off ----------------------------------------------------------------------------------------------------------

NIGHT = dt.datetime(2026, 7, 1, 22, 30, tzinfo=dt.UTC)  # half past midnight in Madrid


@pytest.fixture
def quiet(stage: Stage) -> NotificationPreference:
    return NotificationPreference.objects.create(
        organizer=stage.organizer,
        recipient=JOSE,
        timezone="Europe/Madrid",
        quiet_from=dt.time(21),
        quiet_until=dt.time(8),
    )


@pytest.mark.usefixtures("quiet")
def test_a_message_that_waits_uses_up_no_attempt(stage: Stage, smtp_server: SmtpServer, at: Clock) -> None:
    """Two nights in a row, and then a mail server that refuses as often as the policy allows."""
    execution = stage.execution(**MAIL)
    step_attempt = 0
    for day in range(2):
        at(NIGHT + dt.timedelta(days=day))
        step_attempt += 1
        with pytest.raises(Deferred) as caught:
            stage.run(execution, attempt=step_attempt)
        assert caught.value.delay == dt.timedelta(hours=7, minutes=30)
        assert retry.decide(RETRY_POLICY, 99, caught.value, clock.now()) == retry.RetryAfter(caught.value.delay)
        row = NotificationLog.objects.get()
        assert (row.status, row.attempts) == ("pending", 0)
        assert row.deferred_until == NIGHT + dt.timedelta(days=day, hours=7, minutes=30)

    at(NIGHT + dt.timedelta(days=1, hours=8))
    smtp_server.greylist(100)
    for attempt in range(1, RETRY_POLICY.maximum_attempts):
        step_attempt += 1
        with pytest.raises(Deferred) as caught:
            stage.run(execution, attempt=step_attempt)
        assert caught.value.delay == retry.interval(RETRY_POLICY, attempt)
    with pytest.raises(ApplicationError, match="451") as last:
        stage.run(execution, attempt=step_attempt + 1)
    assert last.value.non_retryable
    row = NotificationLog.objects.get()
    assert (row.status, row.attempts, row.deferred_until) == ("failed", RETRY_POLICY.maximum_attempts, None)


@pytest.mark.usefixtures("quiet")
def test_the_booking_is_read_again_when_the_night_is_over(
    stage: Stage, smtp_server: SmtpServer, at: Clock, change: Change
) -> None:
    execution = stage.execution(**MAIL)
    at(NIGHT)
    with pytest.raises(Deferred):
        stage.run(execution)
    change(status="cancelled")
    at(NIGHT + dt.timedelta(hours=8))
    assert stage.run(execution, attempt=2)["status"] == "skipped"
    assert smtp_server.messages == []
    row = NotificationLog.objects.get()
    assert (row.status, row.deferred_until) == ("suppressed", None)


def test_quiet_hours_without_a_zone_are_in_the_one_that_the_booking_names(
    stage: Stage, smtp_server: SmtpServer, at: Clock
) -> None:
    NotificationPreference.objects.create(
        organizer=stage.organizer, recipient=JOSE, quiet_from=dt.time(23), quiet_until=dt.time(7)
    )
    at(dt.datetime(2026, 7, 1, 21, 30, tzinfo=dt.UTC))  # 23:30 in Madrid
    with pytest.raises(Deferred, match="until 07:00") as caught:
        stage.act(**MAIL)
    assert caught.value.delay == dt.timedelta(hours=7, minutes=30)


def test_a_limit_counts_what_is_about_to_be_sent(
    stage: Stage, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker sends to the same recipient while this one talks to the server."""
    from automation.actions import send_email

    NotificationPreference.objects.create(organizer=stage.organizer, recipient=JOSE, daily_limit=1)
    real, others = send_email.send, []

    def meanwhile(*args: Any) -> str:
        if not others:
            others.append("pending")
            others.append(stage.act(**MAIL)["status"])
        return real(*args)

    monkeypatch.setattr(send_email, "send", meanwhile)
    assert stage.act(**MAIL)["status"] == "success"
    assert others[1] == "skipped"
    assert len(smtp_server.messages) == 1


def test_a_failed_attempt_gives_its_place_back(stage: Stage, smtp_server: SmtpServer) -> None:
    NotificationPreference.objects.create(organizer=stage.organizer, recipient=JOSE, daily_limit=1)
    smtp_server.greylist(1)
    first = stage.execution(**MAIL)
    with pytest.raises(ApplicationError, match="451"):
        stage.run(first)
    assert stage.act(**MAIL)["status"] == "success"
    assert stage.run(first, attempt=2)["status"] == "skipped"


ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")


@given(
    st.sampled_from(ZONES),
    st.times(),
    st.times(),
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC)),
)
def test_quiet_hours_end_ahead_of_us_and_really_end(zone: str, begin: dt.time, end: dt.time, now: dt.datetime) -> None:
    wishes = NotificationPreference(timezone=zone, quiet_from=begin, quiet_until=end)
    until = quiet_until(wishes, now)
    if until is None:
        return
    assert now < until <= now + dt.timedelta(hours=25)
    shown = until.astimezone(ZoneInfo(zone))
    assert shown.time() == end or shown.utcoffset() != (shown - dt.timedelta(hours=3)).utcoffset()


def test_the_hour_that_comes_twice(stage: Stage) -> None:
    """The clocks go back at 3:00 in Madrid, and 2:30 comes twice."""
    wishes = NotificationPreference(timezone="Europe/Madrid", quiet_from=dt.time(22), quiet_until=dt.time(2, 30))
    second = dt.datetime(2026, 10, 25, 1, 10, tzinfo=dt.UTC)  # 2:10, for the second time
    until = quiet_until(wishes, second)
    assert until is not None
    assert until.astimezone(dt.UTC) == dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC)


# --- Suppressed addresses ---------------------------------------------------------------------------------------------


def test_an_address_that_does_not_exist_is_tried_once(stage: Stage, smtp_server: SmtpServer) -> None:
    smtp_server.reject(JOSE)
    execution = stage.execution(**MAIL)
    with pytest.raises(ApplicationError, match=r"5\.1\.1"):
        stage.run(execution)
    assert Suppression.objects.get().recipient == JOSE
    smtp_server.reset()
    result = stage.act(**MAIL)
    assert result["status"] == "skipped"
    assert "does not exist" in result["notes"][0]
    assert smtp_server.attempts == []

    # Somebody has the mailbox mended, and retries the step: it gets through, and so does what follows.
    assert stage.run(execution, attempt=2)["status"] == "success"
    assert Suppression.objects.get().lifted_at is not None
    assert stage.act(**MAIL)["status"] == "success"
    assert len(smtp_server.messages) == 2


def test_a_refusal_of_the_message_says_nothing_about_the_address(stage: Stage, smtp_server: SmtpServer) -> None:
    smtp_server.refuse_data("554 5.7.1 spam")
    with pytest.raises(ApplicationError):
        stage.act(**MAIL)
    assert not Suppression.objects.exists()


def test_another_organizers_list_is_their_own(stage: Stage, smtp_server: SmtpServer) -> None:
    other = type(stage.organizer).objects.create_user("eve@example.com")
    Suppression.objects.create(organizer=other, channel="email", recipient=JOSE, reason="bounced")
    Suppression.objects.create(organizer=stage.organizer, channel="sms", recipient=JOSE, reason="bounced")
    Suppression.objects.create(
        organizer=stage.organizer, channel="email", recipient=JOSE, reason="bounced", lifted_at=clock.now()
    )
    assert stage.act(**MAIL)["status"] == "success"


def test_a_callback_that_was_quicker_stands(
    stage: Stage, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider tells that the message was opened before we have noted that it was sent."""
    from automation.actions import progress, send_email

    real = send_email.send

    def quicker(*args: Any) -> str:
        answer = real(*args)
        progress.advance(NotificationLog.objects.get().id, "opened", clock.now())  # type: ignore[arg-type]
        return answer

    monkeypatch.setattr(send_email, "send", quicker)
    stage.act(**MAIL)
    row = NotificationLog.objects.get()
    assert (row.status, row.attempts) == ("opened", 1)
    assert row.sent_at is not None
