"""Documents and customizations that nobody should write: each is a 400 that names the place, or is taken as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from automation.errors import InvalidInput
from automation.models import EventType, LatePolicy, OnFailure, Recipient, Trigger, User, Workflow, WorkflowTemplate
from automation.services import documents, gallery, portability, publishing, workflows
from automation.services.documents import DocumentError

DATA = "weir: 1\nworkflow:\n  name: a\n  trigger: booking_created\n  actions:\n  - {name: x, action_type: webhook,\n"
DATA += "     webhook_url: 'https://example.com', webhook_data: %s}\n"
PLACE = "workflow.actions[0].webhook_data"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("{a: !!binary aGVsbG8=}", "tag:yaml.org,2002:binary"),
        ("{a: !!set {b}}", "tag:yaml.org,2002:set"),
        ("{a: !!timestamp 2020-01-01}", "tag:yaml.org,2002:timestamp"),
        ("{a: !!omap [b: 1]}", "tag:yaml.org,2002:omap"),
        ("{a: !!bool maybe}", "maybe"),
        ("{a: !!int ''}", "neither YAML nor JSON"),
        ("{a: " + "9" * 5_000 + "}", "4300 digits"),
        ("{<<: {b: 1}}", "tag:yaml.org,2002:merge"),
        ("{a: .nan}", f"{PLACE}.a"),
        ("{a: [1, -.inf]}", f"{PLACE}.a[1]"),
        ('{a: "\\0"}', f"{PLACE}.a"),
        ('{a: "\\ud800"}', f"{PLACE}.a"),
        ('{"\\0": 1}', PLACE),
        ("{a: " + "[" * 80 + "]" * 80 + "}", "64 levels"),
        ("{a: " + "[" * 3_000 + "]" * 3_000 + "}", "nested too deeply"),
        ("null", "actions[0].webhook_data"),
        ("[]", "actions[0].webhook_data"),
    ],
)
def test_what_json_has_not_is_refused_by_its_place(api: APIClient, data: str, word: str) -> None:
    response = api.post("/api/v1/workflows/import/", data=DATA % data, content_type="application/yaml")
    assert response.status_code == 400, response.content
    assert word in json.dumps(response.json())
    assert not Workflow.objects.exists()


@pytest.mark.parametrize("text", ['{"weir": 1, "workflow": {"name": NaN}}', '{"weir": 1, "workflow": {"name": 1e999}}'])
def test_numbers_that_are_none_are_refused_in_json_as_well(text: str) -> None:
    with pytest.raises(DocumentError):
        documents.read(text)


def test_what_looks_like_a_time_or_a_value_is_text() -> None:
    (document,) = documents.read(DATA % "{a: 2020-01-01, b: =, c: 12:30}")
    assert document["actions"][0]["webhook_data"] == {"a": "2020-01-01", "b": "=", "c": 750}


ACTION = {"name": "x", "action_type": "send_email", "subject": "x", "message": "y"}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": "  "}, "name"),
        ({"name": ["a"]}, "name"),
        ({"description": None}, "description"),
        ({"description": ["a"]}, "description"),
        ({"delay_minutes": 1.5}, "delay_minutes"),
        ({"delay_minutes": True}, "delay_minutes"),
        ({"delay_minutes": -1}, "delay_minutes"),
        ({"delay_minutes": 10**30}, "delay_minutes"),
        ({"tags": [[]]}, "tags"),
        ({"tags": None}, "tags"),
        ({"event_types": [None]}, "event_types"),
        ({"event_types": "discovery-call"}, "event_types"),
        ({"late_policy": []}, "late_policy"),
        ({"trigger": None}, "trigger"),
        ({"is_active": "maybe"}, "is_active"),
        ({"actions": [{**ACTION, "order": "x"}, {"name": "no order"}]}, "actions[0].order"),
        ({"actions": [{**ACTION, "order": None}]}, "actions[0].order"),
        ({"actions": [{**ACTION, "delay_minutes": 0.5}]}, "actions[0].delay_minutes"),
        ({"actions": [{**ACTION, "action_type": []}]}, "actions[0].action_type"),
        ({"actions": [{**ACTION, "name": {"a": 1}}]}, "actions[0].name"),
        ({"actions": [{**ACTION, "conditions": None}]}, "actions[0].conditions"),
        ({"actions": [{**ACTION, "subject": True}]}, "actions[0].subject"),
        ({"actions": [{**ACTION, "config": 5}]}, "actions[0].config"),
    ],
)
def test_values_of_another_kind_are_refused_by_their_place(owner: User, fields: dict[str, Any], place: str) -> None:
    document = {"name": "a", "trigger": "booking_created", **fields}
    with pytest.raises(InvalidInput) as refused:
        portability.import_documents(owner, documents.unwrap({"weir": 1, "workflow": document}))
    assert {path.partition(".")[2] for path in refused.value.fields} >= {place}
    assert not Workflow.objects.exists()


def test_a_draft_refuses_what_has_no_place_in_an_order(owner: User) -> None:
    workflow = workflows.create(owner, name="a", trigger="booking_created")
    with pytest.raises(InvalidInput) as refused:
        publishing.save_draft(workflow, actions=[{**ACTION, "order": "x"}, {**ACTION, "order": 1}, ACTION])
    assert list(refused.value.fields) == ["actions[0].order"]


@pytest.mark.parametrize(
    ("customizations", "place"),
    [
        ({"customize_actions": {"²": {}}}, "customize_actions.²"),
        ({"customize_actions": {"9" * 5_000: {}}}, "customize_actions." + "9" * 5_000),
        ({"customize_actions": {"-1": {}}}, "customize_actions.-1"),
        ({"customize_actions": {"0": {"conditions": None}}}, "actions[0].conditions"),
        ({"event_types": 5}, "event_types"),
        ({"event_types": None}, "event_types"),
        ({"description": None}, "description"),
        ({"name": 5}, "name"),
        ({"name": "\t"}, "name"),
    ],
)
def test_customizations_of_another_kind_are_refused(api: APIClient, customizations: dict[str, Any], place: str) -> None:
    gallery.sync()
    template = WorkflowTemplate.objects.get(key="booking-confirmation")
    body = {"template_id": str(template.pk), "customizations": customizations}
    response = api.post("/api/v1/workflows/templates/create-from/", body, format="json")
    assert response.status_code == 400, response.content
    assert place in response.json()["error"]["fields"]
    assert not Workflow.objects.exists()


@pytest.mark.parametrize("data", [[], "text", {}, {"name": "a"}, {"name": "a", "trigger": "booking_created", "x": 1}])
def test_a_template_that_was_spoilt_by_hand_says_so(api: APIClient, data: Any) -> None:
    template = WorkflowTemplate.objects.create(name="Spoilt", category="booking", template_data=data, is_public=True)
    assert api.get("/api/v1/workflows/templates/").status_code == 200
    assert api.get(f"/api/v1/workflows/templates/{template.pk}/").status_code == 200
    body = {"template_id": str(template.pk)}
    response = api.post("/api/v1/workflows/templates/create-from/", body, format="json")
    assert response.status_code == 400, response.content
    assert "The template itself cannot be read" in response.json()["error"]["message"]


# -- whatever an organizer writes --------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
NAME = TEXT.filter(lambda text: text.strip() != "")
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PLAIN = TEXT.map(lambda text: text.replace("{", "(").replace("}", ")"))  # no template, which may be a broken one
MAIL = st.fixed_dictionaries(
    {
        "name": NAME,
        "action_type": st.just("send_email"),
        "subject": PLAIN,
        "message": NAME.map(lambda t: t.replace("{", "(")),
    },
    optional={
        "order": st.integers(0, 5),
        "delay_minutes": st.integers(0, 10_000),
        "on_failure": st.sampled_from(OnFailure.values),
        "recipient": st.sampled_from([r for r in Recipient.values if r != "custom"]),
        "is_active": st.booleans(),
        "conditions": st.just([])
        | TEXT.map(
            lambda text: [{"operator": "OR", "rules": [{"field": "invitee_name", "operator": "equals", "value": text}]}]
        ),
    },
)
HOOK = st.fixed_dictionaries(
    {
        "name": NAME,
        "action_type": st.just("webhook"),
        "webhook_url": st.just("https://example.com/hook?a=1&b=%20"),
        "webhook_data": st.dictionaries(
            NAME,
            VALUE.map(
                lambda value: json.loads(json.dumps(value).replace("{{", "((").replace("{%", "(%").replace("{#", "(#"))
            ),
            max_size=3,
        ),
    }
)
DOCUMENT = st.fixed_dictionaries(
    {"name": NAME, "trigger": st.sampled_from(Trigger.values), "actions": st.lists(MAIL | HOOK, max_size=4)},
    optional={
        "description": TEXT,
        "delay_minutes": st.integers(0, 2**31 - 1),
        "late_policy": st.sampled_from(LatePolicy.values),
        "is_active": st.booleans(),
        "tags": st.lists(NAME, max_size=3),
        "event_types": st.sampled_from([[], ["discovery-call"]]),
    },
)


@given(given_documents=st.lists(DOCUMENT, min_size=1, max_size=3, unique_by=lambda one: one["name"]))
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_export_and_import_is_the_identity(owner: User, event_type: EventType, given_documents: list[Any]) -> None:
    """Through the database: what was exported, deleted and imported again exports the same, in both forms."""
    Workflow.objects.all().delete()
    portability.import_documents(owner, given_documents)
    rows = Workflow.objects.filter(organizer=owner).order_by("name", "pk")
    exported = documents.of(rows.all())
    texts = documents.to_yaml(exported), documents.to_json(exported)
    for text in texts:
        Workflow.objects.all().delete()
        portability.import_documents(owner, documents.read(text))
        assert (documents.to_yaml(documents.of(rows.all())), documents.to_json(documents.of(rows.all()))) == texts
