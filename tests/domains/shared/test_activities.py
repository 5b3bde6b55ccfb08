"""What every worker runs: messages that go out once, events and figures that count once."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail

from automation.actions import notices
from automation.domains.shared.activities import send_email_activity
from automation.domains.shared.models import Event, Figure, UserProcessing
from automation.domains.shared.payloads import EmailPayload, UserProcessingPayload
from automation.durable import activity, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import NotificationLog, User
from automation.providers.sms import SmsFailed, SmsRefused
from automation.providers.sms import memory as sms
from tests.support.mail import SmtpServer

QUICK = RetryPolicy(initial_interval=dt.timedelta(seconds=10), maximum_attempts=5)


@workflow.defn(name="shared_call")
class Call:
    """Calls one activity by name."""

    @workflow.run
    async def run(self, name: str, args: list[Any]) -> Any:
        return await workflow.execute_activity(
            name, args=args, start_to_close_timeout=dt.timedelta(minutes=1), retry_policy=QUICK
        )


@pytest.fixture
def env(db: None, settings: Any) -> Any:
    settings.SMS_BACKEND = "automation.providers.sms.memory.MemoryBackend"
    sms.clear()
    with WorkflowEnvironment.start_time_skipping(workflows=[Call]) as one:
        yield one
    sms.clear()


def call(env: WorkflowEnvironment, name: str, *args: Any) -> Any:
    return env.run(Call, name, list(args))


def refusal(env: WorkflowEnvironment, name: str, *args: Any) -> str:
    """The type of the error that an activity fails with, at once."""
    handle = env.start(Call, name, list(args))
    with pytest.raises(WorkflowFailureError) as caught:
        handle.result()
    assert handle.steps[0].attempt == 1
    assert isinstance(caught.value.cause, ActivityError)
    return str(getattr(caught.value.cause.cause, "type", ""))


# -- messages ----------------------------------------------------------------------------------------------------------


def test_an_email_is_a_row_and_a_message(env: WorkflowEnvironment) -> None:
    result = call(env, "send_email", "ina@example.com", "Hello", "Text", "<p>Text</p>", "olga@example.com")
    [message], row = mail.outbox, NotificationLog.objects.get()
    assert (result["status"], result["message_id"]) == ("sent", message.extra_headers["Message-ID"])
    assert (message.to, message.subject, message.reply_to) == (["ina@example.com"], "Hello", ["olga@example.com"])
    assert (row.status, row.recipient, row.provider_id) == ("sent", "ina@example.com", result["message_id"])


def test_a_payload_names_its_sender(env: WorkflowEnvironment) -> None:
    payload = EmailPayload(to="ina@example.com", subject="Hello", body="Text", from_email="Team <team@example.com>")
    assert call(env, "send_email_activity", payload)["status"] == "sent"
    assert mail.outbox[0].from_email == "Team <team@example.com>"


def test_a_payload_is_sent_outside_of_a_workflow_too() -> None:
    payload = EmailPayload(to="test@example.com", subject="Test", body="Test message")
    assert asyncio.run(_sent(payload))["status"] == "sent"
    assert mail.outbox[0].to == ["test@example.com"]


async def _sent(payload: EmailPayload) -> dict[str, Any]:
    return await send_email_activity(payload)


def test_greylisting_is_waited_out_and_the_mail_comes_once(
    env: WorkflowEnvironment, smtp_server: SmtpServer, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    smtp_server.greylist(2)
    handle = env.start(Call, "send_email", ["ina@example.com", "Hello", "Text"])
    assert handle.result()["status"] == "sent"
    assert handle.steps[0].attempt == 3
    assert len(smtp_server.messages) == 1
    assert NotificationLog.objects.get().attempts == 3


def test_a_refused_address_is_final(env: WorkflowEnvironment, smtp_server: SmtpServer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    smtp_server.reject("ina@example.com")
    assert refusal(env, "send_email", "ina@example.com", "Hello", "Text") == "RecipientRefused"
    assert NotificationLog.objects.get().status == "bounced"
    assert refusal(env, "send_email", "not an address", "Hello", "Text") == "RecipientRefused"


def test_a_lost_answer_makes_a_copy_with_the_same_message_id(
    env: WorkflowEnvironment, smtp_server: SmtpServer, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    smtp_server.drop_answers(1)
    assert call(env, "send_email", "ina@example.com", "Hello", "Text")["status"] == "sent"
    assert len({one.message["Message-ID"] for one in smtp_server.messages}) == 1


def test_a_step_that_fails_after_its_mail_went_out_sends_no_second_one(env: WorkflowEnvironment) -> None:
    def send_email(to: str) -> dict[str, Any]:
        answer = notices.email(to, "Hello", "Text")
        if activity.info().attempt == 1:
            raise RuntimeError("the worker stumbles after the mail has gone out")
        return answer

    env.replace_activities({"send_email": send_email})
    assert call(env, "send_email", "ina@example.com")["status"] == "already_sent"
    assert len(mail.outbox) == 1


def test_a_text_message_goes_out_as_e164(env: WorkflowEnvironment) -> None:
    assert call(env, "send_sms", "600 123 456", "Hello", "Europe/Madrid")["to"] == "+34600123456"
    assert [(one.to, one.text) for one in sms.outbox] == [("+34600123456", "Hello")]


def test_a_busy_sms_provider_is_waited_for(env: WorkflowEnvironment) -> None:
    sms.refusals["+34600123456"] = SmsFailed("busy", retry_after=dt.timedelta(minutes=7))
    start = env.now
    handle = env.start(Call, "send_sms", ["+34600123456", "Hello"])
    sms.refusals.clear()
    assert handle.result()["status"] == "sent"
    assert handle.steps[0].completed_at - start == pytest.approx(dt.timedelta(minutes=7), abs=dt.timedelta(seconds=2))


def test_what_is_no_number_is_final(env: WorkflowEnvironment) -> None:
    assert refusal(env, "send_sms", "12", "Hello") == "BadPhone"
    sms.refusals["+34600123456"] = SmsRefused("opted out")
    assert refusal(env, "send_sms", "+34600123456", "Hello") == "RecipientRefused"


# -- events and figures ------------------------------------------------------------------------------------------------


def test_an_event_is_written_down_with_its_execution(env: WorkflowEnvironment) -> None:
    handle = env.start(Call, "log_event", ["lesson_given", {"booking": 5}])
    assert handle.result()["name"] == "lesson_given"
    event = Event.objects.get()
    assert (event.data, event.execution_id) == ({"booking": 5}, handle.run_id)


def test_figures_add_up_by_day_and_dimension(env: WorkflowEnvironment) -> None:
    call(env, "update_analytics", "turnover", "10.50", {"currency": "EUR", "kind": "session"})
    result = call(env, "update_analytics", "turnover", "4.50", {"kind": "session", "currency": "EUR"})
    assert (result["value"], result["day"]) == ("15.000", env.now.date().isoformat())
    call(env, "update_analytics", "turnover", 0.1, {"currency": "USD"})
    env.skip(dt.timedelta(days=1))
    call(env, "update_analytics", "turnover")
    assert Figure.objects.filter(name="turnover").count() == 3


# -- users -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "active"), [("process", True), ("deactivate", False), ("activate", True)])
def test_a_user_is_processed(env: WorkflowEnvironment, action: str, active: bool) -> None:
    user = User.objects.create_user("ada@example.com")
    result = call(env, "process_user_activity", UserProcessingPayload(user_id=user.pk, action=action))
    user.refresh_from_db()
    assert (result["status"], result["action"], user.is_active) == ("processed", action, active)
    assert UserProcessing.objects.get().user == user


@pytest.mark.parametrize(
    ("payload", "kind"),
    [({"user_id": 99}, "UserNotFound"), ({"user_id": 99, "action": "explode"}, "BadAction")],
)
def test_what_cannot_be_processed_is_final(env: WorkflowEnvironment, payload: dict[str, Any], kind: str) -> None:
    assert refusal(env, "process_user_activity", payload) == kind


def test_all_of_them_are_registered_under_their_names() -> None:
    from automation.domains import shared

    names: list[str] = [_name(one) for one in shared.ACTIVITIES]
    assert names == [
        "send_email",
        "send_sms",
        "log_event",
        "update_analytics",
        "send_email_activity",
        "process_user_activity",
    ]
    assert shared.WORKFLOWS == []


def _name(function: Callable[..., Any]) -> str:
    from automation.durable.registry import activity_definition

    found = activity_definition(function)
    assert found is not None
    return found.name
