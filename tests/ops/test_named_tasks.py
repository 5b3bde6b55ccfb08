"""The tasks that operators and other systems know by name, and when beat starts those that are periodic."""

from __future__ import annotations

import pytest

import beat_schedules
from automation.durable import registry
from project.celery import app

NAMES = (
    "execute_workflow",
    "trigger_workflows",
    "execute_email_action",
    "execute_sms_action",
    "execute_webhook_action",
    "execute_update_booking_action",
    "cleanup_old_workflow_executions",
    "monitor_workflow_performance",
    "validate_all_workflow_configurations",
)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_celery_task_of_that_name(name: str) -> None:
    app.loader.import_default_modules()
    assert app.tasks[name].name == name


def test_the_actions_tasks_carry_the_actions_activities() -> None:
    for name in NAMES:
        if name.endswith("_action"):
            assert registry.activity(name).name == name


@pytest.mark.parametrize(
    ("name", "crontab"),
    [
        ("cleanup_old_workflow_executions", "30 3 * * *"),  # every night
        ("monitor_workflow_performance", "7 * * * *"),  # every hour
        ("validate_all_workflow_configurations", "45 4 * * *"),
    ],
)
def test_beat_starts_it(name: str, crontab: str) -> None:
    [schedule] = [schedule for schedule in beat_schedules.schedules() if schedule.task == name]
    assert (schedule.crontab, schedule.enabled) == (crontab, True)
