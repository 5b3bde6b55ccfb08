"""Which rows the beat of a namespace ticks: all namespaces on a database share those of django-celery-beat."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django_celery_beat.models import IntervalSchedule, PeriodicTask

import beat_schedules
from automation import clock
from automation.durable import leases
from automation.durable.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    SyncClient,
)
from automation.models import Lease
from project.celery import BACKGROUND_TASKS, app
from tasks.beat import LeasedScheduler

SWEEP, MAINTENANCE, OPERATORS = "weir: sweep", "weir: clean up rooms", "report"
COMMON = {MAINTENANCE, OPERATORS}

Beats = Callable[[str], LeasedScheduler]


@pytest.fixture
def beats(settings: Any) -> Beats:
    """Makes beats of namespaces; what they are asked is asked in the namespace of the last that was named."""
    made: dict[str, LeasedScheduler] = {}

    def of(namespace: str) -> LeasedScheduler:
        settings.WORKFLOW_NAMESPACE = namespace
        if namespace not in made:
            made[namespace] = LeasedScheduler(app=app)
            made[namespace].holder = namespace
            made[namespace]._finalize.cancel()
        return made[namespace]

    return of


@pytest.fixture
def rows(db: None, settings: Any) -> None:
    """Schedules of two namespaces, Weir's own rows, and one that an operator made."""
    call_command("sync_schedules", verbosity=0)
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.MINUTES)
    PeriodicTask.objects.create(name=OPERATORS, task="make_report", interval=every)
    for namespace in ("default", "blue"):
        settings.WORKFLOW_NAMESPACE = namespace
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=dt.timedelta(minutes=1))])
        action = ScheduleActionStartWorkflow("TestWorkflow", id=f"of {namespace}")
        SyncClient().create_schedule(f"of {namespace}", Schedule(action, spec))
    settings.WORKFLOW_NAMESPACE = "default"


def ticked(beat: LeasedScheduler) -> set[str]:
    """The rows of this test that a beat ticks now, a schedule's without the end of its row's name."""
    beat._renewed = float("-inf")  # ask anew
    if not beat._lead():
        return set()
    names = [row.name for row in beat.enabled_models()]
    short = {name.rpartition(" ")[0] if name.startswith("schedule: ") else name for name in names}
    return short & {
        SWEEP,
        *COMMON,
        "schedule: of default",
        "schedule: of blue",
    }


def test_each_ticks_its_own_and_one_what_is_common(rows: None, beats: Beats) -> None:
    assert ticked(beats("default")) == {SWEEP, "schedule: of default", *COMMON}
    assert ticked(beats("blue")) == {SWEEP, "schedule: of blue"}


def test_without_default_the_first_ticks_what_is_common(transactional_db: None, rows: None, beats: Beats) -> None:
    assert ticked(beats("blue")) == {SWEEP, "schedule: of blue", *COMMON}
    assert ticked(beats("red")) == {SWEEP}
    beats("blue").close()
    assert ticked(beats("red")) == {SWEEP, *COMMON}


def test_what_is_common_goes_back_to_default_and_is_nobodys_twice(rows: None, beats: Beats) -> None:
    assert ticked(beats("blue")) >= COMMON
    assert not COMMON & ticked(beats("default")), "blue has not been asked since"
    assert not COMMON & ticked(beats("blue"))
    assert ticked(beats("default")) >= COMMON


def test_a_beat_that_dies_leaves_what_is_common_to_others(rows: None, beats: Beats) -> None:
    assert ticked(beats("default")) >= COMMON
    Lease.objects.update(expires_at=clock.unmoved())
    assert ticked(beats("blue")) >= COMMON


def test_a_stand_by_in_one_namespace_holds_nothing(rows: None, beats: Beats, settings: Any) -> None:
    assert leases.take(leases.BEAT, "another", 60)
    assert ticked(beats("default")) == set()
    assert not Lease.objects.filter(name=leases.MAINTENANCE).exists()


def test_maintenance_goes_to_the_queue_of_the_namespace_that_sends_it(rows: None, beats: Beats) -> None:
    """Prefixes of queues may differ, and the rows are common: so they name no queue, and the tasks do."""
    app.loader.import_default_modules()
    one = beats("default")
    ticked(one)
    for name, entry in one.all_as_schedule().items():
        if name.startswith("weir: "):
            assert "queue" not in entry.options
            assert entry.task in app.tasks
    for task in BACKGROUND_TASKS:
        assert app.amqp.router.route({}, task)["queue"].name == django_settings.WORKFLOW_BACKGROUND_QUEUE
        assert app.amqp.router.route({"queue": "mine"}, task)["queue"].name == "mine", "an operator's choice"
    assert app.amqp.router.route({}, "sweep")["queue"].name == django_settings.WORKFLOW_TASK_QUEUE
    assert set(BACKGROUND_TASKS) <= {entry.task for entry in beat_schedules.schedules()}
