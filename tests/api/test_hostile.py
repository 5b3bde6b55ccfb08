"""Bad input is refused with a clear 4xx, or harmless; it is never a 500 and never reaches another tenant's rows."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from automation.models import Booking, EventType, Workflow, WorkflowExecution
from tests.api.conftest import problem_of

SURROGATE = "\\ud800"
NUL = "\\u0000"
WORKFLOW = '{"name": "W", "trigger": "booking_created", "actions": [@]}'

ODD: list[Any] = [
    None, True, 0, -1, 1.5, 2**31, 2**63, 10**400, -(10**400), 1e308, "", " ", "x" * 10_000, "\u202e", "💥", "NaN",
    "'; DROP TABLE x; --", "{{ 7*7 }}", "=cmd|' /C calc'!A0", "a\r\nBcc: b@example.com",
    [], [[]], [None], {}, {"a": {}},
    {"$gt": ""}, "0000-00-00T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    "2026-02-30T00:00:00Z", "javascript:alert(1)", "http://[::1", "http://169.254.169.254/", "٣",
]  # fmt: skip

BODIES: dict[str, dict[str, Any]] = {
    "event-types": {
        "name": "Call", "slug": "call", "description": "", "duration": 30, "location_type": "video",
        "max_attendees": 1, "is_active": True,
    },
    "bookings": {
        "event_type": None, "invitee_name": "José", "invitee_email": "jose@example.com", "invitee_phone": "",
        "invitee_timezone": "UTC", "start_time": "2027-03-29T09:30:00Z", "end_time": "2027-03-29T10:30:00Z",
        "attendee_count": 1, "custom_answers": {}, "meeting_link": "", "meeting_id": "", "meeting_password": "",
    },
    "workflows": {
        "name": "W", "description": "", "trigger": "booking_created", "event_types": [], "delay_minutes": 0,
        "late_policy": "skip", "is_active": True, "actions": [],
    },
}  # fmt: skip
ACTION: dict[str, Any] = {
    "id": None, "name": "A", "action_type": "send_email", "order": 0, "delay_minutes": 0, "on_failure": "continue",
    "recipient": "invitee", "custom_email": "", "custom_phone": "", "subject": "S", "message": "M", "webhook_url": "",
    "webhook_data": {}, "webhook_secret": "", "conditions": [], "update_booking_fields": {}, "is_active": True,
}  # fmt: skip
PARAMETERS = [
    "page", "page_size", "search", "ordering", "status", "workflow", "booking", "trigger", "created_after",
    "start_before", "event_type", "is_active", "format", "kind", "invitee_email", "definition",
]  # fmt: skip
ODD_PARAMETERS = [
    "%00", "%ED%A0%80", "%FF", "x" * 3_000, "-1", "0", "9" * 400, "٣", "[]", "a,b", "--name", "__class__", "null",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00", "2026-11-21", "%22", "'", "%", "_", "\\",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_throttles(settings: Any) -> None:
    settings.API_THROTTLE_USER = "off"


def post(api: APIClient, url: str, body: str | bytes) -> Any:
    return api.generic("POST", url, body, content_type="application/json")


@pytest.mark.parametrize("resource", BODIES)
def test_it_survives_odd_values_in_every_field(api: APIClient, event_type: EventType, resource: str) -> None:
    for name in BODIES[resource]:
        for value in ODD:
            body = (
                {**BODIES[resource], "event_type": str(event_type.pk)} if resource == "bookings" else BODIES[resource]
            )
            response = api.post(f"/api/v1/{resource}/", {**body, name: value})
            assert response.status_code in (201, 400, 409), (name, value, response.content[:300])
            if response.status_code != 201:
                problem_of(response, response.status_code)
            assert api.get(f"/api/v1/{resource}/?page_size=200").status_code == 200


def test_it_survives_odd_values_in_every_field_of_an_action(api: APIClient) -> None:
    for name in ACTION:
        for value in ODD:
            action = {key: given for key, given in ACTION.items() if key != "id"} | {name: value}
            response = api.post("/api/v1/workflows/", {**BODIES["workflows"], "actions": [action]})
            assert response.status_code in (201, 400, 409), (name, value, response.content[:300])
            if response.status_code == 201:
                Workflow.objects.all().delete()


@pytest.mark.parametrize("body", ["[]", '"text"', "1", "null", "true", "[{}]", "[[[]]]"])
def test_it_refuses_bodies_that_are_no_object(api: APIClient, body: str) -> None:
    for resource in (*BODIES, "auth/token"):
        problem_of(post(api, f"/api/v1/{resource}/", body), 400)


@pytest.mark.parametrize(("text", "what"), [(NUL, "NUL"), (SURROGATE, "surrogate")])
def test_it_refuses_what_no_database_stores_and_says_where(api: APIClient, text: str, what: str) -> None:
    body = WORKFLOW.replace("@", '{}, {"webhook_data": {"a": ["' + text + '"]}}')
    problem = problem_of(post(api, "/api/v1/workflows/", body), 400, "invalid")
    assert list(problem["fields"]) == ["actions[1].webhook_data.a[0]"]
    assert what in problem["message"]
    problem_of(post(api, "/api/v1/event-types/", '{"na@me": 1}'.replace("@", text)), 400)
    problem_of(post(api, "/api/v1/auth/token/", '{"email": "@", "password": "x"}'.replace("@", text)), 400)


def test_it_reads_whole_surrogate_pairs(api: APIClient) -> None:
    response = post(api, "/api/v1/event-types/", '{"name": "\\ud83d\\udca5", "duration": 5}')
    assert (response.status_code, response.json()["name"]) == (201, "💥")


def test_it_refuses_long_bodies_without_reading_them(api: APIClient) -> None:
    body = json.dumps({"name": "x" * 10_000_000, "duration": 30})
    started = time.monotonic()
    for url in ("event-types", "workflows", "bookings", "auth/token"):
        problem_of(post(api, f"/api/v1/{url}/", body), 413, "too_large")
    assert time.monotonic() - started < 5


@override_settings(API_MAX_BODY_BYTES=100)
def test_it_takes_bodies_up_to_the_limit(api: APIClient) -> None:
    body = json.dumps({"name": "x", "duration": 30}).ljust(100)
    assert post(api, "/api/v1/event-types/", body).status_code == 201
    problem_of(post(api, "/api/v1/event-types/", body + " "), 413, "too_large")


@pytest.mark.parametrize("depth", [65, 1_000, 100_000, 900_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_it_refuses_deep_nesting(api: APIClient, depth: int, opening: str, closing: str) -> None:
    depth = min(depth, 2_000_000 // len(opening + closing))
    nested = opening * depth + "1" + closing * depth
    body = WORKFLOW.replace("@", '{"conditions": ' + nested + "}")
    if len(body) > 2_097_152:
        pytest.skip("longer than any body")
    problem_of(post(api, "/api/v1/workflows/", body), 400)


def test_it_survives_odd_queries(api: APIClient, booking: Booking, execution: WorkflowExecution) -> None:
    lists = ["event-types", "bookings", "workflows", "executions", "workflows/executions"]
    lists.append(f"executions/{execution.pk}/steps")
    for resource in lists:
        for name in PARAMETERS:
            for value in ODD_PARAMETERS:
                response = api.get(f"/api/v1/{resource}/?{name}={value}")
                assert response.status_code in (200, 400, 404), (resource, name, value, response.content[:300])
                if response.status_code != 200:
                    problem_of(response, response.status_code)


def test_it_survives_odd_preconditions(api: APIClient, workflow: Workflow) -> None:
    for value in ("", "x", '"', 'W/"', "*,*", '"a" "b"', "é", '"' * 5_000, "W/\x00"):
        response = api.patch(f"/api/v1/workflows/{workflow.pk}/", {"description": "d"}, HTTP_IF_MATCH=value)
        assert response.status_code in (200, 412), (value, response.content[:300])
