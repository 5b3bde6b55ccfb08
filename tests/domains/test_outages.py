"""A provider that is away for an hour: every workflow that needs one waits for it, and its work is done once."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from automation import clock
from automation.domains.booking.models import SessionMessage
from automation.domains.payment.models import Payment
from automation.domains.practitioner.models import Practitioner
from automation.domains.room.models import Room
from automation.domains.stream.models import Stream, StreamStatus
from automation.domains.user.workflows import OnboardingWorkflowInput
from automation.durable.testing import WorkflowEnvironment
from automation.models import ExecutionStep, User
from tests.domains.booking import factories as sessions
from tests.domains.handles import ask, tell
from tests.domains.payment import factories as make
from tests.support.daily import DailyEmulator
from tests.support.mail import SmtpServer
from tests.support.stripe_api import StripeApi, stripe_api  # noqa: F401

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def env(db: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


@pytest.fixture
def daily(settings: Any) -> Iterator[DailyEmulator]:
    with DailyEmulator() as emulator:
        settings.VIDEO_BACKEND, settings.DAILY_API_KEY, settings.DAILY_API_URL = "daily", emulator.key, emulator.url
        yield emulator


@pytest.fixture
def smtp(smtp_server: SmtpServer, settings: Any) -> SmtpServer:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    return smtp_server


def for_an_hour(begins: dt.timedelta = dt.timedelta(0)) -> Callable[[], bool]:
    """Whether it is away: from `begins` from now on, for an hour."""
    start = clock.now() + begins
    return lambda: start <= clock.now() < start + HOUR


def paid(env: WorkflowEnvironment, amount: str = "100.00", **fields: object) -> Payment:
    row = make.payment(amount, **fields)
    assert env.run("PaymentProcessingWorkflow", row.pk)["status"] == "paid"
    return row


def keys_of(api: StripeApi, path: str) -> set[str]:
    return {request.key for request in api.to(path)}


# -- payments ----------------------------------------------------------------------------------------------------------


def test_a_refund_waits(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:  # noqa: F811
    row = paid(env)
    stripe_api.away = for_an_hour()
    assert env.run("RefundWorkflow", row.pk, Decimal("40.00"))["status"] == "refunded"
    assert stripe_api.moved["refund"] == 1
    assert len(stripe_api.to("refunds")) > 1
    assert len(keys_of(stripe_api, "refunds")) == 1, "every attempt has the step's key"
    assert make.ledger_balances()


@pytest.mark.parametrize("workflow", ["PayoutWorkflow", "BatchPractitionerPayoutWorkflow"])
def test_a_payout_waits(env: WorkflowEnvironment, stripe_api: StripeApi, workflow: str) -> None:  # noqa: F811
    earned = make.earning("51.00")
    args = [earned.practitioner_id] if workflow == "PayoutWorkflow" else []
    stripe_api.away = for_an_hour()
    result = env.run(workflow, *args)
    assert result.get("status", "paid") == "paid"
    assert stripe_api.moved["transfer"] == 1
    assert len(keys_of(stripe_api, "transfers")) == 1
    assert make.ledger_balances()


def test_a_packages_share_waits(env: WorkflowEnvironment, stripe_api: StripeApi) -> None:  # noqa: F811
    package = make.package(paid(env, kind="package"), sessions=2)
    make.complete(package, 2)
    stripe_api.away = for_an_hour()
    assert env.run("ProgressivePackagePayoutWorkflow", package.pk)["status"] == "completed"
    assert stripe_api.moved["transfer"] == 1
    assert make.ledger_balances()


# -- mail --------------------------------------------------------------------------------------------------------------


def test_a_welcome_and_a_follow_up_wait(env: WorkflowEnvironment, smtp: SmtpServer) -> None:
    user = User.objects.create_user("john@example.com", first_name="John")
    welcome, follow_up = for_an_hour(), for_an_hour(25 * HOUR)
    smtp.away = lambda: welcome() or follow_up()
    result = env.run("user_onboarding", OnboardingWorkflowInput(user.pk, user.email, "John"))
    assert result["status"] == "completed"
    assert [mail.subject for mail in smtp.messages] == ["Welcome, John", "How is it going?"]


@pytest.mark.parametrize(
    ("workflow", "kind"), [("BookingCreatedWorkflow", "confirmation"), ("NoShowWorkflow", "no_show_check")]
)
def test_what_is_said_of_a_session_waits(env: WorkflowEnvironment, smtp: SmtpServer, workflow: str, kind: str) -> None:
    booking = sessions.session(72 if kind == "confirmation" else 0)
    smtp.away = for_an_hour()
    result = env.run(workflow, booking.pk)
    assert result["status"] in ("processed", "no_show")
    assert not SessionMessage.objects.exclude(status="sent").exists()
    per_kind = [(one.kind, one.role) for one in SessionMessage.objects.all()]
    assert kind in {kind for kind, _ in per_kind}
    assert len(smtp.messages) == len(per_kind), "each of them once"


def test_reminders_of_a_window_wait(env: WorkflowEnvironment, smtp: SmtpServer) -> None:
    for hours in (5, 6, 7):
        sessions.session(hours)
    smtp.away = for_an_hour()
    assert env.run("BatchReminderWorkflow", 24.0) == {"total": 3, "sent": 3, "failed": 0, "skipped": 0}
    assert len(smtp.messages) == 3


def test_a_receipt_waits_and_the_money_does_not(
    env: WorkflowEnvironment,
    smtp: SmtpServer,
    stripe_api: StripeApi,  # noqa: F811
) -> None:
    row = make.payment()
    start = clock.now()
    smtp.away = for_an_hour()
    handle = env.start("PaymentProcessingWorkflow", row.pk)
    row.refresh_from_db()
    assert (row.status, clock.now() - start < HOUR) == ("paid", True)
    assert handle.result()["receipt"] is True
    assert len(smtp.messages) == 1


def test_a_reminder_of_an_onboarding_waits_and_a_signal_ends_its_wait_at_once(
    env: WorkflowEnvironment, smtp: SmtpServer
) -> None:
    someone = Practitioner.objects.create(user=User.objects.create_user("prue@example.com"))
    smtp.away = for_an_hour()
    handle = env.start("PractitionerOnboardingWorkflow", someone.pk)
    env.skip(2 * HOUR)
    assert [mail.subject for mail in smtp.messages] == ["Your onboarding: profile"]

    smtp.away = lambda: True
    tell(env, handle, "profile_completed")
    env.skip(MINUTE)
    tell(env, handle, "documents_verified")
    assert ask(handle, "progress")["current"] == "background_check", "no mail is waited for"


# -- rooms and streams -------------------------------------------------------------------------------------------------


def test_a_room_waits(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    daily.away = for_an_hour()
    made = env.run("RoomCreationWorkflow", "", "talk", 240)
    assert list(daily.rooms) == [made["room_name"]]
    assert Room.objects.get().status == "active"


def test_a_session_is_checked_in_time_while_its_room_waits(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    booking = sessions.session(1)
    daily.away = for_an_hour(44 * MINUTE)  # from before the room is made
    handle = env.start("BookingWorkflow", booking.pk)
    env.skip(HOUR + 16 * MINUTE)
    asked = SessionMessage.objects.get(kind="no_show_check")
    assert asked.sent_at is not None
    assert asked.sent_at < booking.start_time + 16 * MINUTE, "not when the provider is back"
    sessions.joins(booking)
    tell(env, handle, "participant_joined", "invitee")
    result = handle.result()
    assert (result["status"], result["room"]) == ("completed", f"https://emulated.daily.co/weir-{booking.pk.hex}")
    assert len(daily.rooms) == 1


def test_a_room_that_is_not_made_in_time_is_given_up(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    booking = sessions.session(1)
    daily.away = lambda: True
    handle = env.start("BookingWorkflow", booking.pk)
    result = handle.result()
    assert (result["status"], result["room"]) == ("no_show", "")
    assert clock.now() < booking.start_time + HOUR
    step = ExecutionStep.objects.get(execution=handle.execution.id, name="create_room")
    assert step.status not in ("pending", "running")


def stream() -> Stream:
    return Stream.objects.create(
        title="Yoga",
        host=sessions.organizer(),
        starts_at=clock.now() + 3 * HOUR,
        ends_at=clock.now() + 5 * HOUR,
        config={"recording": True},
    )


@pytest.mark.parametrize("after", [0, 1], ids=["the room", "the tokens"])
def test_a_stream_waits(env: WorkflowEnvironment, daily: DailyEmulator, after: int) -> None:
    row, away, calls = stream(), for_an_hour(), itertools.count()
    daily.away = lambda: away() and next(calls) >= after
    assert env.run("StreamSetupWorkflow", row.pk)["status"] == "ready"
    row.refresh_from_db()
    assert (row.status, len(daily.rooms)) == (StreamStatus.READY, 1)


@pytest.mark.parametrize("call", ["recordings/start", "recordings/stop", "access-link"])
def test_a_recording_waits(env: WorkflowEnvironment, daily: DailyEmulator, call: str) -> None:
    row = stream()
    env.run("StreamSetupWorkflow", row.pk)
    env.skip(3 * HOUR)
    daily.join(f"weir-stream-{row.pk}")
    began: list[dt.datetime] = []

    def away() -> bool:
        """For an hour from the first of these calls on."""
        if call in daily.calls[-1].path and not began:
            began.append(clock.now())
        return bool(began) and clock.now() < began[0] + HOUR

    daily.away = away
    assert env.run("StreamRecordingWorkflow", row.pk)["status"] == "stored"
    assert len(daily.recordings) == len(began) == 1


def test_a_stream_that_ends_waits(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    row = stream()
    env.run("StreamSetupWorkflow", row.pk)
    daily.away = for_an_hour()
    assert env.run("StreamCleanupWorkflow", row.pk)["room_deleted"] is True
    assert daily.rooms == {}


def test_maintenance_waits(env: WorkflowEnvironment, daily: DailyEmulator) -> None:
    env.run("RoomCreationWorkflow", "", "talk", 240)
    daily.rooms.clear()
    daily.away = for_an_hour()
    result = env.run("RoomMaintenanceWorkflow")
    assert result["mended"] == {"weir-talk": "missing"}
    assert list(daily.rooms) == ["weir-talk"]


def test_a_clean_up_leaves_to_the_next_one_what_it_cannot_delete(
    env: WorkflowEnvironment, daily: DailyEmulator
) -> None:
    env.run("RoomCreationWorkflow", "", "talk", 30)
    env.skip(HOUR)
    daily.away = for_an_hour()
    assert list(env.run("RoomCleanupWorkflow")["failed"]) == ["weir-talk"]
    env.skip(HOUR)
    assert env.run("RoomCleanupWorkflow")["deleted"] == 1
    assert daily.rooms == {}
