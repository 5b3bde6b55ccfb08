"""Probing URLs, and the alerts about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automation import clock, outbound
from automation.domains.ops import alerts
from automation.domains.ops.models import Monitor
from automation.durable import activity

ALERT = "monitor"

Info = dict[str, Any]


@activity.defn(name="probe_url")
def probe_url(url: str, timeout: float, expected_status: Sequence[int] = ()) -> Info:
    """GET a URL, and keep what it said: `url`, `up`, `status` (None without an answer), `elapsed_ms`, `problem`.

    Up is a status among `expected_status`, or below 400 where none is named. Hosts on private networks have to be
    opened in WEBHOOK_ALLOWED_HOSTS.
    """
    status: int | None = None
    elapsed: int | None = None
    problem = ""
    try:
        answer = outbound.request("GET", url, timeout=timeout, max_body=1)
    except outbound.OutboundError as error:
        problem = error.message
    else:
        status, elapsed = answer.status, round(answer.elapsed * 1000)
        good = status in expected_status if expected_status else status < 400
        if not good:
            wanted = " or ".join(map(str, expected_status)) or "a status below 400"
            problem = f"it answered {status}, not {wanted}"
    _keep(url, status, elapsed, problem)
    return {"url": url, "up": not problem, "status": status, "elapsed_ms": elapsed, "problem": problem}


@activity.defn(name="open_probe_alert")
def open_probe_alert(url: str, failures: int, problem: str) -> Info:
    """Open the alert about a URL: `opened`, False where it is open already."""
    times = "once" if failures == 1 else f"{failures} times in a row"
    return {"url": url, "opened": alerts.open_alert(ALERT, url, f"{url} failed {times}: {problem}")}


@activity.defn(name="close_probe_alert")
def close_probe_alert(url: str) -> Info:
    """Close the alert about a URL: `closed`, False where there is none."""
    return {"url": url, "closed": alerts.close_alert(ALERT, url)}


def _keep(url: str, status: int | None, elapsed: int | None, problem: str) -> None:
    now = clock.now()
    row, _ = Monitor.objects.get_or_create(url=url)
    if row.is_up is None or row.is_up == bool(problem):
        row.changed_at = now
    row.is_up, row.status_code, row.elapsed_ms, row.problem, row.probed_at = not problem, status, elapsed, problem, now
    row.save()
