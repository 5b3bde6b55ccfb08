"""The test environment itself: time, replaced activities, handles; within a test's transaction and without."""

from __future__ import annotations

import datetime as dt

from automation import clock
from automation.durable import workflow
from automation.durable.testing import WorkflowEnvironment

DAY = dt.timedelta(days=1)
LIMIT = dt.timedelta(seconds=20)


@workflow.defn(name="testing_loop")
class Loop:
    @workflow.run
    async def run(self, days: int) -> list[str]:
        times = []
        for _ in range(days):
            await workflow.sleep(DAY)
            times.append(await workflow.execute_activity("testing_stamp", start_to_close_timeout=LIMIT))
        return times


def stamp() -> str:
    return clock.now().isoformat()


def test_a_loop_of_thirty_days_has_exact_times() -> None:
    start = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
    with WorkflowEnvironment.start_time_skipping(activities={"testing_stamp": stamp}, start_at=start) as env:
        times = env.run(Loop.run, 30)
        assert [dt.datetime.fromisoformat(time) for time in times] == [start + n * DAY for n in range(1, 31)]
        assert env.now == start + 30 * DAY
