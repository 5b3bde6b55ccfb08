"""Schedules: created, triggered, paused, backfilled, updated and deleted; and what overlaps."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.db import connection, connections, transaction
from django_celery_beat.models import PeriodicTask

from automation import clock
from automation.durable import workflow
from automation.durable.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    SyncClient,
    SyncScheduleHandle,
)
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from automation.durable.schedules import firing
from automation.durable.testing import WorkflowEnvironment
from automation.errors import Conflict, NotFound
from automation.models import WorkflowExecution, WorkflowSchedule
from tests.durable.snippets import somebody_waits
from tests.support.carrier import Carrier
from tests.support.waiting import wait_until

HOUR = dt.timedelta(hours=1)


@workflow.defn(name="scheduled_quick")
class Quick:
    @workflow.run
    async def run(self, what: str) -> str:
        return what


@workflow.defn(name="scheduled_long")
class Long:
    """Takes two and a half hours."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(dt.timedelta(minutes=150))


@workflow.defn(name="scheduled_failing")
class Failing:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("no")


@pytest.fixture
def env() -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as one:
        # On the hour, so that hourly moments are whole hours from here.
        one.skip(-one.now.timestamp() % 3600)
        yield one


def hourly(run: type, *args: object, **policy: object) -> Schedule:
    return Schedule(
        ScheduleActionStartWorkflow(run, args=args, id="job"),
        ScheduleSpec(intervals=[ScheduleIntervalSpec(HOUR)]),
        SchedulePolicy(**policy),  # type: ignore[arg-type]
    )


def ids() -> list[str]:
    return [row.business_id for row in WorkflowExecution.objects.order_by("id")]


def hours(env: WorkflowEnvironment, count: float) -> None:
    env.skip(count * 3600 + 5)


@pytest.fixture
def every_hour(carrier: Carrier) -> SyncScheduleHandle:
    """A schedule whose first moment has come, and that nobody has looked at since."""
    handle = SyncClient().create_schedule("hourly", hourly(Quick, "x"))
    clock.shift(3600)
    return handle


def test_its_whole_life(env: WorkflowEnvironment) -> None:
    client = SyncClient()
    began = clock.now()
    handle = client.create_schedule("nightly", hourly(Quick, "x"), memo={"team": "ops"})
    with pytest.raises(ScheduleAlreadyRunningError, match="nightly"):
        client.create_schedule("nightly", hourly(Quick, "x"))

    hours(env, 3)
    found = handle.describe()
    assert found.info.num_actions == 3
    assert [one.scheduled_at - began for one in found.info.recent_actions] == [HOUR, 2 * HOUR, 3 * HOUR]
    assert found.info.next_action_times[0] == began + 4 * HOUR
    assert found.memo_values == {"team": "ops"}
    assert set(WorkflowExecution.objects.values_list("status", flat=True)) == {"completed"}

    handle.trigger()
    env.settle()
    assert handle.describe().info.num_actions == 4

    handle.pause(note="holiday")
    hours(env, 5)
    found = handle.describe()
    assert (found.info.num_actions, found.schedule.state.paused, found.schedule.state.note) == (4, True, "holiday")
    handle.unpause()
    hours(env, 2)
    assert handle.describe().info.num_actions == 6  # what passed meanwhile is left out

    handle.backfill(ScheduleBackfill(began - 3 * HOUR, began - HOUR, ScheduleOverlapPolicy.ALLOW_ALL))
    env.settle()
    assert handle.describe().info.num_actions == 9

    handle.delete()
    assert not PeriodicTask.objects.filter(name__startswith="schedule: nightly").exists()
    hours(env, 3)
    assert WorkflowExecution.objects.count() == 9
    with pytest.raises(NotFound, match="nightly"):
        handle.describe()


