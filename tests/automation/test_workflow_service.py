"""Making, changing and deleting workflows: checked as a whole, published as versions."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db.models import RestrictedError

from automation import secrets
from automation.errors import InvalidInput, NotFound
from automation.models import (
    BookingEvent,
    ExecutionStep,
    Trigger,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.services import triggers, versions, workflows
from tests.automation.factories import make_booking, make_event_type, make_organizer, make_workflow

pytestmark = pytest.mark.django_db

EMAIL = {"action_type": "send_email", "subject": "Hello", "message": "Hi {{ invitee_name }}"}


@pytest.fixture
def olga() -> User:
    return make_organizer()


def test_it_makes_a_workflow_with_its_actions_and_its_first_version(olga: User) -> None:
    event_type = make_event_type(olga)
    workflow = workflows.create(
        olga,
        name="Confirmation",
        trigger=Trigger.BOOKING_CREATED,
        event_types=[str(event_type.pk), event_type],
        actions=[{**EMAIL, "name": "First"}, EMAIL, {**EMAIL, "order": 1, "name": "Beside the second"}],
    )
    assert list(workflow.event_types.all()) == [event_type]
    orders = workflow.actions.order_by("order", "name").values_list("name", "order")
    assert sorted(orders) == [("Beside the second", 1), ("First", 0), ("Send email", 1)]
    version = WorkflowVersion.objects.get()
    assert (version.number, version.created_by) == (1, olga)
    assert version.snapshot["event_types"] == [str(event_type.pk)]
    assert [action["order"] for action in version.snapshot["actions"]] == [0, 1, 1]
    assert version.snapshot["organizer_id"] == olga.pk
    assert Workflow.objects.get().version == 1


def test_it_makes_no_version_when_nothing_has_changed(olga: User) -> None:
    workflow = workflows.create(olga, name="W", trigger=Trigger.BOOKING_CREATED, actions=[EMAIL])
    first = versions.publish(workflow)
    assert workflows.update(workflow, description="").version == 1
    assert versions.publish(workflow) == first
    assert workflows.update(workflow, description="New").version == 2
    assert WorkflowVersion.objects.get(pk=first.pk).snapshot["description"] == ""


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "name"),
        ({"trigger": "full_moon"}, "trigger"),
        ({"delay_minutes": -1}, "delay_minutes"),
        ({"late_policy": "panic"}, "late_policy"),
        ({"colour": "red"}, "colour"),
        ({"actions": [{**EMAIL, "action_type": "smoke_signal"}]}, "actions[0].action_type"),
        ({"actions": [EMAIL, {**EMAIL, "colour": "red"}]}, "actions[1].colour"),
        ({"actions": [EMAIL, {**EMAIL, "message": "{{ unclosed"}]}, "actions[1].message"),
        ({"actions": [{**EMAIL, "order": -1}]}, "actions[0].order"),
        ({"actions": [{**EMAIL, "id": str(uuid4())}]}, "actions[0].id"),
        ({"actions": [{**EMAIL, "conditions": [{"operator": "AND", "rules": [{"field": "x"}]}]}]}, "actions[0].cond"),
        ({"actions": [{**EMAIL, "webhook_secret": "short"}]}, "actions[0].webhook_secret"),
        ({"event_types": [str(uuid4())]}, "event_types"),
        ({"event_types": ["nonsense"]}, "event_types"),
    ],
)
def test_it_refuses_what_cannot_work_and_names_the_place(olga: User, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        workflows.create(olga, **{"name": "W", "trigger": Trigger.BOOKING_CREATED, **fields})
    assert any(name.startswith(path) for name in caught.value.fields), caught.value.fields
    assert not Workflow.objects.exists()


def test_it_refuses_a_name_twice_for_one_organizer(olga: User) -> None:
    make_workflow(Trigger.BOOKING_CREATED, make_organizer("b@example.com"), name="W")
    workflow = workflows.create(olga, name="W", trigger=Trigger.BOOKING_CREATED)
    assert workflows.update(workflow, name="W").name == "W"
    with pytest.raises(InvalidInput) as caught:
        workflows.create(olga, name="W", trigger=Trigger.BOOKING_CREATED)
    assert "name" in caught.value.fields


def test_it_refuses_a_stranger_s_event_type(olga: User) -> None:
    theirs = make_event_type(make_organizer("b@example.com"))
    with pytest.raises(InvalidInput):
        workflows.create(olga, name="W", trigger=Trigger.BOOKING_CREATED, event_types=[theirs])


def test_it_replaces_the_list_of_actions_and_keeps_those_that_are_named(olga: User) -> None:
    workflow = workflows.create(
        olga, name="W", trigger=Trigger.BOOKING_CREATED, actions=[{**EMAIL, "name": "A"}, {**EMAIL, "name": "B"}]
    )
    kept, gone = workflow.actions.order_by("order")
    stranger = make_workflow(Trigger.BOOKING_CREATED, make_organizer("b@example.com")).actions.get()
    workflows.update(workflow, actions=[{"id": str(kept.pk), "name": "A2"}, {**EMAIL, "name": "C"}])
    assert list(workflow.actions.order_by("order").values_list("name", "order")) == [("A2", 0), ("C", 1)]
    assert workflow.actions.get(name="A2").subject == "Hello"
    assert not WorkflowAction.objects.filter(pk=gone.pk).exists()
    with pytest.raises(InvalidInput):
        workflows.update(workflow, actions=[{"id": str(stranger.pk), **EMAIL}])
    assert WorkflowAction.objects.get(pk=stranger.pk).workflow_id != workflow.pk


def test_it_changes_actions_one_by_one(olga: User) -> None:
    workflow = workflows.create(olga, name="W", trigger=Trigger.BOOKING_CREATED, actions=[EMAIL])
    action = workflows.add_action(workflow, **EMAIL)
    assert action.order == 1
    edited = workflow.updated_at
    action.disabled_reason, action.is_active = "410 Gone", False
    action.save()
    workflows.update_action(action, is_active=True, subject="New")
    assert (action.subject, action.disabled_reason) == ("New", "")
    with pytest.raises(InvalidInput):
        workflows.update_action(action, message="{% for")
    first = workflow.actions.order_by("order")[0]
    workflows.reorder(workflow, {first.pk: 5})
    assert list(workflow.actions.order_by("order").values_list("pk", flat=True)) == [action.pk, first.pk]
    with pytest.raises(InvalidInput):
        workflows.reorder(workflow, {uuid4(): 1})
    workflows.remove_action(action)
    workflow.refresh_from_db()
    assert workflow.version >= 5
    assert workflow.updated_at > edited
    with pytest.raises(NotFound):
        workflows.update_action(action, subject="Gone")


def test_it_stores_webhook_secrets_encrypted(olga: User) -> None:
    secret = secrets.new_webhook_secret()
    action = {"action_type": "webhook", "webhook_url": "https://example.com/hook", "webhook_secret": secret}
    workflow = workflows.create(olga, name="W", trigger=Trigger.BOOKING_CREATED, actions=[action])
    row = workflow.actions.get()
    assert secret not in str(WorkflowVersion.objects.get().snapshot)
    assert secrets.decrypt(row.webhook_secret_encrypted) == secret
    workflows.update_action(row, name="Renamed")
    assert secrets.decrypt(row.webhook_secret_encrypted) == secret
    workflows.update_action(row, webhook_secret="")
    assert row.webhook_secret_encrypted == ""


def test_it_deletes_a_workflow_with_its_history_and_nobody_else_s(olga: User) -> None:
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    other = make_workflow(Trigger.BOOKING_CREATED)
    make_booking()
    triggers.process(list(BookingEvent.objects.values_list("pk", flat=True)))
    for execution in WorkflowExecution.objects.all():
        ExecutionStep.objects.create(execution=execution, seq=1, kind="activity", name="x", status="completed")
    workflows.delete(workflow)
    assert list(Workflow.objects.all()) == [other]
    assert WorkflowExecution.objects.get().workflow == other
    assert ExecutionStep.objects.get().execution.workflow == other
    with pytest.raises(NotFound):
        workflows.delete(workflow)


def test_it_goes_with_its_organizer(olga: User) -> None:
    stranger = make_workflow(Trigger.BOOKING_CREATED, make_organizer("b@example.com"))
    make_workflow(Trigger.BOOKING_CREATED)
    booking = make_booking()
    triggers.process(list(BookingEvent.objects.values_list("pk", flat=True)))
    assert WorkflowExecution.objects.exists()
    # An event type with bookings stays as long as they do …
    with pytest.raises(RestrictedError):
        booking.event_type.delete()
    # … and goes with them when everything of its organizer goes.
    olga.delete()
    assert list(Workflow.objects.all()) == [stranger]
    assert not WorkflowExecution.objects.exists()
