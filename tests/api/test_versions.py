"""Drafts, publishing, versions and rolling back."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation.models import (
    EventType,
    User,
    Workflow,
    WorkflowAction,
    WorkflowDraft,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.services import publishing, triggers, workflows
from automation.services.differences import changes
from tests.api.conftest import booking_of, problem_of

pytestmark = pytest.mark.django_db

MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
HOOK = {
    "name": "Hook",
    "action_type": "webhook",
    "webhook_url": "https://crm.example.com/x",
    "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


@pytest.fixture
def made(owner: User) -> Workflow:
    return workflows.create(owner, name="W", trigger="booking_created", actions=[MAIL, HOOK])


def url(workflow: Workflow, rest: str = "") -> str:
    return f"/api/v1/workflows/{workflow.pk}/{rest}"


def draft_actions(api: APIClient, workflow: Workflow) -> list[dict[str, Any]]:
    """The draft's actions, in the shape in which they are sent back."""
    actions = api.get(url(workflow, "draft/")).json()["content"]["actions"]
    return [{name: value for name, value in action.items() if name != "webhook_secret_set"} for action in actions]


# --- Drafts -----------------------------------------------------------------------------------------------------------


def test_without_a_draft_it_shows_what_is_live(api: APIClient, made: Workflow) -> None:
    body = api.get(url(made, "draft/")).json()
    assert (body["exists"], body["revision"], body["changes"], body["is_behind"]) == (False, 0, [], False)
    assert [action["name"] for action in body["content"]["actions"]] == ["Mail", "Hook"]
    assert "webhook_secret_encrypted" not in str(body)
    assert body["content"]["actions"][1]["webhook_secret_set"] is True
    assert not WorkflowDraft.objects.exists()


def test_a_draft_changes_nothing_that_is_live(api: APIClient, made: Workflow) -> None:
    response = api.patch(url(made, "draft/"), {"delay_minutes": 90, "name": "V"})
    assert response.status_code == 200, response.content
    body = response.json()
    assert (body["exists"], body["revision"], body["base_version"]) == (True, 1, 1)
    assert [(change["path"], change["old"], change["new"]) for change in body["changes"]] == [
        ("name", "W", "V"), ("delay_minutes", 0, 90),
    ]  # fmt: skip
    live = api.get(url(made)).json()
    assert (live["name"], live["delay_minutes"], live["version"]) == ("W", 0, 1)


def test_a_draft_may_be_unfinished_and_is_not_published_so(api: APIClient, made: Workflow) -> None:
    mail, hook = draft_actions(api, made)
    broken = {**mail, "message": "{{ unclosed"}
    assert api.patch(url(made, "draft/"), {"actions": [broken, hook]}).status_code == 200
    found = api.post(url(made, "validate/"), {"draft": True, "runtime": False}).json()
    assert [error["path"] for error in found["errors"]] == ["actions[0].message"]
    assert api.post(url(made, "validate/"), {"runtime": False}).json()["valid"] is True
    error = problem_of(api.post(url(made, "publish/"), {}), 400, "invalid")
    assert list(error["fields"]) == ["actions[0].message"]
    trial = api.post(url(made, "test/"), {"test_type": "mock_data", "draft": True}).json()
    assert (trial["version"], trial["actions"][0]["status"]) == (None, "fails")
    assert WorkflowVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"is_active": False}, "is_active"),
        ({"trigger": "full_moon"}, "trigger"),
        ({"delay_minutes": -1}, "delay_minutes"),
        ({"name": ""}, "name"),
        ({"name": "Taken"}, "name"),
        ({"event_types": [str(uuid4())]}, "event_types[0]"),
        ({"actions": [{"id": str(uuid4()), "name": "X"}]}, "actions[0].id"),
        ({"actions": [{"name": "X", "action_type": "send_email", "webhook_url": "no url"}]}, "actions[0].webhook_url"),
    ],
)
def test_a_draft_holds_only_what_its_fields_can(
    api: APIClient, owner: User, made: Workflow, body: dict[str, Any], field: str
) -> None:
    workflows.create(owner, name="Taken", trigger="booking_created")
    error = problem_of(api.patch(url(made, "draft/"), body), 400, "invalid")
    assert field in error["fields"], error
    assert not WorkflowDraft.objects.exists()