@pytest.mark.parametrize(
    ("overlap", "starts", "skipped"),
    [
        # A run takes 2.5 hours; in 7 hours there are 7 moments.
        (ScheduleOverlapPolicy.SKIP, [1, 4, 7], 4),
        (ScheduleOverlapPolicy.BUFFER_ONE, [1, 2, 4], 3),
        (ScheduleOverlapPolicy.BUFFER_ALL, [1, 2, 3], 0),
        (ScheduleOverlapPolicy.TERMINATE_OTHER, [1, 2, 3, 4, 5, 6, 7], 0),
        (ScheduleOverlapPolicy.CANCEL_OTHER, [1, 2, 3, 4, 5, 6, 7], 0),
        (ScheduleOverlapPolicy.ALLOW_ALL, [1, 2, 3, 4, 5, 6, 7], 0),
    ],
)
def test_overlaps_go_by_the_policy(
    env: WorkflowEnvironment, overlap: ScheduleOverlapPolicy, starts: list[int], skipped: int
) -> None:
    began = clock.now()
    handle = SyncClient().create_schedule("long", hourly(Long, overlap=overlap))
    env.skip(7 * 3600 + 60)
    info = handle.describe().info
    moments = [round((one.scheduled_at - began) / HOUR) for one in info.recent_actions]
    assert moments == starts
    assert info.num_actions_skipped_overlap == skipped
    statuses = set(WorkflowExecution.objects.values_list("status", flat=True))
    assert ("terminated" in statuses) == (overlap == ScheduleOverlapPolicy.TERMINATE_OTHER)
    assert ("cancelled" in statuses) == (overlap == ScheduleOverlapPolicy.CANCEL_OTHER)


def test_after_a_downtime_the_catch_up_window_decides(env: WorkflowEnvironment) -> None:
    policy = {"overlap": ScheduleOverlapPolicy.ALLOW_ALL, "catchup_window": 2.5 * HOUR}
    handle = SyncClient().create_schedule("down", hourly(Quick, "x", **policy))
    row = WorkflowSchedule.objects.get()
    later = clock.now() + 5 * HOUR
    firing.run(row.id, later)  # nothing looked at it for five hours
    firing.run(row.id, later)  # and two look at it at once
    info = handle.describe().info
    assert (info.num_actions, info.num_actions_missed_catchup_window) == (3, 2)


def test_it_stops_after_its_limited_actions(env: WorkflowEnvironment) -> None:
    schedule = hourly(Quick, "x")
    schedule.state = ScheduleState(limited_actions=True, remaining_actions=2)
    handle = SyncClient().create_schedule("twice", schedule, trigger_immediately=True)
    hours(env, 6)
    found = handle.describe()
    assert (found.info.num_actions, found.schedule.state.remaining_actions) == (2, 0)


def test_it_pauses_on_failure_where_asked(env: WorkflowEnvironment) -> None:
    handle = SyncClient().create_schedule("failing", hourly(Failing, pause_on_failure=True))
    hours(env, 5)
    found = handle.describe()
    assert (found.info.num_actions, found.schedule.state.paused) == (1, True)
    assert "failed: no" in (found.schedule.state.note or "")


def test_beat_s_row_shows_it_and_switches_it_off(env: WorkflowEnvironment) -> None:
    handle = SyncClient().create_schedule("seen", hourly(Quick, "x"))
    task = PeriodicTask.objects.get(name__startswith="schedule: seen")
    assert (task.task, task.interval.every, task.interval.period, task.enabled) == (
        "run_schedule",
        3600,
        "seconds",
        True,
    )
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
    hours(env, 2)
    assert handle.describe().info.num_actions == 0
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=True)
    firing.run(WorkflowSchedule.objects.get().id)
    hours(env, 1)
    assert handle.describe().info.num_actions == 1


