"""Watching URLs for as long as one likes."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field, replace
from typing import Any

from automation.domains.ops import activities
from automation.durable import workflow
from automation.durable.base import BaseWorkflow, monitored_workflow
from automation.durable.exceptions import ApplicationError
from automation.durable.policies import STANDARD_RETRY_POLICY
from automation.outbound import OutboundRefused, parse_target

PROBES_PER_RUN = 1000
"""Probes after which it continues as new, so that its history stays short."""


@dataclass(frozen=True)
class MonitoringInput:
    """What to watch. `failures` in a row open the alert of a URL, the first success closes it.

    expected_status: what counts as up; anything below 400 where empty. rounds: after how many to end; 0 is never.
    streaks: failures in a row by URL; what one run hands to the next.
    """

    urls: list[str]
    interval_seconds: float = 60.0
    failures: int = 3
    timeout_seconds: float = 10.0
    expected_status: list[int] = field(default_factory=list)
    rounds: int = 0
    rounds_done: int = 0
    streaks: dict[str, int] = field(default_factory=dict)


@workflow.defn
@monitored_workflow(name="MonitoringWorkflow")
class MonitoringWorkflow(BaseWorkflow):
    """Probes URLs at an interval: so many failures in a row open one alert, recovery closes it. It continues as new;
    the signals add_url, remove_url and stop steer it, the query state tells how things are."""

    @workflow.init
    def __init__(self, data: MonitoringInput) -> None:
        self.data = data
        self.urls = list(dict.fromkeys(data.urls))
        self.streaks = dict(data.streaks)
        self.last: dict[str, dict[str, Any]] = {}
        self.removed: list[str] = []
        self.stopped = False

    @workflow.run
    async def run(self, data: MonitoringInput) -> dict[str, Any]:
        """When it is stopped, or after its rounds: `rounds`, and `down`: the failures in a row of what is down."""
        _check(data)
        done, probes = data.rounds_done, 0
        while not self.stopped and (not data.rounds or done < data.rounds):
            began = workflow.now()
            await self._forget_removed()
            probes += await self._probe_all()
            done += 1
            if data.rounds and done >= data.rounds:
                break
            rest = data.interval_seconds - (workflow.now() - began).total_seconds()
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: self.stopped, timeout=dt.timedelta(seconds=max(0.1, rest)))
            if probes >= PROBES_PER_RUN:
                await self._forget_removed()
                if not self.stopped:
                    workflow.continue_as_new(replace(data, urls=self.urls, streaks=self.streaks, rounds_done=done))
        await self._forget_removed()
        return {"rounds": done, "down": {url: count for url, count in self.streaks.items() if count}}

    async def _probe_all(self) -> int:
        urls = list(self.urls)
        if not urls:
            return 0
        results = await workflow.group(
            *(
                workflow.step(
                    activities.probe_url,
                    url,
                    self.data.timeout_seconds,
                    self.data.expected_status,
                    start_to_close_timeout=dt.timedelta(seconds=self.data.timeout_seconds + 30),
                    retry_policy=STANDARD_RETRY_POLICY,
                )
                for url in urls
            ),
            return_exceptions=True,
        )
        for url, result in zip(urls, results, strict=True):
            if isinstance(result, BaseException):  # ours, not the URL's: a probe that could not be made says nothing
                self.logger.warning("%s could not be probed: %s", url, result.__cause__ or result)
                continue
            self.last[url] = result
            before = self.streaks.get(url, 0)
            self.streaks[url] = 0 if result["up"] else before + 1
            if self.streaks[url] == self.data.failures:
                await self._do(activities.open_probe_alert, url, self.streaks[url], result["problem"])
            elif result["up"] and before >= self.data.failures:
                await self._do(activities.close_probe_alert, url)
        return len(urls)

    async def _forget_removed(self) -> None:
        """Nobody watches a removed URL any more, so nobody would close its alert."""
        while self.removed:
            url = self.removed.pop(0)
            if self.streaks.pop(url, 0) >= self.data.failures:
                await self._do(activities.close_probe_alert, url)
            self.last.pop(url, None)

    async def _do(self, activity: Any, *args: Any) -> Any:
        return await self.execute_activity(activity, *args, start_to_close_timeout=dt.timedelta(minutes=1))

    @workflow.signal
    def add_url(self, url: str) -> None:
        """Watch this one too, from the next round."""
        if url not in self.urls and not _problem(url):
            self.urls.append(url)
            if url in self.removed:
                self.removed.remove(url)

    @workflow.signal
    def remove_url(self, url: str) -> None:
        """Watch this one no more; its alert is closed."""
        if url in self.urls:
            self.urls.remove(url)
            self.removed.append(url)

    @workflow.signal
    def stop(self) -> None:
        """End; open alerts stay open."""
        self.stopped = True

    @workflow.query
    def state(self) -> dict[str, Any]:
        """`urls`, and by URL its `streaks` (failures in a row) and `last` probe."""
        return {"urls": list(self.urls), "streaks": dict(self.streaks), "last": dict(self.last)}


def _check(data: MonitoringInput) -> None:
    problems = [f"urls: {problem}" for problem in map(_problem, data.urls) if problem]
    if not data.urls:
        problems.append("urls: there are none")
    if data.interval_seconds < 1:
        problems.append(f"interval_seconds: it must be at least 1, not {data.interval_seconds:g}")
    if data.failures < 1:
        problems.append(f"failures: it must be at least 1, not {data.failures}")
    if not 0 < data.timeout_seconds <= 300:
        problems.append(f"timeout_seconds: it must be above 0 and at most 300, not {data.timeout_seconds:g}")
    if data.rounds < 0:
        problems.append(f"rounds: it must be 0 (for ever) or more, not {data.rounds}")
    if problems:
        raise ApplicationError("; ".join(problems), type="BadInput", non_retryable=True)


def _problem(url: str) -> str:
    try:
        parse_target(url)
    except OutboundRefused as error:
        return error.message
    return ""
