"""Alerts open once, are mailed, and close."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core import mail
from django.db import connections

from automation.models import Alert, NotificationLog, NotificationStatus, Severity, Suppression, User
from automation.services import alerts
from tests.ops.factories import make_workflow
from tests.support.mail import SmtpServer


@pytest.mark.django_db
def test_it_opens_one_alert_per_problem() -> None:
    first = alerts.open_alert("slow", "a", "slow")
    assert first is not None
    assert alerts.open_alert("slow", "a", "slower", severity=Severity.CRITICAL) is None
    assert alerts.open_alert("slow", "b", "slow") is not None
    first.refresh_from_db()
    assert (first.message, first.severity) == ("slower", Severity.CRITICAL)


@pytest.mark.django_db
def test_a_problem_that_comes_back_opens_a_new_alert() -> None:
    alerts.open_alert("slow", "a", "slow")
    assert alerts.close_alert("slow", "a")
    assert not alerts.close_alert("slow", "a")
    assert alerts.open_alert("slow", "a", "slow again") is not None
    assert Alert.objects.count() == 2


@pytest.mark.real
def test_of_many_that_find_a_problem_at_once_one_opens_the_alert() -> None:
    start = threading.Barrier(6)
    opened: list[Any] = []

    def run() -> None:
        start.wait()
        try:
            opened.append(alerts.open_alert("slow", "a", "slow"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    assert len([alert for alert in opened if alert is not None]) == 1
    assert Alert.objects.filter(closed_at=None).count() == 1


@pytest.mark.django_db
def test_it_mails_the_organizer_and_the_admins_once() -> None:
    workflow = make_workflow("Reminder\nBcc: evil@example.com")
    User.objects.create_superuser("admin@example.com")
    User.objects.create_user("stranger@example.com")
    alerts.open_alert("slow", str(workflow.id), "'Reminder' is slow.", workflow_id=workflow.id)

    assert alerts.mail_open_alerts() == 2
    assert sorted(message.to[0] for message in mail.outbox) == ["admin@example.com", "olga@example.com"]
    assert mail.outbox[0].subject == "[Weir] Warning: 'Reminder' is slow."
    assert str(workflow.id) in mail.outbox[0].body
    assert alerts.mail_open_alerts() == 0


@pytest.mark.django_db
def test_it_mails_alerts_that_the_engine_opened() -> None:
    User.objects.create_superuser("admin@example.com")
    Alert.objects.create(kind="dead_letter", key="x", message="given up", severity=Severity.CRITICAL)
    assert alerts.mail_open_alerts() == 1
    assert mail.outbox[0].subject == "[Weir] Critical: given up"


@pytest.mark.django_db
def test_an_alert_that_has_ended_is_not_mailed() -> None:
    User.objects.create_superuser("admin@example.com")
    alerts.open_alert("slow", "a", "slow")
    alerts.close_alert("slow", "a")
    assert alerts.mail_open_alerts() == 0


@pytest.mark.django_db
def test_an_address_that_mails_come_back_from_is_told_of_no_alert(smtp_server: SmtpServer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    admin = User.objects.create_superuser("gone@example.com")
    smtp_server.reject("gone@example.com")
    alerts.open_alert("slow", "a", "slow")
    assert alerts.mail_open_alerts() == 0
    found = Suppression.objects.get()
    assert (found.organizer, found.recipient, found.reason) == (admin, "gone@example.com", "bounced")

    smtp_server.reject("gone@example.com", "")
    alerts.open_alert("slow", "b", "slow")
    assert alerts.mail_open_alerts() == 0
    assert smtp_server.messages == []
    statuses = NotificationLog.objects.order_by("id").values_list("status", flat=True)
    assert list(statuses) == [NotificationStatus.BOUNCED, NotificationStatus.SUPPRESSED]
    assert not Alert.objects.filter(mailed_at=None).exists()


@pytest.mark.real
def test_a_mail_that_fails_is_sent_later_and_to_nobody_twice(smtp_server: SmtpServer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    for name in ("one", "two", "wrong"):
        User.objects.create_superuser(f"{name}@example.com")
    alerts.open_alert("slow", "a", "slow")

    smtp_server.down()
    assert alerts.mail_open_alerts() == 0
    assert Alert.objects.get().mailed_at is None
    smtp_server.up()
    smtp_server.reject("two@example.com", "451 later")
    smtp_server.reject("wrong@example.com", "550 nobody here")
    assert alerts.mail_open_alerts() == 1
    assert Alert.objects.get().mailed_at is None
    smtp_server.reject("two@example.com", "")
    assert alerts.mail_open_alerts() == 1

    assert Alert.objects.get().mailed_at is not None
    received = sorted(recipient for message in smtp_server.messages for recipient in message.recipients)
    assert received == ["one@example.com", "two@example.com"]
    refused = NotificationLog.objects.get(recipient="wrong@example.com")
    assert refused.status == NotificationStatus.BOUNCED
    assert "550" in refused.error
