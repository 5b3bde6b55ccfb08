"""Monitoring: real probes of a real server; alerts after so many failures in a row, closed by recovery."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from automation.domains.ops.models import Monitor
from automation.domains.ops.workflows import MonitoringInput, MonitoringWorkflow, monitoring
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import Alert
from tests.domains.handles import ask, tell
from tests.domains.ops.conftest import cause
from tests.support.receiver import HttpReceiver, Reply

MINUTE = dt.timedelta(minutes=1)
DOWN = Reply(status=503)


def open_alerts() -> list[str]:
    return list(Alert.objects.filter(kind="monitor", closed_at=None).values_list("message", flat=True))


def test_it_probes_every_url_at_its_interval(env: WorkflowEnvironment, http_receiver: HttpReceiver) -> None:
    urls = [http_receiver.url("/a"), http_receiver.url("/b")]
    started = env.now
    result = env.run(MonitoringWorkflow.run, MonitoringInput(urls, interval_seconds=300, rounds=4))
    assert result == {"rounds": 4, "down": {}}
    assert env.now - started == 15 * MINUTE
    assert [len(http_receiver.to(path)) for path in ("/a", "/b")] == [4, 4]
    assert list(Monitor.objects.values_list("url", "is_up", "status_code")) == [(url, True, 200) for url in urls]


def test_failures_in_a_row_open_one_alert_and_recovery_closes_it(
    env: WorkflowEnvironment, http_receiver: HttpReceiver
) -> None:
    http_receiver.on("/", Reply(), *[DOWN] * 5, Reply())
    handle = env.start(MonitoringWorkflow.run, MonitoringInput([http_receiver.url("/")], rounds=10))
    seen = []
    for _ in range(9):
        seen.append(len(open_alerts()))
        env.skip(MINUTE)
    assert seen == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert handle.result()["down"] == {}
    alert = Alert.objects.get()
    assert alert.closed_at is not None
    assert "failed 3 times in a row: it answered 503" in alert.message


def test_failures_with_a_success_between_open_none(env: WorkflowEnvironment, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/", DOWN, DOWN, Reply(), DOWN, DOWN, Reply())
    env.run(MonitoringWorkflow.run, MonitoringInput([http_receiver.url("/")], rounds=6))
    assert not Alert.objects.exists()


def test_a_url_that_stays_down_is_told_in_the_end(env: WorkflowEnvironment, http_receiver: HttpReceiver) -> None:
    url = http_receiver.url("/")
    http_receiver.on("/", Reply(mode="silent"))
    result = env.run(MonitoringWorkflow.run, MonitoringInput([url], failures=2, rounds=4, timeout_seconds=0.2))
    assert result == {"rounds": 4, "down": {url: 4}}
    assert len(open_alerts()) == 1
    assert Alert.objects.count() == 1
    row = Monitor.objects.get()
    assert (row.is_up, row.status_code) == (False, None)
    assert row.problem


def test_what_counts_as_up_can_be_said(env: WorkflowEnvironment, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/", Reply(status=401))
    data = MonitoringInput([http_receiver.url("/")], failures=1, rounds=1, expected_status=[401, 403])
    assert env.run(MonitoringWorkflow.run, data)["down"] == {}
    http_receiver.on("/", Reply(status=200))
    assert list(env.run(MonitoringWorkflow.run, data)["down"].values()) == [1]
    assert "it answered 200, not 401 or 403" in open_alerts()[0]


def test_a_private_address_is_not_probed(env: WorkflowEnvironment) -> None:
    env.run(MonitoringWorkflow.run, MonitoringInput(["http://127.0.0.1:1/"], failures=1, rounds=1))
    assert "WEBHOOK_ALLOWED_HOSTS" in open_alerts()[0]


def test_it_continues_as_new_with_what_it_knows(
    env: WorkflowEnvironment, http_receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "PROBES_PER_RUN", 2)
    http_receiver.on("/", *[DOWN] * 5, Reply())
    handle = env.start(MonitoringWorkflow.run, MonitoringInput([http_receiver.url("/")], failures=5, rounds=7))
    env.skip(4.5 * MINUTE)
    assert len(open_alerts()) == 1, "failures are counted through the runs"
    assert handle.execution.id != handle.run_id
    assert handle.result() == {"rounds": 7, "down": {}}
    assert Alert.objects.get().closed_at is not None
    assert len(http_receiver.requests) == 7


def test_urls_come_and_go_and_it_stops(env: WorkflowEnvironment, http_receiver: HttpReceiver) -> None:
    a, b = http_receiver.url("/a"), http_receiver.url("/b")
    http_receiver.on("/a", DOWN)
    handle = env.start(MonitoringWorkflow.run, MonitoringInput([a], failures=1))
    assert len(open_alerts()) == 1
    tell(env, handle, "add_url", b)
    tell(env, handle, "add_url", "not a url")
    tell(env, handle, "remove_url", a)
    env.skip(MINUTE)
    state = ask(handle, "state")
    assert (state["urls"], state["streaks"]) == ([b], {b: 0})
    assert state["last"][b]["status"] == 200
    assert open_alerts() == [], "nobody watches it any more"
    tell(env, handle, "stop")
    assert handle.result() == {"rounds": 2, "down": {}}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"urls": []}, "urls: there are none"),
        ({"urls": ["ftp://example.com"]}, "must start with http"),
        ({"interval_seconds": 0}, "interval_seconds"),
        ({"failures": 0}, "failures: it must be at least 1"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"rounds": -1}, "rounds"),
    ],
)
def test_a_bad_input_is_named(env: WorkflowEnvironment, data: dict[str, Any], problem: str) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(MonitoringWorkflow.run, MonitoringInput(**{"urls": ["https://example.com"], **data}))
    assert cause(caught).type == "BadInput"
    assert problem in str(cause(caught))
