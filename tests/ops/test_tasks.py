"""Every periodic task runs in a real worker, started by its name as beat does."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable

import pytest
from django_celery_beat.models import PeriodicTask

import beat_schedules
from automation import clock
from automation.durable import leases
from automation.models import Alert, Lease, NotificationLog, NotificationTotal, User, WorkflowExecution
from automation.models.ids import uuid7_at
from automation.services import alerts
from project.celery import app
from project.embedded import PostgresServer
from tests.ops.factories import make_node, make_runs, make_workflow
from tests.support.mail import SmtpServer
from tests.support.processes import Beat, Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

TICKS = [(schedule.task, schedule.args) for schedule in beat_schedules.schedules() if schedule.enabled]


def test_each_succeeds_and_is_safe_to_run_twice_at_once(worker: Callable[..., Worker], smtp_server: SmtpServer) -> None:
    node = worker(concurrency=2)
    workflow = make_workflow()
    make_runs(workflow, 3, age=dt.timedelta(days=91))
    make_runs(workflow, 4, "failed", activity="other")
    long_ago = clock.now() - dt.timedelta(days=400)
    NotificationLog.objects.create(
        id=uuid7_at(long_ago),
        created_at=long_ago,
        organizer=workflow.organizer,
        channel="email",
        recipient="x@example.com",
    )
    make_node("gone:1:1", seen_at=clock.unmoved() - dt.timedelta(days=2))
    for name, args in TICKS * 2:
        app.send_task(name, args)

    def all_ended() -> bool:
        text = node.log_text()
        sent = Counter(name for name, _ in TICKS * 2 if name != "sweep")
        ended = [len(re.findall(rf"Task {name}\[[^]]+\] succeeded", text)) >= sent[name] for name in sent]
        return all(ended) or " raised " in text

    wait_until(all_ended, 30, node.log_tail)  # a sweep that goes well has no line in the log
    assert " raised " not in node.log_text(), node.log_tail()
    assert WorkflowExecution.objects.exclude(business_id__startswith="scheduled-").count() == 4
    assert not NotificationLog.objects.filter(recipient="x@example.com").exists()
    assert NotificationTotal.objects.get().count == 1
    assert set(Alert.objects.values_list("kind", flat=True)) == {"failure_rate", "configuration"}
    # Whether the mail was sent by the task above or by the hint of the alert: once for each.
    assert {mail.recipients for mail in smtp_server.wait_for(2)} == {("olga@example.com",)}


def test_an_alert_is_mailed_at_once_and_not_at_the_next_tick(
    worker: Callable[..., Worker], smtp_server: SmtpServer
) -> None:
    worker()
    User.objects.create_superuser("admin@example.com")
    alerts.open_alert("slow", "a", "It is slow.")
    [mail] = smtp_server.wait_for(1, timeout=10)
    assert mail.subject == "[Weir] Warning: It is slow."


def test_a_task_gets_a_new_session_after_the_database_was_restarted(
    worker: Callable[..., Worker], postgres: PostgresServer
) -> None:
    node = worker(concurrency=1)
    app.send_task("clean_heartbeats")
    wait_until(lambda: node.log_text().count(" succeeded in ") == 1, message=node.log_tail)
    postgres.restart(crash=True)
    app.send_task("clean_heartbeats")
    wait_until(lambda: node.log_text().count(" succeeded in ") == 2, message=node.log_tail)


def test_the_processes_of_a_worker_sweep_as_beat_ticks(
    worker: Callable[..., Worker], beat: Callable[..., Beat]
) -> None:
    beat()
    node = worker()
    holders = {f"/{pid}" for pid in node.children()}

    def sweeper() -> str:
        held = Lease.objects.filter(name=leases.SWEEP).first()
        return f"/{held.holder.rpartition('/')[2]}" if held else ""

    wait_until(lambda: sweeper() in holders, 30, node.log_tail)
    first = leases.last_seen(leases.SWEEP)
    wait_until(lambda: leases.last_seen(leases.SWEEP) != first and sweeper() in holders, 10)
    assert PeriodicTask.objects.get(name="weir: sweep").total_run_count >= 2
