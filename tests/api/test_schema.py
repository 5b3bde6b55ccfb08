"""The OpenAPI document, and the pages made from it."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from rest_framework.test import APIClient

from tests.api.conftest import problem_of


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    found: dict[str, Any] = yaml.safe_load(out.getvalue())
    return found


def test_it_is_valid_and_complete(document: dict[str, Any]) -> None:
    paths = {path.removeprefix("/api/v1/") for path in document["paths"]}
    assert paths == {
        "auth/token/",
        "bookings/",
        "bookings/{id}/",
        "bookings/{id}/cancel/",
        "bookings/{id}/complete/",
        "bookings/{id}/explain/",
        "bookings/{id}/no-show/",
        "bookings/{id}/reschedule/",
        "bookings/{id}/timeline/",
        "bookings/{id}/timeline/{execution_id}/move/",
        "bookings/{id}/timeline/{execution_id}/send-now/",
        "bookings/{id}/timeline/{execution_id}/skip/",
        "definitions/",
        "definitions/{name}/",
        "definitions/{name}/start/",
        "destinations/",
        "destinations/{id}/",
        "destinations/{id}/close/",
        "destinations/{id}/replay/",
        "event-types/",
        "event-types/{id}/",
        "events/",
        "events/{id}/",
        "events/{id}/process/",
        "inbound-sources/",
        "inbound-sources/{id}/",
        "inbound-sources/{id}/rotate/",
        "inbound/{source}/",
        "executions/",
        "executions/{id}/",
        "executions/{id}/cancel/",
        "executions/{id}/pause/",
        "executions/{id}/redrive/",
        "executions/{id}/resume/",
        "executions/{id}/query/",
        "executions/{id}/restart/",
        "executions/{id}/retry/",
        "executions/{id}/signal/",
        "executions/{id}/steps/",
        "executions/{id}/update/",
        "health/",
        "workflows/",
        "workflows/{id}/",
        "workflows/{id}/actions/",
        "workflows/{id}/backtest/",
        "workflows/{id}/draft/",
        "workflows/{id}/duplicate/",
        "workflows/{id}/execution-summary/",
        "workflows/{id}/publish/",
        "workflows/{id}/test/",
        "workflows/{id}/validate/",
        "workflows/{id}/versions/",
        "workflows/{id}/versions/{number}/",
        "workflows/{id}/versions/{number}/roll-back/",
        "workflows/action-types/",
        "workflows/bulk-test/",
        "workflows/bulk/",
        "workflows/performance-stats/",
        "workflows/{id}/actions/reorder/",
        "audit/",
        "alerts/",
        "callbacks/{provider}/",
        "notifications/",
        "notifications/{id}/",
        "notifications/totals/",
        "notification-preferences/",
        "notification-preferences/{id}/",
        "suppressions/",
        "suppressions/{id}/",
        "workers/",
        "workflows/export/",
        "workflows/import/",
        "workflows/templates/",
        "workflows/templates/create-from/",
        "workflows/templates/{id}/",
        "workflows/{id}/export/",
        "workflows/bulk-test/{id}/",
        "workflows/bulk-test/{id}/results/",
        "workflows/bulk-test/{id}/stop/",
        "workflows/actions/{id}/",
        "workflows/context-fields/",
        "workflows/executions/",
    }


def test_it_has_examples_of_the_main_bodies(document: dict[str, Any]) -> None:
    for path in ("auth/token/", "bookings/", "event-types/", "workflows/", "bookings/{id}/reschedule/"):
        body = document["paths"][f"/api/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]
        assert body["examples"], path


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            assert operation.get("summary"), (method, path)
            responses = operation["responses"]
            if "{" in path:
                schema = responses["404"]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (method, path)
            if path not in ("/api/v1/auth/token/", "/api/v1/health/"):
                assert "401" in responses, (method, path)


def test_secrets_are_write_only(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert "webhook_secret" in schemas["NestedActionRequest"]["properties"]
    assert "webhook_secret" not in schemas["NestedAction"]["properties"]


def test_anybody_reads_it(anonymous: APIClient) -> None:
    response = anonymous.get("/api/v1/schema/")
    assert response.status_code == 200
    assert b"openapi: 3" in response.content


def test_the_pages_show_every_operation_and_load_nothing_from_elsewhere(
    anonymous: APIClient, document: dict[str, Any]
) -> None:
    response = anonymous.get("/", follow=True)
    assert response.status_code == 200
    html = response.content.decode()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in html
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in html
    assert "src=" not in html
    assert 'rel="stylesheet"' not in html


def test_the_document_comes_in_the_format_that_is_asked_for(anonymous: APIClient) -> None:
    as_json = anonymous.get("/api/v1/schema/?format=json")
    assert as_json["Content-Type"].startswith("application/vnd.oai.openapi+json")
    assert json.loads(as_json.content)["info"]["title"] == "Weir"
    as_yaml = anonymous.get("/api/v1/schema/?format=yaml")
    assert as_yaml.content.startswith(b"openapi: 3")
    problem_of(anonymous.get("/api/v1/schema/", HTTP_ACCEPT="text/html"), 406, "not_acceptable")
    error = problem_of(anonymous.get("/api/v1/schema/?format=jsno"), 400, "invalid")
    assert "Did you mean 'json'?" in error["fields"]["format"][0]