def test_it_can_be_changed(env: WorkflowEnvironment) -> None:
    handle = SyncClient().create_schedule("changing", hourly(Quick, "x"))

    def every_two(given: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = given.description.schedule
        schedule.spec = ScheduleSpec(cron_expressions=["0 */2 * * *"], time_zone_name="Europe/Paris")
        schedule.policy.overlap = ScheduleOverlapPolicy.BUFFER_ALL
        assert isinstance(schedule.action, ScheduleActionStartWorkflow)
        schedule.action.retry_policy = RetryPolicy(maximum_attempts=3)
        return ScheduleUpdate(schedule)

    handle.update(every_two)
    handle.update(lambda given: None)
    found = handle.describe().schedule
    assert found.spec.cron_expressions == ["0 */2 * * *"]
    assert found.policy.overlap == ScheduleOverlapPolicy.BUFFER_ALL
    assert isinstance(found.action, ScheduleActionStartWorkflow)
    assert found.action.retry_policy == RetryPolicy(maximum_attempts=3)
    assert PeriodicTask.objects.get(name__startswith="schedule: changing").crontab.hour == "*/2"
    hours(env, 4)
    assert handle.describe().info.num_actions == 2


def test_schedules_are_listed(env: WorkflowEnvironment) -> None:
    client = SyncClient()
    for name in ("b", "a", "c"):
        client.create_schedule(name, hourly(Quick, name))
    assert [one.id for one in client.list_schedules(page_size=2)] == ["a", "b", "c"]


def test_a_spec_that_cannot_be_read_creates_nothing(env: WorkflowEnvironment) -> None:
    schedule = hourly(Quick, "x")
    schedule.spec = ScheduleSpec(cron_expressions=["every day"])
    with pytest.raises(ValueError, match="cron expression 'every day'"):
        SyncClient().create_schedule("bad", schedule)
    assert not WorkflowSchedule.objects.exists()


def test_a_cron_schedule_starts_the_next_run_when_it_comes(env: WorkflowEnvironment) -> None:
    began = clock.now()
    client = SyncClient()
    client.start_workflow(Quick, "x", id="cron", cron_schedule="0 * * * *")
    hours(env, 3)
    runs = WorkflowExecution.objects.filter(business_id="cron").order_by("id")
    assert [run.status for run in runs] == ["completed"] * 3 + ["pending"]
    assert [round((run.scheduled_for - began) / HOUR) for run in runs if run.scheduled_for] == [1, 2, 3, 4]
    client.get_workflow_handle("cron").terminate()


def test_the_async_client_has_the_same(env: WorkflowEnvironment) -> None:
    from asgiref.sync import async_to_sync

    async def use() -> int:
        client = await Client.connect()
        handle = await client.create_schedule("async", hourly(Quick, "x"), trigger_immediately=True)
        assert [one.id async for one in await client.list_schedules()] == ["async"]
        return (await handle.describe()).info.num_actions

    assert async_to_sync(use)() == 1


# -- several at once ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.parametrize(("other", "starts"), [("tick", 1), ("trigger", 2), ("pause", 1)])
def test_who_comes_while_another_is_at_it_waits_and_sees_what_was_done(
    every_hour: SyncScheduleHandle, other: str, starts: int
) -> None:
    now = clock.now()
    row = WorkflowSchedule.objects.get()
    calls: dict[str, Callable[[], object]] = {
        "tick": lambda: firing.run(row.id, now),
        "trigger": lambda: firing.trigger(row.id, ScheduleOverlapPolicy.ALLOW_ALL),
        "pause": lambda: every_hour.pause(note="enough"),
    }

    def come() -> None:
        try:
            calls[other]()
        finally:
            connections.close_all()

    thread = threading.Thread(target=come)
    with transaction.atomic():
        assert firing.run(row.id, now) == 1
        thread.start()
        wait_until(somebody_waits, 60)
    thread.join(60)
    assert not thread.is_alive()
    before = row.seen_until
    row.refresh_from_db()
    assert row.seen_until > before
    assert (row.starts, len(row.recent), row.paused) == (starts, starts, other == "pause")
    assert WorkflowExecution.objects.count() == starts


def test_whatever_is_refused_ends_its_transaction(
    every_hour: SyncScheduleHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was left open would take with it all that this thread writes from then on."""
    with monkeypatch.context() as broken:
        broken.setattr(firing, "_look_at_ends", lambda row: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            every_hour.trigger()
        assert not connection.in_atomic_block
    with monkeypatch.context() as broken:
        broken.setattr(firing, "plan", lambda row, now: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            every_hour.trigger()
        assert not connection.in_atomic_block
    WorkflowSchedule.objects.all().delete()
    with pytest.raises(Conflict, match="deleted"):
        firing.trigger(uuid.uuid4(), None)
    assert not connection.in_atomic_block
    assert WorkflowExecution.objects.count() == 0
