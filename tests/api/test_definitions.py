"""Python workflows through the API: which there are, starting, signalling, asking, updating, restarting."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from automation.durable import control, registry, workflow
from automation.durable.testing import WorkflowEnvironment
from automation.models import ExecutionStep, User, WorkflowExecution
from tests.api.conftest import NOBODY, client_of, problem_of, user_of
from tests.flows.workflows import call

URL = "/api/v1/definitions/"


@workflow.defn(name="api_counter")
class Counter:
    """Counts what it is told.

    Until it is stopped.
    """

    @workflow.init
    def __init__(self, start: int, name: str = "counter") -> None:
        self.count = start
        self.stopped = False

    @workflow.run
    async def run(self, start: int, name: str = "counter") -> list[Any]:
        first = await call("echo", name)
        await workflow.wait_condition(lambda: self.stopped)
        return [first, await call("add", self.count, 0)]

    @workflow.signal
    def add(self, amount: int) -> None:
        """Adds to the count."""
        self.count += amount

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True

    @workflow.query
    def total(self) -> int:
        return self.count

    @workflow.query
    def broken(self) -> int:
        raise RuntimeError("cannot say")

    @workflow.update
    def reset(self, to: int) -> int:
        before, self.count = self.count, to
        return before

    @reset.validator
    def check_reset(self, to: int) -> None:
        if to < 0:
            raise ValueError("not below zero")

    @workflow.update
    async def slow(self) -> None:
        await workflow.wait_condition(lambda: self.stopped)


@pytest.fixture(autouse=True)
def env(db: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping(workflows=[Counter]) as environment:
        yield environment


@pytest.fixture
def staff() -> APIClient:
    return client_of(user_of("grace@example.com", is_staff=True))


def start(api: APIClient, id: str = "c-1", **fields: Any) -> dict[str, Any]:
    response = api.post(f"{URL}api_counter/start/", {"id": id, "input": {"start": 1}, **fields}, format="json")
    assert response.status_code == 201, response.content
    body: dict[str, Any] = response.json()
    return body


def post(api: APIClient, execution: str, what: str, **body: Any) -> Any:
    return api.post(f"/api/v1/executions/{execution}/{what}/", body, format="json")


def test_it_lists_and_shows_definitions(staff: APIClient) -> None:
    body = staff.get(URL).json()
    assert body["count"] == len(body["definitions"])
    shown = next(one for one in body["definitions"] if one["name"] == "api_counter")
    assert shown == staff.get(f"{URL}api_counter/").json()
    assert shown["summary"] == "Counts what it is told."
    assert shown["parameters"] == [
        {"name": "start", "type": "int", "required": True, "default": None},
        {"name": "name", "type": "str", "required": False, "default": "counter"},
    ]
    assert [one["name"] for one in shown["signals"]] == ["add", "stop"]
    assert shown["signals"][0]["description"] == "Adds to the count."
    assert [one["name"] for one in shown["queries"]] == ["broken", "total"]
    assert shown["updates"][0]["parameters"][0]["name"] == "to"
    of_domain = staff.get(URL, {"domain": "system"}).json()["definitions"]
    assert {one["domain"] for one in of_domain} == {"system"}
    assert "did you mean 'api_counter'" in problem_of(staff.get(f"{URL}api_countr/"), 404)["message"]


def test_a_list_of_definitions_asks_the_same_few_queries(staff: APIClient, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(3):
        staff.get(URL)


def test_starting_takes_staff_or_a_permission() -> None:
    user = user_of("ada@example.com")
    for response in (client_of(user).get(URL), client_of(user).post(f"{URL}api_counter/start/", {}, format="json")):
        assert "automation.add_workflowexecution" in problem_of(response, 403)["message"]
    assert client_of(None).get(URL).status_code == 401
    user.user_permissions.add(Permission.objects.get(codename="add_workflowexecution"))
    assert start(client_of(User.objects.get(pk=user.pk)))["definition"] == "api_counter"


def test_what_it_is_started_with_is_checked(staff: APIClient) -> None:
    def refused(status: int = 400, **body: Any) -> dict[str, Any]:
        return problem_of(staff.post(f"{URL}api_counter/start/", body, format="json"), status)

    assert refused()["fields"] == {"start": ["it is missing: int is required"]}
    assert refused(input={"start": "many"})["fields"] == {"start": ["expected a whole number, got 'many'"]}
    assert "did you mean 'start'" in refused(input={"start": 1, "strt": 2})["fields"]["strt"][0]
    assert "input" in refused(input=[1])["fields"]
    start(staff, "taken")
    assert "has not ended yet" in refused(409, id="taken", input={"start": 1})["message"]
    assert problem_of(staff.post(f"{URL}nothing/start/", {}, format="json"), 404)


def test_a_running_one_is_signalled_asked_and_updated(staff: APIClient, env: WorkflowEnvironment) -> None:
    id = start(staff)["id"]
    assert post(staff, id, "signal", name="add", args=[4]).status_code == 202
    assert post(staff, id, "query", name="total").json() == {"result": 5}
    updated = post(staff, id, "update", name="reset", args=[7], id="u-1")
    assert (updated.status_code, updated.json()) == (200, {"id": "u-1", "stage": "completed", "result": 5})
    assert post(staff, id, "update", name="reset", args=[7], id="u-1").json()["result"] == 5
    slow = post(staff, id, "update", name="slow", id="u-2", wait_seconds=0)
    assert (slow.status_code, slow.json()["result"]) == (202, None)
    assert post(staff, id, "signal", name="stop").status_code == 202
    assert post(staff, id, "update", name="slow", id="u-2").json()["stage"] == "completed"
    env.settle()
    assert post(staff, id, "query", name="total").json() == {"result": 7}
    assert "takes no signals" in problem_of(post(staff, id, "signal", name="stop"), 409)["message"]


def test_what_is_wrong_is_named(staff: APIClient, env: WorkflowEnvironment) -> None:
    id = start(staff)["id"]
    env.settle()
    before = ExecutionStep.objects.count()
    refused = problem_of(post(staff, id, "update", name="reset", args=[-1]), 422)
    assert (refused["code"], "not below zero" in refused["message"]) == ("update_refused", True)
    failed = problem_of(post(staff, id, "query", name="broken"), 422)
    assert (failed["code"], "cannot say" in failed["message"]) == ("query_failed", True)
    assert "did you mean 'add'" in problem_of(post(staff, id, "signal", name="ad"), 400)["message"]
    assert "args.0" in problem_of(post(staff, id, "signal", name="add", args=["x"]), 400)["fields"]
    assert (
        "takes amount (int), and was given 2"
        in problem_of(post(staff, id, "signal", name="add", args=[1, 2]), 400)["message"]
    )
    assert "name" in problem_of(post(staff, id, "query"), 400)["fields"]
    assert "cancel or terminate it before" in problem_of(post(staff, id, "restart"), 409)["message"]
    assert ExecutionStep.objects.count() == before


def test_it_restarts_from_a_step_and_with_other_parameters(staff: APIClient, env: WorkflowEnvironment) -> None:
    id = start(staff)["id"]
    post(staff, id, "signal", name="stop")
    env.settle()
    copied = post(staff, id, "restart", from_step=2)
    assert copied.status_code == 201
    env.settle()
    assert WorkflowExecution.objects.get(id=copied.json()["id"]).result == '["counter",1]'
    anew = post(staff, id, "restart", input={"start": 9, "name": "other"})
    assert anew.status_code == 201
    assert anew.json()["input"] == [9, "other"]
    control.terminate(uuid.UUID(anew.json()["id"]))
    assert "no step #7; it has" in problem_of(post(staff, id, "restart", from_step=7), 400)["message"]


def test_strangers_steer_nothing(staff: APIClient) -> None:
    id = start(staff)["id"]
    stranger = client_of(user_of("eve@example.com"))
    for what in ("signal", "query", "update", "restart"):
        assert post(stranger, id, what, name="add").status_code == 404
        assert post(stranger, NOBODY, what, name="add").status_code == 404
        assert post(client_of(None), id, what, name="add").status_code == 401


def test_an_owner_restarts_but_not_with_other_parameters(
    api: APIClient, execution: WorkflowExecution, env: WorkflowEnvironment
) -> None:
    message = problem_of(post(api, str(execution.pk), "restart", input={"stages": []}), 403)["message"]
    assert "takes staff, or the permission" in message
    again = post(api, str(execution.pk), "restart")
    assert again.status_code == 201, again.content
    assert again.json()["workflow"] == str(execution.workflow_id)


def test_the_registry_knows_its_handlers() -> None:
    assert set(registry.workflow("api_counter").handlers) == {"signal", "query", "update"}
