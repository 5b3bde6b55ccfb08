"""Syncing schedules leaves an operator's edits alone."""

from __future__ import annotations

import io
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

import beat_schedules
import tasks.registry  # noqa: F401 (registers the tasks)
from automation.services import schedules
from automation.services.schedules import Schedule

pytestmark = pytest.mark.django_db


def a_schedule(**changes: Any) -> Schedule:
    return Schedule(
        **{"name": "count", "task": "count_things", "every": 60.0, "description": "Counts.", "expires": 60, **changes}
    )


def row(name: str = "count") -> PeriodicTask:
    return PeriodicTask.objects.get(name=schedules.PREFIX + name)


def sync_command(**options: Any) -> str:
    out = io.StringIO()
    call_command("sync_schedules", stdout=out, **options)
    return out.getvalue()


def test_every_schedule_of_ours_names_a_task_that_exists() -> None:
    current_app.loader.import_default_modules()
    assert {schedule.task for schedule in beat_schedules.schedules()} <= set(current_app.tasks)


def test_it_creates_what_is_missing_and_says_so() -> None:
    said = sync_command()
    assert "created 'weir: sweep'" in said
    assert row("sweep").enabled
    assert row("sweep").expire_seconds == 5
    assert row("clean up executions").crontab.timezone.key == "UTC"
    assert "0 of" in sync_command(), "the second time there is nothing to do"


def test_it_counts_a_part_of_a_second() -> None:
    schedules.sync([a_schedule(every=0.25)])
    assert row().interval.schedule.run_every.total_seconds() == 0.25


def test_a_dry_run_changes_nothing() -> None:
    assert "would have created 'weir: sweep'" in sync_command(dry_run=True)
    assert not PeriodicTask.objects.exists()


def test_what_nobody_edited_follows_the_code() -> None:
    schedules.sync([a_schedule()])
    changes = schedules.sync([a_schedule(every=30.0, queue="other", args=(1,), description="Counts more.")])
    assert changes[0].action == "updated"
    assert sorted(changes[0].fields) == ["args", "description", "queue", "schedule"]
    assert row().interval.schedule.run_every.total_seconds() == 30
    assert (row().queue, row().args) == ("other", "[1]")
    assert row().description.startswith("Counts more.\n")


def test_what_an_operator_edited_stays() -> None:
    schedules.sync([a_schedule()])
    edited = row()
    edited.interval = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.MINUTES)
    edited.enabled = False
    edited.save()

    [change] = schedules.sync([a_schedule(every=30.0, queue="other")])
    assert (change.fields, change.kept) == (["queue"], ["schedule", "enabled"])
    assert row().interval.schedule.run_every.total_seconds() == 300
    assert not row().enabled
    assert row().queue == "other"

    [change] = schedules.sync([a_schedule(every=20.0, queue="other")])
    assert change.kept == ["schedule", "enabled"], "still, however often the code changes"


def test_an_edit_that_was_undone_follows_the_code_again() -> None:
    schedules.sync([a_schedule()])
    PeriodicTask.objects.update(queue="mine")
    schedules.sync([a_schedule(queue="ours")])
    assert row().queue == "mine"
    PeriodicTask.objects.update(queue=None)
    schedules.sync([a_schedule(queue="ours")])
    assert row().queue == "ours"


def test_it_keeps_an_operators_words_in_the_description() -> None:
    schedules.sync([a_schedule()])
    edited = row()
    edited.description = "Do not touch. " + edited.description
    edited.save()
    [change] = schedules.sync([a_schedule(description="Counts more.", every=30.0)])
    assert (change.fields, change.kept) == (["schedule"], ["description"])
    assert row().description.startswith("Do not touch. Counts.")


def test_a_row_without_our_record_is_left_alone() -> None:
    schedules.sync([a_schedule()])
    PeriodicTask.objects.update(description="rewritten", queue="mine")
    [change] = schedules.sync([a_schedule(every=30.0)])
    assert change.fields == []
    assert row().interval.schedule.run_every.total_seconds() == 60
    assert (row().description, row().queue) == ("rewritten", "mine")


