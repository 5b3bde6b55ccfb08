"""Workflows and their actions: for the owner, another organizer, staff, and nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from automation import secrets
from automation.models import (
    EventType,
    ExecutionStatus,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
    WorkflowVersion,
)
from tests.api.conftest import NOBODY, execution_of, problem_of, workflow_of

URL = "/api/v1/workflows/"
MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
HOOK = {"name": "Hook", "action_type": "webhook", "webhook_url": "https://crm.example.com/hook"}


def body_of(**fields: Any) -> dict[str, Any]:
    return {"name": "Confirmation", "trigger": "booking_created", **fields}


def rule(field: str, operator: str = "equals", value: Any = "x") -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def url_of(workflow: Workflow) -> str:
    return f"{URL}{workflow.pk}/"


def action_url(action: WorkflowAction) -> str:
    return f"{URL}actions/{action.pk}/"


# --- Making -----------------------------------------------------------------------------------------------------------


def test_it_makes_one_from_a_name_and_a_trigger(api: APIClient, owner: User) -> None:
    response = api.post(URL, body_of())
    assert response.status_code == 201, response.content
    body = response.json()
    workflow = Workflow.objects.get(pk=body["id"])
    assert workflow.organizer == owner
    assert (body["version"], body["actions"], body["event_types"]) == (1, [], [])
    assert (body["is_active"], body["late_policy"], body["delay_minutes"]) == (True, "skip", 0)
    assert body["success_rate"] == 0
    assert response["ETag"].startswith('W/"1-')


def test_it_makes_one_with_actions(api: APIClient, event_type: EventType) -> None:
    groups = [{"operator": "AND", "rules": [rule("invitee_domain", value="enterprise.com")]}]
    response = api.post(
        URL,
        body_of(
            description="d",
            event_types=[str(event_type.pk)],
            delay_minutes=5,
            late_policy="run_now",
            actions=[
                MAIL,
                HOOK | {"webhook_data": {"source": "weir"}, "conditions": groups, "on_failure": "stop"},
                {"action_type": "send_sms", "message": "See you", "delay_minutes": 10},
                {"action_type": "update_booking", "update_booking_fields": {"meeting_id": "7"}, "order": 7},
            ],
        ),
    )
    assert response.status_code == 201, response.content
    body = response.json()
    assert body["event_types"] == [str(event_type.pk)]
    assert [action["order"] for action in body["actions"]] == [0, 1, 2, 7]
    assert body["actions"][1]["conditions"] == groups
    assert body["actions"][1]["webhook_data"] == {"source": "weir"}
    assert body["actions"][2]["name"] == "Send sms"
    assert api.get(f"{URL}{body['id']}/").json() == body
    snapshot = WorkflowVersion.objects.get(workflow_id=body["id"]).snapshot
    assert [action["id"] for action in snapshot["actions"]] == [action["id"] for action in body["actions"]]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"trigger": "full_moon"}, "trigger"),
        ({"delay_minutes": -1}, "delay_minutes"),
        ({"delay_minutes": 10**12}, "delay_minutes"),
        ({"late_policy": "maybe"}, "late_policy"),
        ({"event_types": [NOBODY]}, "event_types[0]"),
        ({"event_types": ["x"]}, "event_types[0]"),
        ({"event_types": "x"}, "event_types"),
        ({"actions": {}}, "actions"),
        ({"actions": [MAIL, {"name": "x"}]}, "actions[1].action_type"),
        ({"actions": [MAIL | {"action_type": "send_pigeon"}]}, "actions[0].action_type"),
        ({"actions": [MAIL | {"delay_minutes": -1}]}, "actions[0].delay_minutes"),
        ({"actions": [MAIL | {"recipient": "everybody"}]}, "actions[0].recipient"),
        ({"actions": [MAIL | {"recipient": "custom"}]}, "actions[0].custom_email"),
        ({"actions": [MAIL | {"message": "{{ invitee_name"}]}, "actions[0].message"),
        ({"actions": [MAIL, HOOK | {"webhook_url": "ftp://x"}]}, "actions[1].webhook_url"),
        ({"actions": [HOOK | {"webhook_data": []}]}, "actions[0].webhook_data"),
        ({"actions": [HOOK | {"webhook_secret": "short"}]}, "actions[0].webhook_secret"),
        ({"actions": [MAIL | {"conditions": {}}]}, "actions[0].conditions"),
        ({"actions": [MAIL | {"id": NOBODY}]}, "actions[0].id"),
        (
            {
                "actions": [
                    MAIL,
                    MAIL
                    | {"conditions": [{"operator": "AND", "rules": [rule("duration", value=1)] * 2 + [rule("nope")]}]},
                ]
            },
            "actions[1].conditions[0].rules[2].field",
        ),
        (
            {"actions": [MAIL | {"conditions": [{"operator": "OR", "rules": [rule("duration", "rhymes_with")]}]}]},
            "actions[0].conditions[0].rules[0].operator",
        ),
        (
            {"actions": [MAIL | {"conditions": [{"operator": "AND", "rules": [rule("invitee_name", "regex", "(")]}]}]},
            "actions[0].conditions[0].rules[0].",
        ),
    ],
)
def test_it_names_the_place_of_a_problem(api: APIClient, fields: dict[str, Any], place: str) -> None:
    problem = problem_of(api.post(URL, body_of() | fields), 400, "invalid")
    assert all(path.startswith(place) for path in problem["fields"]), problem
    assert place in problem["message"]
    assert not Workflow.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"trigger": "booking_create"}, ["booking_cancelled, ", "Did you mean 'booking_created'?"]),
        ({"late_policy": "now"}, ["'now' is none of skip, run_now."]),
        ({"actions": [MAIL | {"recipient": "everybody"}]}, ["is none of organizer, invitee, both, custom."]),
        (
            {"actions": [MAIL | {"conditions": [{"operator": "AND", "rules": [rule("duration", "gt", 1)]}]}]},
            ["use one of equals, "],
        ),
        (
            {"actions": [MAIL | {"conditions": [{"operator": "AND", "rules": [rule("atendee_count", value=1)]}]}]},
            ["There is no field 'atendee_count'; did you mean attendee_count?\"]"],
        ),
    ],
)
def test_it_says_what_would_be_right(api: APIClient, fields: dict[str, Any], words: list[str]) -> None:
    told = json.dumps(problem_of(api.post(URL, body_of() | fields), 400, "invalid")["fields"])
    assert all(word in told for word in words), told


def test_it_leaves_no_field_out_in_silence(api: APIClient, workflow: Workflow) -> None:
    """A delay that is left out sends at once."""
    body = body_of() | {"name": "Other", "delay": 60, "actions": [MAIL | {"body": "x"}, MAIL | {"delay": 5}]}
    fields = problem_of(api.post(URL, body), 400, "invalid")["fields"]
    assert set(fields) == {"delay", "actions[0].body", "actions[1].delay"}
    assert all("There is no such field. There are " in told and "delay_minutes, " in told for [told] in fields.values())
    for path in (url_of(workflow), f"{url_of(workflow)}draft/", action_url(workflow.actions.get())):
        fields = problem_of(api.patch(path, {"delay_minute": 5}), 400, "invalid")["fields"]
        assert fields == {"delay_minute": ["There is no such field. Did you mean 'delay_minutes'?"]}
    shown = api.get(url_of(workflow)).json()
    standalone = api.get(f"{url_of(workflow)}actions/").json()["results"]
    assert api.put(url_of(workflow), {**shown, "actions": standalone}).status_code == 200
    del shown["is_active"]
    assert api.patch(f"{url_of(workflow)}draft/", shown).status_code == 200


def test_it_takes_the_name_once_per_organizer(api: APIClient, stranger: APIClient, workflow: Workflow) -> None:
    problem = problem_of(api.post(URL, body_of()), 400, "invalid")
    assert list(problem["fields"]) == ["name"]
    assert stranger.post(URL, body_of()).status_code == 201
    other = workflow_of(workflow.organizer, "Other")
    assert list(problem_of(api.patch(url_of(other), {"name": "Confirmation"}), 400)["fields"]) == ["name"]
    assert api.patch(url_of(workflow), {"name": "Confirmation"}).status_code == 200


def test_it_does_not_find_the_event_types_of_others(
    api: APIClient, operator: APIClient, workflow: Workflow, event_type: EventType, foreign_event_type: EventType
) -> None:
    both = {"event_types": [str(event_type.pk), str(foreign_event_type.pk)]}
    for client in (api, operator):  # staff must not mix organizers either
        problem = problem_of(client.patch(url_of(workflow), both), 400, "invalid")
        assert list(problem["fields"]) == ["event_types[1]"]
        assert "Not found" in problem["message"]
    assert operator.patch(url_of(workflow), {"event_types": [str(event_type.pk)]}).status_code == 200


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_a_secret_is_stored_encrypted_and_never_shown(api: APIClient) -> None:
    secret = secrets.new_webhook_secret()
    response = api.post(URL, body_of(actions=[HOOK | {"webhook_secret": secret}, HOOK]))
    body = response.json()
    assert [action["webhook_secret_set"] for action in body["actions"]] == [True, False]
    assert secret not in response.content.decode()
    action = WorkflowAction.objects.get(pk=body["actions"][0]["id"])
    assert secret not in action.webhook_secret_encrypted
    assert secrets.decrypt(action.webhook_secret_encrypted) == secret
    assert action.webhook_secret_encrypted not in api.get(f"{URL}{body['id']}/").content.decode()
    # It stays where it is not named, and goes where it is empty.
    assert api.patch(action_url(action), {"name": "Other"}).json()["webhook_secret_set"] is True
    assert api.patch(action_url(action), {"webhook_secret": ""}).json()["webhook_secret_set"] is False


# --- Changing ---------------------------------------------------------------------------------------------------------


def test_it_changes_what_is_named(api: APIClient, workflow: Workflow) -> None:
    body = api.patch(url_of(workflow), {"description": "New", "is_active": False}).json()
    assert (body["description"], body["is_active"], body["name"]) == ("New", False, "Confirmation")
    assert len(body["actions"]) == 1
    assert body["version"] > 1


def test_a_list_of_actions_replaces_the_list_and_keeps_ids(api: APIClient, workflow: Workflow) -> None:
    kept = workflow.actions.get()
    gone = WorkflowAction.objects.create(workflow=workflow, name="Gone", action_type="send_email", message="x", order=1)
    actions = [MAIL | {"name": "New"}, MAIL | {"id": str(kept.pk), "name": "Kept", "order": 3}]
    response = api.put(url_of(workflow), body_of(actions=actions))
    assert response.status_code == 200, response.content
    found = response.json()["actions"]
    assert [action["name"] for action in found] == ["New", "Kept"]
    assert found[1]["id"] == str(kept.pk)
    assert not WorkflowAction.objects.filter(pk=gone.pk).exists()


def test_what_was_read_can_be_written_back(api: APIClient, workflow: Workflow, event_type: EventType) -> None:
    workflow.event_types.add(event_type)
    api.patch(url_of(workflow), {"description": "d"})
    read = api.get(url_of(workflow)).json()
    written = api.put(url_of(workflow), read).json()
    changing = {"updated_at"}
    assert {name: value for name, value in written.items() if name not in changing} == {
        name: value for name, value in read.items() if name not in changing
    }
    assert written["version"] == read["version"]  # nothing new to run


def test_a_body_without_actions_leaves_them(api: APIClient, workflow: Workflow) -> None:
    assert len(api.put(url_of(workflow), body_of(description="d")).json()["actions"]) == 1
    assert api.put(url_of(workflow), body_of(actions=[])).json()["actions"] == []
    assert len(api.put(url_of(workflow), body_of(actions=[MAIL | {"id": None}])).json()["actions"]) == 1


def test_it_does_not_take_the_actions_of_others(api: APIClient, workflow: Workflow, other: User) -> None:
    foreign = workflow_of(other, "Eve's").actions.get()
    body = body_of(actions=[MAIL | {"id": str(foreign.pk), "message": "stolen"}])
    assert list(problem_of(api.put(url_of(workflow), body), 400)["fields"]) == ["actions[0].id"]
    foreign.refresh_from_db()
    assert foreign.message == "Hello {{ invitee_name }}"
    assert workflow.actions.count() == 1


def test_switching_off_stops_what_is_planned(api: APIClient, workflow: Workflow) -> None:
    planned = execution_of(
        workflow, status=ExecutionStatus.PENDING, started_at=None, completed_at=None, booking_sequence=0
    )
    api.patch(url_of(workflow), {"is_active": False})
    planned.refresh_from_db()
    assert planned.status == ExecutionStatus.CANCELLED


def test_it_deletes_with_history(api: APIClient, workflow: Workflow, execution: WorkflowExecution) -> None:
    assert api.delete(url_of(workflow)).status_code == 204
    assert not WorkflowExecution.objects.exists()
    problem_of(api.get(url_of(workflow)), 404)


# --- Lost updates -----------------------------------------------------------------------------------------------------


def test_a_lost_update_is_refused(api: APIClient, workflow: Workflow) -> None:
    read = api.get(url_of(workflow))["ETag"]
    first = api.patch(url_of(workflow), {"description": "first"}, HTTP_IF_MATCH=read)
    assert first.status_code == 200
    assert first["ETag"] != read
    problem = problem_of(
        api.patch(url_of(workflow), {"description": "second"}, HTTP_IF_MATCH=read), 412, "precondition_failed"
    )
    assert first["ETag"] in problem["message"]
    problem_of(api.put(url_of(workflow), body_of(), HTTP_IF_MATCH=read), 412)
    problem_of(api.delete(url_of(workflow), HTTP_IF_MATCH=read), 412)
    workflow.refresh_from_db()
    assert workflow.description == "first"
    strong = first["ETag"].removeprefix("W/")
    for matching in (f'"x", {first["ETag"]}', "*"):
        assert api.patch(url_of(workflow), {}, HTTP_IF_MATCH=matching).status_code == 200
    problem_of(api.patch(url_of(workflow), {}, HTTP_IF_MATCH=f"{strong}x"), 412)


def test_an_edit_of_an_action_is_one_of_its_workflow(api: APIClient, workflow: Workflow) -> None:
    action = workflow.actions.get()
    read = api.get(action_url(action))["ETag"]
    assert read == api.get(url_of(workflow))["ETag"]
    changed = api.patch(action_url(action), {"subject": "New"}, HTTP_IF_MATCH=read)
    assert changed["ETag"] == api.get(url_of(workflow))["ETag"] != read
    problem_of(api.patch(url_of(workflow), {"name": "x"}, HTTP_IF_MATCH=read), 412)
    problem_of(api.patch(action_url(action), {"subject": "x"}, HTTP_IF_MATCH=read), 412)
    problem_of(api.delete(action_url(action), HTTP_IF_MATCH=read), 412)
    problem_of(api.post(f"{url_of(workflow)}actions/", MAIL, HTTP_IF_MATCH=read), 412)


# --- Actions by themselves --------------------------------------------------------------------------------------------


def test_it_adds_changes_and_deletes_an_action(api: APIClient, workflow: Workflow) -> None:
    response = api.post(f"{url_of(workflow)}actions/", HOOK)
    assert response.status_code == 201, response.content
    added = response.json()
    assert (added["workflow"], added["order"]) == (str(workflow.pk), 1)
    listed = api.get(f"{url_of(workflow)}actions/").json()
    assert [action["name"] for action in listed["results"]] == ["Mail", "Hook"]
    url = f"{URL}actions/{added['id']}/"
    assert api.patch(url, {"delay_minutes": 5}).json()["delay_minutes"] == 5
    assert api.put(url, HOOK | {"name": "Other"}).json()["name"] == "Other"
    assert api.delete(url).status_code == 204
    problem_of(api.get(url), 404)
    workflow.refresh_from_db()
    assert workflow.version == 5  # each edit is a version


def test_it_names_the_place_in_an_action(api: APIClient, workflow: Workflow) -> None:
    action = workflow.actions.get()
    problem = problem_of(api.patch(action_url(action), {"message": "{% for %}"}), 400, "invalid")
    assert list(problem["fields"]) == ["message"]
    conditions = {"conditions": [{"operator": "AND", "rules": [rule("nope")]}]}
    problem = problem_of(api.patch(action_url(action), conditions), 400, "invalid")
    assert list(problem["fields"]) == ["conditions[0].rules[0].field"]
    assert "action_type" in problem_of(api.post(f"{url_of(workflow)}actions/", {}), 400)["fields"]
    action.refresh_from_db()
    assert action.message == "Hello {{ invitee_name }}"


# --- Whose ------------------------------------------------------------------------------------------------------------


def test_it_hides_other_peoples(stranger: APIClient, anonymous: APIClient, workflow: Workflow) -> None:
    action = workflow.actions.get()
    assert stranger.get(URL).json()["count"] == 0
    for client, status in ((stranger, 404), (anonymous, 401)):
        for url in (url_of(workflow), action_url(action)):
            for method in ("get", "put", "patch", "delete"):
                problem_of(getattr(client, method)(url, body_of(name="Eve's")), status)
        problem_of(client.get(f"{url_of(workflow)}actions/"), status)
        problem_of(client.post(f"{url_of(workflow)}actions/", MAIL), status)
    assert workflow.actions.count() == 1
    workflow.refresh_from_db()
    assert (workflow.name, workflow.version) == ("Confirmation", 1)


def test_staff_edit_any_and_leave_it_to_its_owner(operator: APIClient, workflow: Workflow, owner: User) -> None:
    body = operator.patch(url_of(workflow), {"description": "by staff"}).json()
    assert (body["description"], body["organizer"]) == ("by staff", owner.pk)
    assert operator.patch(action_url(workflow.actions.get()), {"subject": "New"}).status_code == 200


def test_it_cannot_be_given_to_somebody_else(api: APIClient, workflow: Workflow, owner: User, other: User) -> None:
    api.patch(url_of(workflow), {"organizer": other.pk, "total_executions": 7, "version": 99})
    workflow.refresh_from_db()
    assert (workflow.organizer, workflow.total_executions) == (owner, 0)


def test_it_filters_searches_and_sorts(api: APIClient, owner: User, event_type: EventType, workflow: Workflow) -> None:
    reminder = workflow_of(owner, "Reminder", trigger="before_meeting", is_active=False, delay_minutes=60)
    reminder.event_types.add(event_type)

    def names(query: str = "") -> list[str]:
        return [row["name"] for row in api.get(f"{URL}?{query}").json()["results"]]

    assert names() == ["Confirmation", "Reminder"]
    assert names("ordering=-name") == ["Reminder", "Confirmation"]
    assert names("trigger=before_meeting") == names("is_active=false") == names("search=remind") == ["Reminder"]
    assert names(f"event_type={event_type.pk}") == ["Reminder"]
    WorkflowAction.objects.create(workflow=workflow, name="Mail again", action_type="send_email")
    assert names("search=mail") == ["Confirmation", "Reminder"]  # once, however many of its actions match