def test_of_two_who_edit_a_draft_the_second_is_told(api: APIClient, made: Workflow) -> None:
    seen = api.get(url(made, "draft/"))["ETag"]
    first = api.patch(url(made, "draft/"), {"delay_minutes": 1}, HTTP_IF_MATCH=seen)
    assert first.status_code == 200
    problem_of(api.patch(url(made, "draft/"), {"delay_minutes": 2}, HTTP_IF_MATCH=seen), 412, "precondition_failed")
    problem_of(api.delete(url(made, "draft/"), HTTP_IF_MATCH=seen), 412)
    problem_of(api.post(url(made, "publish/"), {}, HTTP_IF_MATCH=seen), 412)
    assert api.patch(url(made, "draft/"), {"delay_minutes": 2}, HTTP_IF_MATCH=first["ETag"]).status_code == 200


def test_a_draft_can_be_thrown_away(api: APIClient, made: Workflow) -> None:
    api.patch(url(made, "draft/"), {"delay_minutes": 90})
    assert api.delete(url(made, "draft/")).status_code == 204
    assert api.get(url(made, "draft/")).json()["exists"] is False
    assert api.delete(url(made, "draft/")).status_code == 204


# --- Publishing -------------------------------------------------------------------------------------------------------


def test_it_publishes_with_what_changed(api: APIClient, owner: User, made: Workflow) -> None:
    mail, _ = draft_actions(api, made)
    actions = [{**mail, "message": "Welcome"}, {**MAIL, "name": "New", "order": 7, "recipient": "organizer"}]
    draft = api.patch(url(made, "draft/"), {"actions": actions}).json()
    new_id = draft["content"]["actions"][1]["id"]
    response = api.post(url(made, "publish/"), {"note": "Friendlier"})
    assert response.status_code == 200, response.content
    body = response.json()
    assert [(change["kind"], change["path"], change["action"]) for change in body["changes"]] == [
        ("changed", "actions[0].message", "Mail"), ("added", "actions[1]", "New"), ("removed", "actions[1]", "Hook"),
    ]  # fmt: skip
    version = body["version"]
    assert (version["number"], version["note"], version["is_live"]) == (2, "Friendlier", True)
    assert version["created_by"] == owner.email
    assert version["changed"] == ["Mail: message", "+ New", "− Hook"]
    live = {str(action.pk): action for action in WorkflowAction.objects.filter(workflow=made)}
    assert set(live) == {mail["id"], new_id}, "a draft's action keeps its id"
    assert live[mail["id"]].message == "Welcome"
    assert not WorkflowDraft.objects.exists()
    problem_of(api.post(url(made, "publish/"), {}), 409, "conflict")


def test_an_edit_of_what_is_live_still_publishes_at_once(api: APIClient, made: Workflow) -> None:
    assert api.patch(url(made), {"delay_minutes": 5}).json()["version"] == 2


def test_a_draft_does_not_overwrite_what_was_edited_meanwhile(api: APIClient, made: Workflow) -> None:
    api.patch(url(made, "draft/"), {"delay_minutes": 90})
    api.patch(url(made), {"description": "Edited live"})
    assert api.get(url(made, "draft/")).json()["is_behind"] is True
    error = problem_of(api.post(url(made, "publish/"), {}), 409, "conflict")
    assert "version 1, now 2" in error["message"]
    assert Workflow.objects.get().delay_minutes == 0
    body = api.post(url(made, "publish/"), {"overwrite": True}).json()
    assert body["version"]["number"] == 3
    assert {change["path"] for change in body["changes"]} == {"description", "delay_minutes"}


def test_nor_what_was_switched_off_by_weir(api: APIClient, made: Workflow) -> None:
    api.patch(url(made, "draft/"), {"delay_minutes": 90})
    WorkflowAction.objects.filter(name="Hook").update(is_active=False, disabled_reason="410 Gone")
    problem_of(api.post(url(made, "publish/"), {}), 409, "conflict")


def test_publishing_keeps_secrets_and_shows_none(api: APIClient, made: Workflow) -> None:
    secret = WorkflowAction.objects.get(name="Hook").webhook_secret_encrypted
    mail, hook = draft_actions(api, made)
    api.patch(url(made, "draft/"), {"actions": [mail, {**hook, "name": "Hook!"}]})
    assert api.post(url(made, "publish/"), {}).status_code == 200
    assert WorkflowAction.objects.get(name="Hook!").webhook_secret_encrypted == secret
    mail, hook = draft_actions(api, made)
    api.patch(url(made, "draft/"), {"actions": [mail, {**hook, "webhook_secret": ""}]})
    response = api.post(url(made, "publish/"), {})
    (change,) = response.json()["changes"]
    assert (change["path"], change["new"]) == ("actions[1].webhook_secret", "")
    assert secret not in response.content.decode()
    assert WorkflowAction.objects.get(name="Hook!").webhook_secret_encrypted == ""