def test_it_changes_from_an_interval_to_a_crontab_and_back() -> None:
    schedules.sync([a_schedule()])
    schedules.sync([a_schedule(every=None, crontab="5 4 * * 1")])
    assert row().interval is None
    assert (row().crontab.minute, row().crontab.day_of_week) == ("5", "1")
    schedules.sync([a_schedule()])
    assert (row().interval.every, row().crontab) == (60, None)


def test_it_deletes_orphans_of_ours_and_nobody_elses() -> None:
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    PeriodicTask.objects.create(name="theirs", task="x", interval=every)
    schedules.sync([a_schedule(), a_schedule(name="old")])
    changes = schedules.sync([a_schedule()])
    assert [(change.action, change.name) for change in changes if change.action != "unchanged"] == [
        ("deleted", "weir: old")
    ]
    assert set(PeriodicTask.objects.values_list("name", flat=True)) == {"theirs", "weir: count"}


def test_rows_follow_the_namespace_that_made_them(settings: Any) -> None:
    schedules.sync([a_schedule()])
    settings.WORKFLOW_NAMESPACE = "blue"
    changes = schedules.sync([a_schedule(every=30.0), a_schedule(name="new")])
    assert [(change.action, change.owner) for change in changes] == [("unchanged", "default"), ("created", "")]
    assert row().interval.every == 60
    settings.WORKFLOW_NAMESPACE = "red"
    changes = schedules.sync([a_schedule(name="new", every=5.0)])
    assert {change.name: change.owner for change in changes} == {"weir: count": "default", "weir: new": "blue"}
    assert PeriodicTask.objects.count() == 2, "what red's code does not ask for may be asked for by that of others"
    settings.WORKFLOW_NAMESPACE = "blue"
    [change, _] = schedules.sync([a_schedule(name="new", every=5.0)])
    assert (change.action, change.fields) == ("updated", ["schedule"])


def test_default_takes_rows_over(settings: Any) -> None:
    settings.WORKFLOW_NAMESPACE = "blue"
    schedules.sync([a_schedule(), a_schedule(name="old")])
    settings.WORKFLOW_NAMESPACE = "default"
    changes = schedules.sync([a_schedule(every=30.0)])
    assert [change.action for change in changes] == ["updated", "deleted"]
    settings.WORKFLOW_NAMESPACE = "blue"
    [change] = schedules.sync([a_schedule()])
    assert (change.owner, row().interval.every) == ("default", 30)


def test_the_command_says_whose_settings_count(settings: Any) -> None:
    sync_command()
    settings.WORKFLOW_NAMESPACE = "blue"
    said = sync_command().splitlines()
    count = PeriodicTask.objects.count()
    assert said == [
        f"{count} are those of the namespace 'default', and follow its settings: left alone.",
        f"0 of {count} periodic tasks changed.",
    ]


def test_it_takes_any_of_several_equal_intervals() -> None:
    for _ in range(2):
        IntervalSchedule.objects.create(every=60, period=IntervalSchedule.SECONDS)
        CrontabSchedule.objects.create(minute="1", hour="1", timezone="UTC")
    schedules.sync([a_schedule(), a_schedule(name="daily", every=None, crontab="1 1 * * *")])
    assert IntervalSchedule.objects.count() == 2
    assert CrontabSchedule.objects.count() == 2


def test_a_running_beat_is_told_only_of_changes() -> None:
    schedules.sync([a_schedule()])
    told = PeriodicTasks.last_change()
    assert told is not None
    schedules.sync([a_schedule()])
    assert PeriodicTasks.last_change() == told
    schedules.sync([])
    assert PeriodicTasks.last_change() > told


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"every": None}, "either every"),
        ({"crontab": "1 1 * * *"}, "either every"),
        ({"every": 0.0}, "more than 0"),
        ({"every": None, "crontab": "1 1"}, "minute hour day month weekday"),
    ],
)
def test_a_wrong_schedule_is_refused_where_it_is_written(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        a_schedule(**changes)
