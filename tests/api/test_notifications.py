"""Messages, preferences and suppressed addresses: whose they are, and what may be done to them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from rest_framework.test import APIClient

from automation import clock
from automation.actions import unsubscribe
from automation.models import Booking, NotificationLog, NotificationPreference, Suppression, User, WorkflowExecution
from tests.api.conftest import NOBODY, problem_of

URL = "/api/v1/notifications/"
PREFERENCES = "/api/v1/notification-preferences/"
SUPPRESSIONS = "/api/v1/suppressions/"


def message_of(owner: User, **fields: Any) -> NotificationLog:
    defaults = {"channel": "email", "recipient": "jose@example.com", "subject": "Hello", "status": "sent"}
    return NotificationLog.objects.create(organizer=owner, **{**defaults, **fields})


def results(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["results"]
    return found


# --- The log ----------------------------------------------------------------------------------------------------------


def test_it_lists_an_organizers_own(
    api: APIClient, stranger: APIClient, operator: APIClient, anonymous: APIClient, owner: User
) -> None:
    row = message_of(owner, body="Dear José")
    assert [found["id"] for found in results(api.get(URL))] == [str(row.id)]
    assert "body" not in results(api.get(URL))[0]
    detail = api.get(f"{URL}{row.id}/").json()
    assert detail["body"] == "Dear José"
    assert detail["events"] == []
    assert results(stranger.get(URL)) == []
    problem_of(stranger.get(f"{URL}{row.id}/"), 404, "not_found")
    assert len(results(operator.get(URL))) == 1
    problem_of(anonymous.get(URL), 401)
    problem_of(api.delete(f"{URL}{row.id}/"), 405)


def test_filters(api: APIClient, owner: User, execution: WorkflowExecution, booking: Booking) -> None:
    old = clock.now() - dt.timedelta(days=3)
    one = message_of(
        owner, booking=booking, workflow=execution.workflow, execution=execution, step_seq=1, status="bounced"
    )
    two = message_of(owner, channel="sms", recipient="+34600123456", created_at=old, sent_at=old, subject="")
    for query, expected in (
        ({"status": "bounced"}, [one]),
        ({"status": ["bounced", "sent"]}, [one, two]),
        ({"channel": "sms"}, [two]),
        ({"recipient": "JOSE@example.com"}, [one]),
        ({"booking": booking.pk}, [one]),
        ({"workflow": execution.workflow_id}, [one]),
        ({"execution": execution.pk}, [one]),
        ({"execution": NOBODY}, []),
        ({"created_before": (old + dt.timedelta(hours=1)).isoformat()}, [two]),
        ({"created_after": (old + dt.timedelta(hours=1)).isoformat()}, [one]),
        ({"sent_before": clock.now().isoformat()}, [two]),
        ({"search": "34600"}, [two]),
        ({"ordering": "created_at"}, [two, one]),
    ):
        assert [found["id"] for found in results(api.get(URL, query))] == [str(row.id) for row in expected], query
    problem_of(api.get(URL, {"status": "lost"}), 400, "invalid")
    problem_of(api.get(URL, {"ordering": "body"}), 400, "invalid")


@pytest.mark.parametrize("url", [URL, PREFERENCES, SUPPRESSIONS])
def test_a_list_takes_a_constant_number_of_queries(
    url: str, api: APIClient, owner: User, django_assert_max_num_queries: Any
) -> None:
    def fill(number: int) -> None:
        row = message_of(owner, recipient=f"{number}@example.com")
        NotificationPreference.objects.create(organizer=owner, recipient=f"{number}@example.com")
        Suppression.objects.create(
            organizer=owner, channel="email", recipient=f"{number}@x.example", reason="bounced", notification=row
        )

    for number in range(12):
        fill(number)
    with django_assert_max_num_queries(4):
        assert len(results(api.get(url))) == 12


# --- Preferences ------------------------------------------------------------------------------------------------------


def test_preferences_are_noted_changed_and_forgotten(api: APIClient, stranger: APIClient, owner: User) -> None:
    body = {"recipient": "José@Example.com".replace("é", "e"), "quiet_from": "21:00", "quiet_until": "08:00"}
    made = api.post(PREFERENCES, {**body, "timezone": "Europe/Madrid", "daily_limit": 3})
    assert made.status_code == 201, made.content
    data = made.json()
    assert data["recipient"] == "jose@example.com"
    assert data["unsubscribed"] is False
    path = f"{PREFERENCES}{data['id']}/"
    assert api.patch(path, {"daily_limit": None, "unsubscribed": True}).json()["unsubscribed_by"] == "organizer"
    assert api.patch(path, {"unsubscribed": False}).json()["unsubscribed_at"] is None
    problem_of(stranger.get(path), 404)
    problem_of(stranger.patch(path, {"daily_limit": 1}), 404)
    problem_of(stranger.delete(path), 404)
    assert results(api.get(PREFERENCES, {"unsubscribed": "true"})) == []
    assert len(results(api.get(PREFERENCES, {"unsubscribed": "false"}))) == 1
    assert api.delete(path).status_code == 204


def test_preferences_stay_whose_they_are(api: APIClient) -> None:
    made = api.post("/api/v1/notification-preferences/", {"recipient": "ina@example.com"}).json()
    path = f"/api/v1/notification-preferences/{made['id']}/"
    error = problem_of(api.patch(path, {"recipient": "eve@example.com", "daily_limit": 1}), 400, "invalid")
    assert "make others for eve@example.com" in error["fields"]["recipient"][0]
    assert api.get(path).json()["daily_limit"] is None
    assert api.patch(path, {"recipient": "Ina@example.com", "daily_limit": 1}).json()["daily_limit"] == 1


def test_a_phone_number_is_kept_as_messages_name_it(api: APIClient) -> None:
    assert api.post(PREFERENCES, {"recipient": "+34 600 123 456"}).json()["recipient"] == "+34600123456"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "recipient"),
        ({"recipient": "jose@"}, "recipient"),
        ({"recipient": "600 123 456"}, "recipient"),
        ({"recipient": "a@example.com", "timezone": "Mars/Olympus"}, "timezone"),
        ({"recipient": "a@example.com", "quiet_from": "21:00"}, "quiet_until"),
        ({"recipient": "a@example.com", "quiet_until": "21:00"}, "quiet_from"),
        ({"recipient": "a@example.com", "quiet_from": "21:00", "quiet_until": "21:00"}, "quiet_until"),
        ({"recipient": "a@example.com", "quiet_from": "25:00", "quiet_until": "21:00"}, "quiet_from"),
        ({"recipient": "a@example.com", "quiet_from": "20:00+02:00", "quiet_until": "21:00"}, "quiet_from"),
        ({"recipient": "a@example.com", "quiet_from": "20:00", "quiet_until": "21:00Z"}, "quiet_until"),
        ({"recipient": "a@example.com", "daily_limit": -1}, "daily_limit"),
        ({"recipient": "taken@example.com"}, "recipient"),
    ],
)
def test_bad_preferences_name_the_field(body: dict[str, Any], field: str, api: APIClient, owner: User) -> None:
    NotificationPreference.objects.create(organizer=owner, recipient="taken@example.com")
    assert field in problem_of(api.post(PREFERENCES, body), 400, "invalid")["fields"]


def test_nobody_else_subscribes_somebody_again(api: APIClient, owner: User) -> None:
    preference = unsubscribe.stop(owner.pk, "jose@example.com", by="recipient")
    path = f"{PREFERENCES}{preference.id}/"
    assert "has unsubscribed" in problem_of(api.patch(path, {"unsubscribed": False}), 409, "conflict")["message"]
    problem_of(api.delete(path), 409, "conflict")
    assert api.patch(path, {"daily_limit": 5}).status_code == 200
    preference.refresh_from_db()
    assert preference.unsubscribed_at is not None


# --- Suppressed addresses ---------------------------------------------------------------------------------------------


def test_addresses_are_suppressed_and_lifted(api: APIClient, stranger: APIClient, owner: User) -> None:
    made = api.post(SUPPRESSIONS, {"channel": "email", "recipient": "Jose@Example.com", "detail": "Asked by phone"})
    assert made.status_code == 201, made.content
    assert (made.json()["recipient"], made.json()["reason"]) == ("jose@example.com", "manual")
    path = f"{SUPPRESSIONS}{made.json()['id']}/"
    problem_of(stranger.delete(path), 404)
    assert api.post(SUPPRESSIONS, {"channel": "email", "recipient": "jose@example.com"}).json()["id"] in path
    assert len(results(api.get(SUPPRESSIONS, {"in_force": "true"}))) == 1
    for _ in range(2):
        assert api.delete(path).status_code == 204
    assert results(api.get(SUPPRESSIONS, {"in_force": "true"})) == []
    assert api.get(path).json()["lifted_at"] is not None
    assert api.post(SUPPRESSIONS, {"channel": "email", "recipient": "jose@example.com"}).json()["id"] not in path


@pytest.mark.parametrize(
    "body", [{"channel": "sms", "recipient": "a@example.com"}, {"channel": "email", "recipient": "+34600123456"},
             {"channel": "pigeon", "recipient": "a@example.com"}, {"channel": "email"}]
)  # fmt: skip
def test_a_suppression_fits_its_channel(body: dict[str, Any], api: APIClient) -> None:
    problem_of(api.post(SUPPRESSIONS, body), 400, "invalid")