def test_an_execution_stays_on_its_version(api: APIClient, made: Workflow, event_type: EventType) -> None:
    booking = booking_of(event_type)
    triggers.process(list(booking.events.values_list("pk", flat=True)))
    WorkflowExecution.objects.update(started_at=booking.created_at)  # it has begun
    execution = WorkflowExecution.objects.get()
    api.patch(url(made, "draft/"), {"description": "New"})
    assert api.post(url(made, "publish/"), {}).json()["version"]["number"] == 2
    execution.refresh_from_db()
    assert execution.version is not None
    assert execution.version.number == 1


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_it_lists_versions_with_what_each_changed(api: APIClient, made: Workflow) -> None:
    api.patch(url(made), {"delay_minutes": 5})
    publishing.trial_version(made, {}, None)
    body = api.get(url(made, "versions/")).json()
    assert body["count"] == 2
    assert [(one["number"], one["is_live"], one["changed"]) for one in body["results"]] == [
        (2, True, ["delay_minutes"]), (1, False, []),
    ]  # fmt: skip


def test_fields_that_came_later_have_not_changed(made: Workflow) -> None:
    (now,) = WorkflowVersion.objects.values_list("snapshot", flat=True)
    before = {
        **{name: value for name, value in now.items() if name != "late_policy"},
        "actions": [{name: value for name, value in action.items() if name != "config"} for action in now["actions"]],
    }
    assert changes(before, now) == []
    assert [change.path for change in changes(before, {**now, "name": "V"})] == ["name"]


def test_it_compares_versions(api: APIClient, made: Workflow) -> None:
    for delay in (5, 10):
        api.patch(url(made), {"delay_minutes": delay})
    api.patch(url(made, "draft/"), {"delay_minutes": 15})

    def old(number: int, against: str) -> Any:
        (change,) = api.get(url(made, f"versions/{number}/?against={against}")).json()["changes"]
        return change["old"]

    assert [old(2, against) for against in ("previous", "live", "draft", "3", "1")] == [0, 10, 15, 10, 0]
    body = api.get(url(made, "versions/2/")).json()
    assert (body["content"]["delay_minutes"], body["changes"][0]["old"]) == (5, 0)
    assert "webhook_secret_encrypted" not in str(body)
    problem_of(api.get(url(made, "versions/2/?against=yesterday")), 400)
    problem_of(api.get(url(made, "versions/9/")), 404)
    assert api.get(url(made, "versions/?created_before=2020-01-01")).json()["count"] == 0


def test_it_rolls_back(api: APIClient, made: Workflow) -> None:
    mail, hook = WorkflowAction.objects.order_by("order")
    api.patch(url(made), {"delay_minutes": 5, "actions": [{"id": str(mail.pk), "message": "Bye"}]})
    response = api.post(url(made, "versions/1/roll-back/"))
    assert response.status_code == 200, response.content
    body = response.json()
    assert (body["version"]["number"], body["version"]["note"]) == (3, "Rolled back to version 1.")
    made.refresh_from_db()
    assert (made.delay_minutes, made.version) == (0, 3)
    assert set(made.actions.values_list("pk", flat=True)) == {mail.pk, hook.pk}, "what was gone is back under its id"
    assert made.actions.get(pk=mail.pk).message == MAIL["message"]
    assert made.actions.get(pk=hook.pk).webhook_secret_encrypted
    first, last = (WorkflowVersion.objects.get(number=number).snapshot for number in (1, 3))
    assert first == last
    assert api.post(url(made, "versions/3/roll-back/")).json()["version"]["number"] == 3
    problem_of(api.post(url(made, "versions/1/roll-back/"), HTTP_IF_MATCH='W/"1-1"'), 412)
    problem_of(api.post(url(made, "versions/9/roll-back/")), 404)


def test_rolling_back_brings_no_old_secret_back(api: APIClient, made: Workflow) -> None:
    hook = WorkflowAction.objects.get(name="Hook")
    api.patch(f"/api/v1/workflows/actions/{hook.pk}/", {"webhook_secret": "whsec_" + "A" * 32})
    rotated = WorkflowAction.objects.get(pk=hook.pk).webhook_secret_encrypted
    api.patch(url(made), {"delay_minutes": 5})
    assert api.post(url(made, "versions/1/roll-back/")).status_code == 200
    assert WorkflowAction.objects.get(pk=hook.pk).webhook_secret_encrypted == rotated


