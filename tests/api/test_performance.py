"""Trends by day, and what the statistics endpoint makes of them; workers, alerts and the audit log."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation import clock
from automation.models import (
    Alert,
    ExecutionStatus,
    User,
    WorkerHeartbeat,
    Workflow,
    WorkflowExecution,
    WorkflowTrend,
)
from automation.services import maintenance, statistics, workflows
from tests.api.conftest import client_of

URL = "/api/v1/workflows/performance-stats/"


def ended(workflow: Workflow, status: ExecutionStatus, *, days_ago: float = 0, seconds: float = 1.0) -> None:
    at = clock.now() - dt.timedelta(days=days_ago)
    WorkflowExecution.objects.create(
        definition="AutomationWorkflow",
        queue="q",
        workflow=workflow,
        status=status,
        created_at=at - dt.timedelta(seconds=seconds),
        started_at=at - dt.timedelta(seconds=seconds),
        completed_at=at,
        actions_executed=2,
        actions_failed=int(status == ExecutionStatus.FAILED),
    )


@pytest.fixture
def workflow(owner: User) -> Workflow:
    return workflows.create(owner, name="Good", trigger="booking_created")


def test_it_counts_runs_by_day_once(api: APIClient, owner: User, workflow: Workflow) -> None:
    bad = workflows.create(owner, name="Bad", trigger="booking_created")
    for days_ago in (0, 0, 1):
        ended(workflow, ExecutionStatus.COMPLETED, days_ago=days_ago, seconds=2 + days_ago)
    for _ in range(3):
        ended(bad, ExecutionStatus.FAILED)
    ended(bad, ExecutionStatus.COMPLETED, seconds=9)
    ended(bad, ExecutionStatus.CANCELLED)
    ended(workflow, ExecutionStatus.COMPLETED, days_ago=31)  # in the days before
    ended(workflow, ExecutionStatus.COMPLETED, days_ago=90)  # in neither
    assert statistics.roll_up_all() == 10
    assert statistics.roll_up_all() == 0

    body = api.get(URL).json()
    overall = body["overall"]
    assert {name: overall[name] for name in ("runs", "completed", "failed", "cancelled")} == {
        "runs": 7,
        "completed": 4,
        "failed": 3,
        "cancelled": 1,
    }
    assert overall["success_rate"] == 57.14
    assert overall["average_seconds"] == pytest.approx((2 + 2 + 3 + 9) / 4, abs=0.01)
    assert overall["longest_seconds"] == pytest.approx(9, abs=0.01)
    assert (overall["actions_executed"], overall["actions_failed"]) == (16, 3)
    assert body["before"]["runs"] == 1
    assert len(body["days"]) == 30
    assert [day["runs"] for day in body["days"][-3:]] == [0, 1, 6]
    assert [one["name"] for one in body["top_performing"]] == ["Good", "Bad"]
    assert [(one["name"], one["success_rate"]) for one in body["problematic"]] == [("Bad", 25.0)]
    assert [one["name"] for one in body["slowest"]] == ["Bad", "Good"]

    of_one = api.get(URL, {"workflow": str(workflow.pk), "days": 90}).json()
    assert (of_one["overall"]["runs"], len(of_one["days"]), of_one["top_performing"]) == (4, 90, [])


def test_trends_outlive_the_runs(api: APIClient, workflow: Workflow) -> None:
    ended(workflow, ExecutionStatus.COMPLETED, days_ago=100)
    assert maintenance.delete_old_executions() == 1
    assert not WorkflowExecution.objects.exists()
    assert api.get(URL, {"days": 200}).json()["overall"]["runs"] == 1


def test_a_run_that_ends_again_counts_again_on_its_day(workflow: Workflow) -> None:
    ended(workflow, ExecutionStatus.FAILED)
    statistics.roll_up_all()
    ended(workflow, ExecutionStatus.COMPLETED)
    statistics.roll_up_all()
    trend = WorkflowTrend.objects.get()
    assert (trend.completed, trend.failed) == (1, 1)


def test_organizers_see_their_own_and_staff_all(
    api: APIClient, stranger: APIClient, operator: APIClient, workflow: Workflow
) -> None:
    ended(workflow, ExecutionStatus.COMPLETED)
    statistics.roll_up_all()
    assert [client.get(URL).json()["overall"]["runs"] for client in (api, stranger, operator)] == [1, 0, 1]
    assert stranger.get(URL, {"workflow": str(workflow.pk)}).status_code == 404


@pytest.mark.parametrize("query", [{"days": 0}, {"days": 400}, {"days": "many"}, {"workflow": "x"}])
def test_a_bad_query_is_refused(api: APIClient, query: dict[str, Any]) -> None:
    response = api.get(URL, query)
    assert response.status_code == 400
    assert list(response.json()["error"]["fields"]) == list(query)


def test_it_takes_a_constant_number_of_queries(api: APIClient, owner: User, workflow: Workflow) -> None:
    def queries() -> int:
        statistics.roll_up_all()
        with CaptureQueriesContext(connection) as captured:
            assert api.get(URL).status_code == 200
        return len(captured)

    ended(workflow, ExecutionStatus.COMPLETED)
    before = queries()
    for number in range(12):
        other = workflows.create(owner, name=f"Another {number}", trigger="booking_created")
        ended(other, ExecutionStatus.COMPLETED, days_ago=number)
    assert queries() == before


# -- reorder -----------------------------------------------------------------------------------------------------------


def test_actions_are_put_in_order(api: APIClient, stranger: APIClient, owner: User) -> None:
    actions = [{"action_type": "send_email", "name": name, "subject": "s", "message": "m"} for name in "abc"]
    made = workflows.create(owner, name="Ordered", trigger="booking_created", actions=actions)
    ids = {action.name: str(action.pk) for action in made.actions.all()}
    url = f"/api/v1/workflows/{made.pk}/actions/reorder/"
    response = api.post(url, {"ids": [ids["c"], ids["a"], ids["b"]]}, format="json")
    assert response.status_code == 200, response.content
    assert [action["name"] for action in response.json()["actions"]] == ["c", "a", "b"]
    response = api.post(url, {"orders": {ids["a"]: 1, ids["c"]: 1}}, format="json", HTTP_IF_MATCH=response["ETag"])
    assert {one["name"]: one["order"] for one in response.json()["actions"]} == {"a": 1, "c": 1, "b": 3}
    assert api.post(url, {"ids": [ids["a"]]}, format="json", HTTP_IF_MATCH='"old"').status_code == 412
    assert api.post(url, {"ids": [ids["a"], ids["a"]]}, format="json").status_code == 400
    assert api.post(url, {}, format="json").status_code == 400
    assert api.post(url, {"orders": {"x": 1}}, format="json").status_code == 400
    assert api.post(url, {"ids": [str(made.pk)]}, format="json").status_code == 400
    assert stranger.post(url, {"ids": [ids["a"]]}, format="json").status_code == 404


# -- operations --------------------------------------------------------------------------------------------------------


def test_workers_are_staff_s_to_see(api: APIClient, operator: APIClient) -> None:
    now = clock.unmoved()
    for name, seen, stopped in (("alive", now, None), ("gone", now - dt.timedelta(hours=1), None), ("ended", now, now)):
        WorkerHeartbeat.objects.create(
            id=name, node=name, hostname="h", pid=1, queues=["q"], seen_at=seen, stopped_at=stopped
        )
    assert api.get("/api/v1/workers/").status_code == 403
    found = operator.get("/api/v1/workers/").json()["results"]
    assert {one["node"]: one["alive"] for one in found} == {"alive": True, "gone": False, "ended": False}
    found = operator.get("/api/v1/workers/", {"alive": "true"}).json()["results"]
    assert [one["node"] for one in found] == ["alive"]


def test_alerts_and_changes_are_one_s_own(
    api: APIClient, stranger: APIClient, operator: APIClient, workflow: Workflow
) -> None:
    Alert.objects.create(kind="slow", key="1", message="Slow.", workflow=workflow)
    Alert.objects.create(kind="slow", key="2", message="Over.", workflow=workflow, closed_at=clock.now())
    Alert.objects.create(kind="dead_letter", key="3", message="Nobody's.")

    def counts(url: str, **query: str) -> list[int]:
        return [client.get(url, query).json()["count"] for client in (api, stranger, operator)]

    assert counts("/api/v1/alerts/") == [2, 0, 3]
    assert counts("/api/v1/alerts/", open="true") == [1, 0, 2]
    assert counts("/api/v1/audit/") == [1, 0, 1]
    (entry,) = api.get("/api/v1/audit/", {"subject": "workflow"}).json()["results"]
    assert (entry["action"], entry["name"], entry["changes"]["name"]) == ("created", "Good", [None, "Good"])
    assert client_of(None).get("/api/v1/audit/").status_code == 401
