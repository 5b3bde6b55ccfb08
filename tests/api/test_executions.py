"""Executions: what ran, step by step, and the controls over it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from rest_framework.test import APIClient

from automation import clock
from automation.durable import failures, payloads
from automation.durable.exceptions import ApplicationError
from automation.models import (
    Booking,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    User,
    Workflow,
    WorkflowExecution,
)
from tests.api.conftest import execution_of, problem_of, workflow_of

URL = "/api/v1/executions/"


def url_of(execution: WorkflowExecution, control: str = "") -> str:
    return f"{URL}{execution.pk}/{control}"


def planned_of(workflow: Workflow, **fields: Any) -> WorkflowExecution:
    later = clock.now() + dt.timedelta(hours=1)
    execution = execution_of(
        workflow,
        **{
            "status": ExecutionStatus.PENDING,
            "started_at": None,
            "completed_at": None,
            "scheduled_for": later,
            "due": later,
            **fields,
        },
    )
    execution.steps.all().delete()
    return execution


def test_it_shows_one_with_its_log(api: APIClient, execution: WorkflowExecution, workflow: Workflow) -> None:
    body = api.get(url_of(execution)).json()
    log = body.pop("execution_log")
    assert body == {
        "id": str(execution.pk),
        "workflow": str(workflow.pk),
        "workflow_name": "Confirmation",
        "definition": "automation",
        "business_id": str(execution.pk),
        "version": 1,
        "booking": str(execution.booking_id),
        "trigger": "booking_created",
        "status": "completed",
        "is_paused": False,
        "scheduled_for": None,
        "created_at": body["created_at"],
        "started_at": body["started_at"],
        "completed_at": body["completed_at"],
        "error_message": "",
        "actions_executed": 1,
        "actions_failed": 0,
        "input": [{"stages": []}],
        "result": {"executed": 1},
        "failure": None,
    }
    assert [entry["status"] for entry in log] == ["success"]
    listed = api.get(URL).json()["results"]
    assert "execution_log" not in listed[0]
    assert listed == api.get("/api/v1/workflows/executions/").json()["results"]


def test_it_shows_the_steps(api: APIClient, execution: WorkflowExecution) -> None:
    body = api.get(url_of(execution, "steps/")).json()
    assert body["count"] == 1
    step = body["results"][0]
    assert (step["seq"], step["kind"], step["name"]) == (1, "activity", "execute_email_action")
    assert step["input"] == [{"action_id": "a"}]
    assert step["output"]["recipients"] == ["jose@enterprise.com"]
    assert step["failure"] is None
    assert api.get(url_of(execution, "steps/"), {"status": "failed"}).json()["count"] == 0
    assert "kind" in problem_of(api.get(url_of(execution, "steps/"), {"kind": "dance"}), 400)["fields"]


def test_it_shows_stacks_to_staff_only(api: APIClient, operator: APIClient, execution: WorkflowExecution) -> None:
    try:
        raise ApplicationError("The server said 500", type="HTTPError") from ValueError("inner")
    except ApplicationError as error:
        text = failures.encode(error)
    assert "test_executions.py" in text
    execution.steps.update(failure=text, status=StepStatus.FAILED)
    step = api.get(url_of(execution, "steps/"))
    assert step.json()["results"][0]["failure"]["message"] == "The server said 500"
    assert "test_executions.py" not in step.content.decode()
    assert "test_executions.py" in operator.get(url_of(execution, "steps/")).content.decode()


def test_it_shows_what_has_no_utf8(api: APIClient, execution: WorkflowExecution) -> None:
    execution.steps.update(output=payloads.encode({"response": {"body": "half \ud800"}}))
    response = api.get(url_of(execution, "steps/"))
    assert response.status_code == 200
    assert b"half \\ud800" in response.content


def test_it_shows_python_workflows_to_staff_only(api: APIClient, operator: APIClient, owner: User) -> None:
    execution = execution_of(None, definition="BackupWorkflow", trigger="")
    problem_of(api.get(url_of(execution)), 404)
    body = operator.get(url_of(execution)).json()
    assert (body["workflow"], body["workflow_name"], body["version"]) == (None, "BackupWorkflow", None)


def test_the_owner_of_a_booking_sees_its_python_workflows(
    api: APIClient, stranger: APIClient, booking: Booking
) -> None:
    execution = execution_of(None, definition="BookingWorkflow", booking=booking)
    assert api.get(url_of(execution)).status_code == 200
    assert api.get(url_of(execution, "steps/")).json()["count"] == 1
    problem_of(stranger.get(url_of(execution)), 404)


def test_it_filters_searches_and_sorts(api: APIClient, owner: User, booking: Booking, workflow: Workflow) -> None:
    first = execution_of(workflow, booking=booking)
    second = execution_of(
        workflow_of(owner, "Reminder"),
        status=ExecutionStatus.FAILED,
        trigger="before_meeting",
        error_message="relay access denied",
        created_at=clock.now() + dt.timedelta(hours=1),
    )

    def ids(**query: Any) -> list[str]:
        response = api.get(URL, query)
        assert response.status_code == 200, response.content
        return [row["id"] for row in response.json()["results"]]

    one, two = str(first.pk), str(second.pk)
    assert ids() == [two, one]
    assert ids(ordering="created_at") == [one, two]
    assert ids(workflow=workflow.pk) == ids(booking=booking.pk) == [one]
    assert ids(status="failed") == ids(trigger="before_meeting") == [two]
    assert ids(status=["failed", "completed"]) == [two, one]
    assert ids(created_after=second.created_at.isoformat()) == [two]
    assert ids(created_before=second.created_at.isoformat()) == [one]
    assert ids(search="relay") == ids(search="reminder") == [two]
    assert ids(search="enterprise.com") == [one]
    for name in ("status", "trigger", "workflow", "booking", "created_after", "ordering"):
        assert name in problem_of(api.get(URL, {name: "nonsense"}), 400, "invalid")["fields"]


def test_it_cancels_what_is_planned(api: APIClient, workflow: Workflow) -> None:
    execution = planned_of(workflow)
    body = api.post(url_of(execution, "cancel/"), {"reason": "Campaign over"}).json()
    assert (body["status"], body["error_message"]) == ("cancelled", "Campaign over")
    problem = problem_of(api.post(url_of(execution, "cancel/")), 409, "conflict")
    assert "cancelled" in problem["message"]


def test_it_retries_from_the_failed_step(api: APIClient, workflow: Workflow) -> None:
    execution = execution_of(workflow, status=ExecutionStatus.FAILED, actions_failed=1)
    ExecutionStep.objects.create(
        execution=execution,
        seq=2,
        kind=StepKind.ACTIVITY,
        name="execute_webhook_action",
        status=StepStatus.FAILED,
        attempt=3,
        resolved_seq=2,
        failure=failures.encode(ApplicationError("500")),
    )
    assert api.post(url_of(execution, "retry/")).json()["status"] == "running"
    steps = {step.seq: step.status for step in execution.steps.all()}
    assert steps[1] == StepStatus.COMPLETED
    assert steps[2] == StepStatus.PENDING


def test_it_redrives_a_dead_letter(api: APIClient, workflow: Workflow, execution: WorkflowExecution) -> None:
    dead = execution_of(workflow, status=ExecutionStatus.DEAD_LETTER)
    assert api.post(url_of(dead, "redrive/")).json()["status"] == "running"
    problem_of(api.post(url_of(execution, "redrive/")), 409, "conflict")


def test_it_pauses_and_resumes(api: APIClient, workflow: Workflow) -> None:
    execution = planned_of(workflow)
    assert api.post(url_of(execution, "pause/")).json()["is_paused"] is True
    problem_of(api.post(url_of(execution, "pause/")), 409, "conflict")
    assert api.post(url_of(execution, "resume/")).json()["is_paused"] is False
    problem_of(api.post(url_of(execution, "resume/")), 409, "conflict")


@pytest.mark.parametrize("control", ["retry", "resume", "cancel", "pause", "redrive"])
def test_it_refuses_what_the_state_does_not_allow(api: APIClient, execution: WorkflowExecution, control: str) -> None:
    problem_of(api.post(url_of(execution, f"{control}/")), 409, "conflict")


def test_it_hides_other_peoples(stranger: APIClient, anonymous: APIClient, workflow: Workflow) -> None:
    execution = planned_of(workflow)
    assert stranger.get(URL).json()["count"] == 0
    assert stranger.get("/api/v1/workflows/executions/").json()["count"] == 0
    for client, status in ((stranger, 404), (anonymous, 401)):
        problem_of(client.get(url_of(execution)), status)
        problem_of(client.get(url_of(execution, "steps/")), status)
        for control in ("cancel", "retry", "redrive", "pause", "resume"):
            problem_of(client.post(url_of(execution, f"{control}/")), status)
    execution.refresh_from_db()
    assert (execution.status, execution.paused_at) == ("pending", None)


def test_staff_steer_any(operator: APIClient, workflow: Workflow) -> None:
    execution = planned_of(workflow)
    assert operator.get(URL).json()["count"] == 1
    assert operator.post(url_of(execution, "cancel/")).json()["status"] == "cancelled"


def test_the_lists_filters_do_not_hide_the_one(api: APIClient, execution: WorkflowExecution) -> None:
    assert api.get(f"{url_of(execution)}?status=failed").status_code == 200


def test_it_is_read_only(api: APIClient, execution: WorkflowExecution) -> None:
    for method in ("put", "patch", "delete"):
        problem_of(getattr(api, method)(url_of(execution), {"status": "failed"}), 405)
    problem_of(api.post(URL, {}), 405)
