"""The workflows of domains that beat starts."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask

import beat_schedules.domains
from automation.models import ExecutionStatus, WorkflowExecution
from automation.services import queues, schedules
from automation.services.schedules import Schedule
from project import env
from project.celery import app
from tasks.domains import start_scheduled_workflow
from tests.support.carrier import Carrier, carrying, result

NAMES = {"weir: clean up rooms", "weir: maintain rooms", "weir: back up the database"}


@pytest.fixture
def carrier(transactional_db: None) -> Iterator[Carrier]:
    with carrying() as one:
        yield one


def configured(settings: Any, **changes: str) -> list[Schedule]:
    """The schedules as these settings make them."""
    for name, value in changes.items():
        setattr(settings, name, value)
    return list(importlib.reload(beat_schedules.domains).SCHEDULES)


@pytest.fixture(autouse=True)
def as_they_were() -> Iterator[None]:
    yield
    importlib.reload(beat_schedules.domains)


def test_rooms_are_kept_in_order_and_a_backup_waits_to_be_switched_on(db: None) -> None:
    call_command("sync_schedules", verbosity=0)
    rows = PeriodicTask.objects.filter(name__in=NAMES)
    assert dict(rows.values_list("name", "enabled")) == {
        "weir: clean up rooms": True,
        "weir: maintain rooms": True,
        "weir: back up the database": False,
    }
    assert app.conf.task_routes["start_scheduled_workflow"] == {"queue": queues.named("background")}


def test_a_setting_switches_one_on_and_off(db: None, settings: Any) -> None:
    schedules.sync(configured(settings))
    schedules.sync(configured(settings, BACKUP_SCHEDULE="5 1 * * *", ROOM_CLEANUP_SCHEDULE="off"))
    backup = PeriodicTask.objects.get(name="weir: back up the database")
    assert (backup.enabled, backup.crontab.hour, backup.crontab.minute) == (True, "1", "5")
    assert not PeriodicTask.objects.get(name="weir: clean up rooms").enabled


def test_an_operators_switch_stays_as_they_set_it(db: None, settings: Any) -> None:
    schedules.sync(configured(settings))
    PeriodicTask.objects.filter(name="weir: back up the database").update(enabled=True)
    PeriodicTask.objects.filter(name="weir: maintain rooms").update(enabled=False)
    changes = schedules.sync(configured(settings))
    assert {change.name: change.kept for change in changes if change.kept} == {
        "weir: back up the database": ["enabled"],
        "weir: maintain rooms": ["enabled"],
    }
    assert PeriodicTask.objects.get(name="weir: back up the database").enabled
    assert not PeriodicTask.objects.get(name="weir: maintain rooms").enabled


def test_each_tick_starts_its_workflow_and_it_completes(carrier: Carrier, settings: Any, tmp_path: Any) -> None:
    settings.BACKUP_DIR = str(tmp_path)
    for schedule in beat_schedules.domains.SCHEDULES:
        start_scheduled_workflow(*schedule.args)
    carrier.finish()
    found = {row.definition: row for row in WorkflowExecution.objects.all()}
    assert set(found) == {"RoomCleanupWorkflow", "RoomMaintenanceWorkflow", "BackupWorkflow"}
    assert {row.status for row in found.values()} == {ExecutionStatus.COMPLETED}
    assert {name: row.queue for name, row in found.items()} == {
        "RoomCleanupWorkflow": queues.of_domain("room"),
        "RoomMaintenanceWorkflow": queues.of_domain("room"),
        "BackupWorkflow": queues.of_domain("ops"),
    }
    assert result(found["BackupWorkflow"].id)["status"] == "verified"
    assert list(tmp_path.glob("*.sha256"))


def test_a_tick_leaves_one_that_is_still_running_alone(carrier: Carrier) -> None:
    first = start_scheduled_workflow("RoomCleanupWorkflow")
    assert start_scheduled_workflow("RoomCleanupWorkflow") == "RoomCleanupWorkflow has not ended yet"
    carrier.finish()
    assert WorkflowExecution.objects.count() == 1
    assert start_scheduled_workflow("RoomCleanupWorkflow") != first, "the next tick starts another one"


@pytest.mark.parametrize("value", ["daily", "1 2 3", "99 * * * *", "* * * * nobody"])
def test_a_time_that_is_none_stops_the_start_with_one_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_SCHEDULE", value)
    with pytest.raises(env.BadEnvironment) as caught:
        env.cron("BACKUP_SCHEDULE", "off")
    assert str(caught.value).startswith(f"weir: BACKUP_SCHEDULE={value!r} is not valid: expected 'minute hour day")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "read"), [("", "1 2 * * *"), ("OFF", "off"), ("*/5  3 * * Mon-Fri", "*/5 3 * * mon-fri")]
)
def test_a_time_is_read(value: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_SCHEDULE", value)
    assert env.cron("BACKUP_SCHEDULE", "1 2 * * *") == read
