"""Context fields, action types and health."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from rest_framework.test import APIClient

from automation.actions.registry import registry
from automation.rules.fields import FIELDS
from automation.services import health
from tests.api.conftest import problem_of


def test_it_lists_every_context_field_with_its_operators(api: APIClient, anonymous: APIClient) -> None:
    body = api.get("/api/v1/workflows/context-fields/").json()
    fields = {field["name"]: field for field in body["fields"]}
    assert set(fields) == set(FIELDS)
    assert body["count"] == len(fields)
    assert fields["invitee_name"]["fallback"] == "Guest"
    assert "contains" in fields["invitee_name"]["operators"]
    assert "contains" not in fields["is_weekend"]["operators"]
    known = {operator["name"] for operator in body["operators"]}
    assert all(set(field["operators"]) <= known for field in fields.values())
    problem_of(anonymous.get("/api/v1/workflows/context-fields/"), 401)


def test_it_lists_every_action_type(api: APIClient, anonymous: APIClient) -> None:
    body = api.get("/api/v1/workflows/action-types/").json()
    assert [found["name"] for found in body["action_types"]] == [found.name for found in registry.types()]
    assert {"send_email", "send_sms", "webhook", "update_booking"} <= {found["name"] for found in body["action_types"]}
    problem_of(anonymous.get("/api/v1/workflows/action-types/"), 401)


def test_anybody_asks_for_the_health_and_staff_learn_the_details(anonymous: APIClient, operator: APIClient) -> None:
    response = anonymous.get("/api/v1/health/")
    body = response.json()
    assert response.status_code == 200
    assert body["database"] is True
    assert body["status"] in ("ok", "degraded")
    assert "details" not in body
    details = operator.get("/api/v1/health/").json()["details"]
    assert details["database"]["ok"] is True


def test_it_tells_load_balancers_when_it_is_down(anonymous: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cursor(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("no route to host db.internal")

    with monkeypatch.context() as patch:
        patch.setattr(health.connection, "cursor", no_cursor)
        response = anonymous.get("/api/v1/health/")
    assert response.status_code == 503
    assert response.json()["status"] == "down"
    assert "db.internal" not in response.content.decode()