def test_a_version_for_event_types_that_are_gone_does_not_become_one_for_all(
    api: APIClient, owner: User, made: Workflow
) -> None:
    event_type = EventType.objects.create(organizer=owner, name="Gone", duration=30)
    api.patch(url(made), {"event_types": [str(event_type.pk)]})
    api.patch(url(made), {"event_types": []})
    event_type.delete()
    error = problem_of(api.post(url(made, "versions/2/roll-back/")), 400, "invalid")
    assert "has been deleted" in error["fields"]["event_types"][0]
    assert Workflow.objects.get().version == 3


def test_versions_that_were_only_tried_are_forgotten_with_their_executions(made: Workflow) -> None:
    publishing.trial_version(made, {}, None)
    assert publishing.forget_trials() == 1
    assert list(WorkflowVersion.objects.values_list("number", flat=True)) == [1]


# --- Copies -----------------------------------------------------------------------------------------------------------


def test_it_duplicates(api: APIClient, made: Workflow, event_type: EventType) -> None:
    made.event_types.add(event_type)
    Workflow.objects.update(tags=["vip"])
    names = []
    for _ in range(2):
        response = api.post(url(made, "duplicate/"), {})
        assert response.status_code == 201, response.content
        names.append(response.json()["name"])
    assert names == ["W (copy)", "W (copy) (2)"]
    copy = Workflow.objects.get(name="W (copy)")
    assert (copy.is_active, copy.version, copy.organizer, copy.tags) == (False, 1, made.organizer, ["vip"])
    assert list(copy.event_types.all()) == [event_type]
    assert [action.name for action in copy.actions.all()] == ["Mail", "Hook"]
    originals = dict(made.actions.values_list("name", "webhook_secret_encrypted"))
    assert dict(copy.actions.values_list("name", "webhook_secret_encrypted")) == originals
    assert not set(copy.actions.values_list("pk")) & set(made.actions.values_list("pk"))
    problem_of(api.post(url(made, "duplicate/"), {"name": "W"}), 400)
    api.patch(url(made, "draft/"), {"delay_minutes": 7})
    assert api.post(url(made, "duplicate/"), {"draft": True, "is_active": True}).json()["delay_minutes"] == 7


# --- Whose ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "draft/"), ("put", "draft/"), ("patch", "draft/"), ("delete", "draft/"), ("post", "publish/"),
        ("get", "versions/"), ("get", "versions/1/"), ("post", "versions/1/roll-back/"), ("post", "duplicate/"),
        ("get", "execution-summary/"), ("post", "backtest/"),
    ],
)  # fmt: skip
def test_it_hides_other_peoples(
    stranger: APIClient, anonymous: APIClient, made: Workflow, method: str, path: str
) -> None:
    publishing.save_draft(made, delay_minutes=3)
    problem_of(getattr(stranger, method)(url(made, path)), 404, "not_found")
    problem_of(getattr(anonymous, method)(url(made, path)), 401)
    assert WorkflowDraft.objects.exists()


def test_staff_work_for_the_organizer(operator: APIClient, owner: User, made: Workflow) -> None:
    assert operator.patch(url(made, "draft/"), {"delay_minutes": 3}).status_code == 200
    assert operator.post(url(made, "publish/"), {}).json()["version"]["created_by"] == "root@example.com"
    assert operator.post(url(made, "duplicate/"), {}).json()["organizer"] == owner.pk


def test_a_list_of_many_versions_takes_no_more_queries(api: APIClient, made: Workflow) -> None:
    counts = []
    for number in range(2):
        for delay in range(10 * number):
            workflows.update(made, delay_minutes=delay + 1)
        with CaptureQueriesContext(connection) as queries:
            assert api.get(url(made, "versions/")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5


def test_what_is_planned_follows_what_is_published(owner: User, api: APIClient, event_type: EventType) -> None:
    workflow = workflows.create(owner, name="R", trigger="before_meeting", delay_minutes=60, actions=[MAIL])
    booking = booking_of(event_type)
    triggers.process(list(booking.events.values_list("pk", flat=True)))
    (planned,) = WorkflowExecution.objects.values_list("scheduled_for", flat=True)
    api.patch(url(workflow, "draft/"), {"delay_minutes": 120})
    assert WorkflowExecution.objects.get().scheduled_for == planned
    api.post(url(workflow, "publish/"), {})
    workflow.refresh_from_db()
    assert workflow.plan_due is not None, "the plan is brought in line"
