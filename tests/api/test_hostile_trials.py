"""Bad input to the views that try, draft and explain is refused with a clear 4xx, or harmless."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from automation.models import Booking, User, Workflow
from automation.rules.fields import FIELDS
from automation.services import workflows
from tests.api.conftest import problem_of

ODD: list[Any] = [
    None, True, -1, 10**400, "", "x" * 10_000, "\u202e", "{{ 7*7 }}", [], [None], {"a": {}},
    "9999-12-31T23:59:59-14:00",
]  # fmt: skip
MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
BODIES: dict[str, dict[str, Any]] = {
    "test": {
        "test_type": "mock_data",
        "booking_id": None,
        "sample": {},
        "at": None,
        "draft": False,
        "send_to_me": False,
    },
    "validate": {"draft": False, "runtime": False},
    "backtest": {"bookings": 5, "version": None, "only_differences": False},
    "publish": {"overwrite": False, "note": ""},
    "duplicate": {"name": "", "is_active": False, "draft": False},
}
DRAFT: dict[str, Any] = {
    "name": "D", "description": "", "trigger": "booking_created", "event_types": [], "delay_minutes": 0,
    "late_policy": "skip", "actions": [],
}  # fmt: skip
NEW = "\\ud800"


@pytest.fixture(autouse=True)
def _no_throttles(settings: Any) -> None:
    settings.API_THROTTLE_USER = "off"


@pytest.fixture
def url(owner: User, booking: Booking) -> str:
    workflow: Workflow = workflows.create(owner, name="W", trigger="before_meeting", delay_minutes=60, actions=[MAIL])
    return f"/api/v1/workflows/{workflow.pk}/"


def refused_or_done(response: Any, *done: int) -> None:
    if response.status_code not in done:
        problem_of(response, response.status_code)
        assert response.status_code < 500


@pytest.mark.parametrize("path", BODIES)
def test_it_survives_odd_values(api: APIClient, url: str, path: str) -> None:
    for name in BODIES[path]:
        for value in ODD:
            refused_or_done(api.post(f"{url}{path}/", {**BODIES[path], name: value}), 200, 201)
    for body in ("[]", "null", '"text"', f'{{"note": "{NEW}", "name": "{NEW}", "sample": {{"a": "{NEW}"}}}}'):
        refused_or_done(api.generic("POST", f"{url}{path}/", body, content_type="application/json"), 200)


def test_it_survives_odd_samples(api: APIClient, url: str) -> None:
    for name in (*FIELDS, "custom_x", "custom_"):
        for value in ODD[::3]:
            refused_or_done(api.post(f"{url}test/", {"test_type": "mock_data", "sample": {name: value}}), 200)


def test_a_draft_of_odd_values_can_be_read_validated_and_tried(api: APIClient, url: str) -> None:
    for name in DRAFT:
        for value in ODD:
            refused_or_done(api.patch(f"{url}draft/", {name: value}), 200)
    for name in ("conditions", "webhook_data", "update_booking_fields", "message", "config"):
        for value in (*ODD[::4], [{"operator": "AND", "rules": [{"rules": []}]}], {"expr": "1/0"}, "{% for x in y %}"):
            actions = [{**MAIL, "action_type": kind, name: value} for kind in ("send_email", "update_booking")]
            refused_or_done(api.patch(f"{url}draft/", {"actions": actions}), 200)
            assert api.get(f"{url}draft/").status_code == 200
            assert api.post(f"{url}validate/", {"draft": True, "runtime": False}).status_code == 200
            assert api.post(f"{url}test/", {"test_type": "mock_data", "draft": True}).status_code == 200
    assert api.post(f"{url}backtest/", {}).status_code == 200


def test_it_survives_odd_paths_and_queries(api: APIClient, url: str, booking: Booking) -> None:
    for number in (0, 2**31, 2**63, 10**30):
        refused_or_done(api.get(f"{url}versions/{number}/"), 200)
        refused_or_done(api.post(f"{url}versions/{number}/roll-back/"), 200)
    lists = (f"{url}versions/", f"{url}execution-summary/", "/api/v1/workflows/bulk-test/")
    for path in (*lists, f"{url}versions/1/", f"/api/v1/bookings/{booking.pk}/timeline/"):
        for query in ("against=%00", "against=-1", "days=-1", "days=%00", "page=%00", "ordering=--", "created_by=9e99"):
            refused_or_done(api.get(f"{path}?{query}"), 200)
