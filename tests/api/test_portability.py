"""Workflows out as documents, in again, by template, and edited many at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from automation.models import AuditLog, EventType, User, Workflow, WorkflowTemplate
from automation.services import documents, gallery, portability, workflows
from tests.api.conftest import NOBODY

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def full(owner: User, event_type: EventType) -> Workflow:
    """A workflow with something in every field."""
    return workflows.create(
        owner,
        name="Everything",
        description="Two lines:\n\n  and an indented one ",
        trigger="before_meeting",
        delay_minutes=90,
        late_policy="run_now",
        is_active=False,
        tags=["VIP", "mail "],
        event_types=[event_type],
        actions=[
            {
                "action_type": "send_email",
                "name": "Mail",
                "subject": "Yes: “{{ invitee_name }}” – no",
                "message": "Hello,\n\n{% if has_phone %}\n  phone\n{% endif %}\n",
                "conditions": [
                    {"operator": "OR", "rules": [{"field": "attendee_count", "operator": "greater_than", "value": 5}]}
                ],
            },
            {
                "action_type": "webhook",
                "name": "Hook",
                "order": 0,
                "webhook_url": "https://example.com/hook",
                "webhook_data": {"on": "off", "deep": [1, 2.5, None, {"a": True}]},
                "webhook_secret": SECRET,
                "on_failure": "stop",
            },
            {
                "action_type": "update_booking",
                "name": "Mark",
                "delay_minutes": 7,
                "update_booking_fields": {"custom_answers": {"seen": "yes"}},
                "is_active": False,
            },
        ],
    )


def export(client: APIClient, workflow: Workflow, kind: str = "yaml") -> str:
    response = client.get(f"/api/v1/workflows/{workflow.pk}/export/", {"format": kind})
    assert response.status_code == 200, response.content
    return str(response.content.decode())


def test_it_exports_without_ids_secrets_and_statistics(api: APIClient, full: Workflow) -> None:
    text = export(api, full)
    assert SECRET not in text
    assert str(full.pk) not in text
    document = yaml.safe_load(text)["workflow"]
    assert document["event_types"] == ["discovery-call"]
    assert document["tags"] == ["mail", "vip"]
    assert [action["order"] for action in document["actions"]] == [0, 0, 1]
    assert "total_executions" not in text
    assert json.loads(export(api, full, "json"))["workflow"] == document


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_what_is_exported_is_imported_and_exported_the_same(api: APIClient, full: Workflow, kind: str) -> None:
    before = export(api, full, kind)
    workflows.delete(full)
    response = api.post("/api/v1/workflows/import/", data=before, content_type=f"application/{kind}")
    assert response.status_code == 201, response.content
    (imported,) = response.json()["workflows"]
    assert imported["warnings"] == ["Action 'Hook' was signed with a secret, which no document holds: set it anew."]
    again = Workflow.objects.get(pk=imported["workflow_id"])
    expected = [document | {} for document in documents.read(before)]
    for action in expected[0]["actions"]:
        action.pop(documents.SIGNED, None)  # the secret did not come along
    assert documents.of([again]) == expected


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)


@given(
    name=TEXT.filter(lambda text: text.strip() != ""),
    body=TEXT,
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    ),
)
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_the_way_out_and_in(name: str, body: str, value: Any) -> None:
    document = {
        "name": name,
        "trigger": "booking_created",
        "description": body,
        "actions": [{"name": "Hook", "action_type": "webhook", "order": 1, "webhook_data": {"value": value}}],
    }
    assert documents.read(documents.to_yaml([document])) == [document]
    assert documents.read(documents.to_json([document])) == [document]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "Expected a mapping with 'weir: 1'"),
        ("weir: 2\nworkflow: {}", "2 is no version of this format; expected 1"),
        ("weir: 1\nworkflow: {name: A, trigger: booking_created, colour: red}", "No such field; there are name"),
        ("weir: 1\nworkflow: {trigger: booking_created}", "Required: a text."),
        ("weir: 1\nworkflow: {name: A, name: B, trigger: booking_created}", "'name' is there twice"),
        ("weir: 1\nworkflow: &a {name: A, trigger: booking_created}\nworkflows: [*a]", "aliases are not accepted"),
        ("weir: 1\nworkflow: {name: !!python/object:os.system A}", "could not determine a constructor"),
        ("weir: 1\nworkflow: [", "neither YAML nor JSON"),
        ("weir: 1\nworkflow: {on: {no: 1}}", "the key True is no text: put it into quotes"),
        ("weir: 1\nworkflow: {1: x}", "the key 1 is no text"),
    ],
)
def test_it_says_what_is_wrong_with_a_document(api: APIClient, text: str, message: str) -> None:
    response = api.post("/api/v1/workflows/import/", data=text, content_type="application/yaml")
    assert response.status_code == 400
    assert message in response.content.decode()
    assert not Workflow.objects.exists()


def test_it_imports_all_or_nothing(api: APIClient) -> None:
    good = {"name": "Good", "trigger": "booking_created"}
    bad = {"name": "Bad", "trigger": "at_full_moon", "event_types": ["nowhere"]}
    response = api.post("/api/v1/workflows/import/", {"weir": 1, "workflows": [good, bad]}, format="json")
    assert response.status_code == 400
    fields = response.json()["error"]["fields"]
    assert list(fields) == ["workflows[1].event_types"]
    assert "There is no event type 'nowhere'; yours are: none." in fields["workflows[1].event_types"]
    assert not Workflow.objects.exists()


def test_an_update_keeps_actions_and_their_secrets(api: APIClient, full: Workflow) -> None:
    text = export(api, full).replace("delay_minutes: 90", "delay_minutes: 30")
    ids = {action.name: action.pk for action in full.actions.all()}
    for dry_run, action in (("true", "updated"), ("false", "updated"), ("false", "unchanged")):
        response = api.post(
            f"/api/v1/workflows/import/?mode=update&dry_run={dry_run}", data=text, content_type="application/yaml"
        )
        assert response.status_code == 200, response.content
        (imported,) = response.json()["workflows"]
        assert (imported["action"], imported["warnings"]) == (action, [])
        if action == "updated":
            assert imported["changes"] == {"delay_minutes": [90, 30]}
            full.refresh_from_db()
            assert full.delay_minutes == (90 if dry_run == "true" else 30)
    assert {action.name: action.pk for action in full.actions.all()} == ids
    assert full.actions.get(name="Hook").webhook_secret_encrypted


@pytest.mark.parametrize(
    ("mode", "status", "names"),
    [
        ("create", 400, ["Everything"]),
        ("skip", 200, ["Everything"]),
        ("copy", 201, ["Everything", "Everything (2)"]),
    ],
)
def test_a_taken_name_is_handled_as_asked(
    api: APIClient, full: Workflow, mode: str, status: int, names: list[str]
) -> None:
    text = export(api, full)
    response = api.post(f"/api/v1/workflows/import/?mode={mode}", data=text, content_type="application/yaml")
    assert response.status_code == status
    assert sorted(Workflow.objects.values_list("name", flat=True)) == names


def test_strangers_export_nothing_of_others(stranger: APIClient, full: Workflow) -> None:
    assert stranger.get(f"/api/v1/workflows/{full.pk}/export/").status_code == 404
    assert stranger.get("/api/v1/workflows/export/").content.decode() == documents.to_yaml([])


def test_exporting_all_takes_a_constant_number_of_queries(api: APIClient, owner: User, full: Workflow) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get("/api/v1/workflows/export/").status_code == 200
        return len(captured)

    before = queries()
    for number in range(5):
        workflows.create(owner, name=f"Another {number}", trigger="booking_created")
    assert queries() == before


# -- templates ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(db: None) -> None:
    gallery.sync()


def test_the_gallery_ships_templates_of_every_category(shipped: None, api: APIClient) -> None:
    templates = api.get("/api/v1/workflows/templates/", {"page_size": 100}).json()["results"]
    assert len(templates) >= 8
    assert {one["category"] for one in templates} == {"booking", "follow_up", "reminder", "feedback"}
    assert {one.action for one in gallery.sync()} == {"unchanged"}


def test_every_template_makes_a_workflow_that_exports_as_the_template(shipped: None, api: APIClient) -> None:
    for template in WorkflowTemplate.objects.all():
        response = api.post(
            "/api/v1/workflows/templates/create-from/", {"template_id": str(template.pk)}, format="json"
        )
        assert response.status_code == 201, (template.key, response.content)
        made = Workflow.objects.get(pk=response.json()["id"])
        assert not made.is_active
        (document,) = documents.of([made])
        document.pop("is_active")
        assert document == template.template_data, template.key
        valid = api.post(f"/api/v1/workflows/{made.pk}/validate/").json()
        assert valid["errors"] == [], template.key
        template.refresh_from_db()
        assert template.usage_count == 1


def test_customizations_are_honoured(shipped: None, api: APIClient, event_type: EventType) -> None:
    template = WorkflowTemplate.objects.get(key="booking-confirmation")
    response = api.post(
        "/api/v1/workflows/templates/create-from/",
        {
            "template_id": str(template.pk),
            "customizations": {
                "name": "Ours",
                "is_active": True,
                "event_types": ["discovery-call"],
                "customize_actions": {
                    "Confirmation to the invitee": {"subject": "Welcome", "delay_minutes": 3},
                    "1": None,
                },
            },
        },
        format="json",
    )
    assert response.status_code == 201, response.content
    body = response.json()
    assert (body["name"], body["is_active"], body["event_types"]) == ("Ours", True, [str(event_type.pk)])
    assert [(one["subject"], one["delay_minutes"]) for one in body["actions"]] == [("Welcome", 3)]


@pytest.mark.parametrize(
    ("customizations", "place"),
    [
        ({"colour": "red"}, "colour"),
        ({"customize_actions": {"Nothing": {"subject": "x"}}}, "customize_actions.Nothing"),
        ({"customize_actions": {"0": {"colour": "x"}}}, "customize_actions.0"),
        ({"customize_actions": {"0": 5}}, "customize_actions.0"),
        ({"customize_actions": {"0": {"action_type": "pigeon"}}}, "actions[0].action_type"),
        ({"trigger": "at_full_moon"}, "trigger"),
        ({"delay_minutes": "soon"}, "delay_minutes"),
    ],
)
def test_customizations_that_do_not_fit_are_refused(
    shipped: None, api: APIClient, customizations: dict[str, Any], place: str
) -> None:
    template = WorkflowTemplate.objects.get(key="booking-confirmation")
    response = api.post(
        "/api/v1/workflows/templates/create-from/",
        {"template_id": str(template.pk), "customizations": customizations},
        format="json",
    )
    assert response.status_code == 400, response.content
    assert place in response.json()["error"]["fields"]
    assert not Workflow.objects.exists()


def test_prerequisites_are_shown(shipped: None, api: APIClient) -> None:
    crm = WorkflowTemplate.objects.get(key="feedback-to-crm")
    found = api.get(f"/api/v1/workflows/templates/{crm.pk}/").json()["prerequisites"]
    assert [(one["code"], one["met"]) for one in found] == [("webhook_url:Tell the other system", False)]
    sms = WorkflowTemplate.objects.get(key="reminder-hour-before-sms")
    found = api.get(f"/api/v1/workflows/templates/{sms.pk}/").json()["prerequisites"]
    assert ("phone", False) in [(one["code"], one["met"]) for one in found]


def test_organizers_save_their_own_templates_for_themselves(
    api: APIClient, stranger: APIClient, full: Workflow
) -> None:
    body = {"workflow": str(full.pk), "category": "reminder", "name": "Mine"}
    response = api.post("/api/v1/workflows/templates/", body, format="json")
    assert response.status_code == 201, response.content
    id_ = response.json()["id"]
    assert SECRET not in response.content.decode()
    assert api.post("/api/v1/workflows/templates/", body, format="json").status_code == 400
    public = {**body, "name": "For all", "is_public": True}
    assert api.post("/api/v1/workflows/templates/", public, format="json").status_code == 400
    assert [one["id"] for one in api.get("/api/v1/workflows/templates/?own=true").json()["results"]] == [id_]
    assert stranger.get(f"/api/v1/workflows/templates/{id_}/").status_code == 404
    create = {"template_id": id_}
    assert stranger.post("/api/v1/workflows/templates/create-from/", create, format="json").status_code == 404
    assert stranger.delete(f"/api/v1/workflows/templates/{id_}/").status_code == 404
    assert api.delete(f"/api/v1/workflows/templates/{id_}/").status_code == 204


def test_shipped_templates_stay(shipped: None, api: APIClient) -> None:
    template = WorkflowTemplate.objects.filter(key__isnull=False).first()
    assert template is not None
    assert api.delete(f"/api/v1/workflows/templates/{template.pk}/").status_code == 404


# -- many at once ------------------------------------------------------------------------------------------------------


def test_a_bulk_edit_answers_for_each(api: APIClient, owner: User, other: User) -> None:
    mine = workflows.create(owner, name="Mine", trigger="booking_created")
    off = workflows.create(owner, name="Off", trigger="booking_created", is_active=False)
    theirs = workflows.create(other, name="Theirs", trigger="booking_created")
    ids = [str(mine.pk), str(off.pk), str(theirs.pk), NOBODY]
    body = {"action": "disable", "ids": ids}
    response = api.post("/api/v1/workflows/bulk/", body, format="json").json()
    assert response["done"] == 1
    assert [one["result"] for one in response["results"]] == ["done", "unchanged", "not_found", "not_found"]
    theirs.refresh_from_db()
    mine.refresh_from_db()
    assert (mine.is_active, theirs.is_active) == (False, True)

    body = {"action": "tag", "ids": ids[:2], "tags": ["Big  Spender", "vip"]}
    assert api.post("/api/v1/workflows/bulk/", body, format="json").json()["done"] == 2
    found = api.get("/api/v1/workflows/", {"tag": "big spender"}).json()["results"]
    assert {one["name"] for one in found} == {"Mine", "Off"}
    assert api.get("/api/v1/workflows/", {"tag": "big"}).json()["results"] == []
    body = {"action": "untag", "ids": ids[:1], "tags": ["vip"]}
    assert api.post("/api/v1/workflows/bulk/", body, format="json").json()["done"] == 1
    mine.refresh_from_db()
    assert mine.tags == ["big spender"]

    assert api.post("/api/v1/workflows/bulk/", {"action": "tag", "ids": ids}, format="json").status_code == 400
    assert api.post("/api/v1/workflows/bulk/", {"action": "burn", "ids": ids}, format="json").status_code == 400
    body = {"action": "delete", "ids": ids}
    assert api.post("/api/v1/workflows/bulk/", body, format="json").json()["done"] == 2
    assert list(Workflow.objects.all()) == [theirs]


def test_changes_are_written_down_with_before_and_after(api: APIClient, owner: User) -> None:
    created = api.post(
        "/api/v1/workflows/",
        {
            "name": "Watched",
            "trigger": "booking_created",
            "actions": [{"action_type": "webhook", "webhook_url": "https://example.com/", "webhook_secret": SECRET}],
        },
        format="json",
    ).json()
    api.patch(f"/api/v1/workflows/{created['id']}/", {"delay_minutes": 5}, format="json")
    api.patch(f"/api/v1/workflows/{created['id']}/", {"delay_minutes": 5}, format="json")
    api.delete(f"/api/v1/workflows/{created['id']}/")
    log = list(AuditLog.objects.order_by("id"))
    assert [entry.action for entry in log] == ["created", "changed", "deleted"]
    assert all(entry.actor == owner and entry.subject_id == created["id"] for entry in log)
    assert log[1].changes == {"delay_minutes": [0, 5]}
    assert SECRET not in json.dumps([entry.changes for entry in log])
    assert log[0].changes["actions"][1][0]["webhook_secret_encrypted"] == "••••••"


def test_free_names_are_found(owner: User) -> None:
    for expected in ("Name", "Name (2)", "Name (3)"):
        name = portability.free_name(owner, "Name")
        assert name == expected
        workflows.create(owner, name=name, trigger="booking_created")
