"""Messages that code sends, to organizers, admins and others: nothing goes where messages come back from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail

from automation.durable import control, starts, workflow
from automation.durable.common import RetryPolicy
from automation.durable.testing import WorkflowEnvironment
from automation.durable.testing.handles import EnvironmentHandle
from automation.models import NotificationLog, NotificationStatus, Suppression, User
from automation.providers.sms import SmsRefused
from automation.providers.sms import memory as sms
from tests.support.mail import SmtpServer

INA = "Ina@example.com"


@workflow.defn(name="notice")
class Notice:
    """Sends one message by one activity."""

    @workflow.run
    async def run(self, name: str, args: list[Any]) -> Any:
        return await workflow.execute_activity(
            name,
            args=args,
            start_to_close_timeout=dt.timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )


@pytest.fixture
def env(db: None, settings: Any) -> Iterator[WorkflowEnvironment]:
    settings.SMS_BACKEND = "automation.providers.sms.memory.MemoryBackend"
    sms.clear()
    with WorkflowEnvironment.start_time_skipping(workflows=[Notice]) as one:
        yield one
    sms.clear()


@pytest.fixture
def olga(db: None) -> User:
    return User.objects.create_user("olga@example.com")


def send(env: WorkflowEnvironment, organizer: User | None, name: str, *args: Any) -> EnvironmentHandle:
    """A started workflow of this organizer that sends the message."""
    owner = organizer.pk if organizer else None
    [id_] = starts.start_many([starts.NewExecution("notice", (name, list(args)), organizer_id=owner)])
    env.settle()
    return env.handle(id_)


def email(env: WorkflowEnvironment, organizer: User | None, to: str = INA) -> EnvironmentHandle:
    return send(env, organizer, "send_email", to, "Hello", "Text")


def suppress(organizer: User, recipient: str, channel: str = "email") -> Suppression:
    return Suppression.objects.create(organizer=organizer, channel=channel, recipient=recipient, reason="bounced")


def test_nothing_goes_to_an_address_on_the_list_of_its_organizer(env: WorkflowEnvironment, olga: User) -> None:
    row = suppress(olga, "ina@example.com")
    reason = "Nothing is sent to ina@example.com: the address does not exist."
    assert email(env, olga).result() == {"status": "suppressed", "reason": reason, "to": INA, "message_id": ""}
    log = NotificationLog.objects.get()
    assert (log.status, log.error, log.organizer) == ("suppressed", reason, olga)
    assert not mail.outbox

    Suppression.objects.filter(pk=row.pk).update(lifted_at=env.now)
    assert email(env, olga).result()["status"] == "sent"


def test_a_list_holds_for_its_organizer_alone(env: WorkflowEnvironment, olga: User) -> None:
    suppress(olga, "ina@example.com")
    other = User.objects.create_user("otto@example.com")
    assert email(env, other).result()["status"] == "sent"
    assert email(env, None).result()["status"] == "sent"
    assert len(mail.outbox) == 2


def test_no_text_goes_to_a_number_on_the_list(env: WorkflowEnvironment, olga: User) -> None:
    suppress(olga, "+34600123456", "sms")
    assert send(env, olga, "send_sms", "600 123 456", "Hello", "Europe/Madrid").result()["status"] == "suppressed"
    assert not sms.outbox


def test_an_address_that_its_server_does_not_know_comes_on_the_list(
    env: WorkflowEnvironment, olga: User, smtp_server: SmtpServer, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    smtp_server.reject("gone@example.com")
    assert email(env, olga, "gone@example.com").execution.status == "failed"
    found = Suppression.objects.get()
    assert (found.organizer, found.recipient, found.reason) == (olga, "gone@example.com", "bounced")
    assert email(env, olga, "gone@example.com").result()["status"] == "suppressed"
    assert [row.status for row in NotificationLog.objects.order_by("id")] == ["bounced", "suppressed"]


def test_a_retry_of_the_message_that_was_refused_finds_out_whether_that_has_been_mended(
    env: WorkflowEnvironment, olga: User
) -> None:
    sms.refusals["+34600123456"] = SmsRefused("no such number", suppress="bounced")
    handle = send(env, olga, "send_sms", "+34600123456", "Hello")
    assert handle.execution.status == "failed"
    assert Suppression.objects.get().lifted_at is None

    sms.refusals.clear()
    control.retry(handle.run_id)
    env.settle()
    assert handle.result()["status"] == "sent"
    assert Suppression.objects.get().lifted_at is not None
    assert NotificationLog.objects.get().status == NotificationStatus.SENT
