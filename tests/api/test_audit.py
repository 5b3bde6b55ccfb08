"""Who changed what, with the values before and after; bookings have a log of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from automation import audit
from automation.actions import unsubscribe
from automation.models import (
    AuditLog,
    BookingAuditLog,
    CircuitState,
    Destination,
    EventType,
    InboundSource,
    NotificationPreference,
    User,
)
from automation.services import bookings, event_types, inbound_sources
from tests.api.conftest import booking_of

pytestmark = pytest.mark.django_db

PREFERENCES = "/api/v1/notification-preferences/"


def log(api: APIClient, **query: Any) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    """(subject, action, actor's address, changes), oldest first."""
    found = api.get("/api/v1/audit/", {"ordering": "at", **query}).json()["results"]
    return [(one["subject"], one["action"], one["actor_email"], one["changes"]) for one in found]


def test_preferences(api: APIClient, owner: User) -> None:
    made = api.post(
        PREFERENCES, {"recipient": "ina@example.com", "daily_limit": 3, "quiet_from": "21:00", "quiet_until": "07:00"}
    ).json()
    api.patch(f"{PREFERENCES}{made['id']}/", {"daily_limit": 2, "quiet_until": "08:00"})
    api.patch(f"{PREFERENCES}{made['id']}/", {"daily_limit": 2})
    api.delete(f"{PREFERENCES}{made['id']}/")
    first, second, third = log(api, subject_id=made["id"])
    assert [one[:3] for one in (first, second, third)] == [
        ("notification_preference", action, owner.email) for action in ("created", "changed", "deleted")
    ]
    assert first[3]["daily_limit"] == [None, 3]
    assert first[3]["quiet_from"] == [None, "21:00:00"]
    assert second[3] == {"daily_limit": [3, 2], "quiet_until": ["07:00:00", "08:00:00"]}
    assert third[3]["recipient"] == ["ina@example.com", None]


def test_a_recipient_who_unsubscribes(api: APIClient, owner: User, client: Client) -> None:
    path = unsubscribe.unsubscribe_url(owner.pk, "ina@example.com").split("testserver")[-1]
    path = "/unsubscribe/" + path.split("/unsubscribe/")[1]
    client.post(path)
    client.post(path)
    client.post(path, {"action": "resubscribe"})
    preference = NotificationPreference.objects.get()
    out, back = log(api, subject_id=preference.pk)
    assert (out[2], back[2]) == (None, None), "it was nobody who signs in"
    assert out[3]["unsubscribed_by"] == ["", "recipient"]
    assert back[3]["unsubscribed_by"] == ["recipient", ""]
    assert back[3]["unsubscribed_at"][1] is None


def test_suppressed_addresses(api: APIClient, operator: APIClient, owner: User) -> None:
    made = api.post("/api/v1/suppressions/", {"channel": "email", "recipient": "ina@example.com"}).json()
    api.post("/api/v1/suppressions/", {"channel": "email", "recipient": "ina@example.com"})
    operator.delete(f"/api/v1/suppressions/{made['id']}/")
    operator.delete(f"/api/v1/suppressions/{made['id']}/")
    put, lifted = log(api, subject="suppression")
    assert (put[1], put[2], put[3]["reason"]) == ("created", owner.email, [None, "manual"])
    assert (lifted[1], list(lifted[3])) == ("changed", ["lifted_at"])
    assert lifted[2] != owner.email, "whoever lifted it, and not whose it is"


def test_event_types(api: APIClient, owner: User) -> None:
    made = api.post("/api/v1/event-types/", {"name": "Call", "duration": 30}).json()
    api.patch(f"/api/v1/event-types/{made['id']}/", {"duration": 45})
    api.delete(f"/api/v1/event-types/{made['id']}/")
    rows = log(api, subject="event_type", subject_id=made["id"])
    assert [(action, actor) for _, action, actor, _ in rows] == [
        (action, owner.email) for action in ("created", "changed", "deleted")
    ]
    assert rows[1][3] == {"duration": [30, 45]}


def test_an_event_type_that_two_change_at_once(api: APIClient, owner: User, event_type: EventType) -> None:
    """Each entry tells what its own change was, and no change takes the other back."""
    event_types.update(EventType.objects.get(pk=event_type.pk), duration=90)
    event_types.update(event_type, by=owner, name="Long call")  # as it was read before
    event_types.update(event_type, by=owner)
    event_type.refresh_from_db()
    assert (event_type.name, event_type.duration) == ("Long call", 90)
    first, second = log(api, subject="event_type", subject_id=event_type.pk)
    assert (list(first[3]), list(second[3])) == (["duration"], ["name"])


def test_sources_of_events(api: APIClient, operator: APIClient, owner: User, event_type: EventType) -> None:
    made = api.post("/api/v1/inbound-sources/", {"name": "Zap", "kind": "standard"}).json()
    path = f"/api/v1/inbound-sources/{made['id']}/"
    mapping = {"30min": str(event_type.pk)}
    api.patch(path, {"name": "Zapier", "event_types": mapping, "default_event_type": str(event_type.pk)})
    api.patch(path, {"name": "Zapier"})
    rotated = api.post(f"{path}rotate/", {"overlap_minutes": 30}).json()
    assert operator.delete(path).status_code == 204
    rows = log(api, subject="inbound_source", subject_id=made["id"])
    assert [(action, actor) for _, action, actor, _ in rows] == [
        ("created", owner.email), ("changed", owner.email), ("changed", owner.email), ("deleted", "root@example.com"),
    ]  # fmt: skip
    assert rows[0][3]["kind"] == [None, "standard"]
    assert rows[1][3] == {
        "name": ["Zap", "Zapier"],
        "event_types": [{}, mapping],
        "default_event_type_id": [None, str(event_type.pk)],
    }
    assert rows[2][3]["secret"] == [audit.MASK, audit.MASK]
    assert rows[2][3]["former_valid_until"][0] is None
    assert rows[3][3]["is_active"] == [True, None]
    shown = json.dumps(rows)
    stored = AuditLog.objects.values_list("changes", flat=True)
    for secret in (made["secret"], rotated["secret"], "v1:", "secret_encrypted"):
        assert secret not in shown
        assert secret not in json.dumps(list(stored))


def test_a_source_that_two_change_at_once(api: APIClient, owner: User) -> None:
    source, _ = inbound_sources.create(owner, name="Zap", kind="standard")
    inbound_sources.update(InboundSource.objects.get(pk=source.pk), is_active=False)
    inbound_sources.update(source, by=owner, name="Zapier")  # as it was read before
    source.refresh_from_db()
    assert (source.name, source.is_active) == ("Zapier", False)
    assert [list(entry[3]) for entry in log(api, subject="inbound_source")][1:] == [["is_active"], ["name"]]


def test_rates_and_circuits(api: APIClient, operator: APIClient, owner: User) -> None:
    path = "/api/v1/destinations/"
    made = api.post(path, {"host": "hooks.example.com", "rate": "60/min"}).json()
    api.post(path, {"host": "hooks.example.com", "rate": "60/min"})
    api.post(path, {"host": "hooks.example.com", "rate": ""})
    operator.post(f"{path}{made['id']}/close/")
    assert log(api, subject="destination", subject_id=made["id"]) == [
        ("destination", "changed", owner.email, {"rate": ["", "60/min"]}),
        ("destination", "changed", owner.email, {"rate": ["60/min", ""]}),
    ], "what was closed already is not closed"
    Destination.objects.update(state=CircuitState.OPEN)
    operator.post(f"{path}{made['id']}/close/")
    closed = log(api, subject="destination", subject_id=made["id"])[-1]
    assert closed[2:] == ("root@example.com", {"state": ["open", "closed"]})


def test_a_source_and_a_circuit_in_the_admin(api: APIClient, owner: User, client: Client) -> None:
    admin = User.objects.create_superuser("root@example.com", "x")
    client.force_login(admin)
    source, _ = inbound_sources.create(owner, name="Zap", kind="standard", by=owner)
    url = reverse("admin:automation_inboundsource_change", args=[source.pk])
    assert client.post(url, {"name": "Zapier"}).status_code == 302
    changelist = reverse("admin:automation_inboundsource_changelist")
    form = {"action": "delete_selected", "_selected_action": [str(source.pk)], "post": "yes"}
    assert client.post(changelist, form).status_code == 302
    assert not InboundSource.objects.exists()
    _, changed, deleted = log(api, subject="inbound_source")
    assert changed[1:] == ("changed", admin.email, {"name": ["Zap", "Zapier"], "is_active": [True, False]})
    assert deleted[1:3] == ("deleted", admin.email)
    row = Destination.objects.create(organizer=owner, host="hooks.example.com", state=CircuitState.OPEN)
    changelist = reverse("admin:automation_destination_changelist")
    client.post(changelist, {"action": "close", "_selected_action": [str(row.pk)]})
    (closed,) = log(api, subject="destination")
    assert closed[1:] == ("changed", admin.email, {"state": ["open", "closed"]})


def test_what_the_admin_changes(api: APIClient, owner: User, client: Client) -> None:
    admin = User.objects.create_superuser("root@example.com", "x")
    client.force_login(admin)
    preference = NotificationPreference.objects.create(organizer=owner, recipient="ina@example.com")
    form = {"organizer": owner.pk, "recipient": "Ina@Example.com", "daily_limit": "4", "timezone": ""}
    url = reverse("admin:automation_notificationpreference_change", args=[preference.pk])
    assert client.post(url, form).status_code == 302
    preference.refresh_from_db()
    assert preference.recipient == "ina@example.com", "as messages name it"
    url = reverse("admin:automation_notificationpreference_delete", args=[preference.pk])
    assert client.post(url, {"post": "yes"}).status_code == 302
    changed, deleted = log(api, subject="notification_preference")
    assert changed[:3] == ("notification_preference", "changed", admin.email)
    assert changed[3] == {"daily_limit": [None, 4]}
    assert deleted[1:3] == ("deleted", admin.email)


def test_bookings_have_a_log_of_their_own(event_type: EventType, owner: User) -> None:
    booking = booking_of(event_type)
    bookings.cancel(booking.pk, "Ill", actor=owner.email)
    entry = BookingAuditLog.objects.filter(booking=booking).latest("id")
    assert (entry.actor, entry.old_values["status"], entry.new_values["status"]) == (
        owner.email,
        "confirmed",
        "cancelled",
    )
    assert not AuditLog.objects.filter(subject="booking").exists()


def test_a_log_is_its_organizers_alone(stranger: APIClient, api: APIClient) -> None:
    api.post(PREFERENCES, {"recipient": "ina@example.com"})
    assert len(log(api)) == 1
    assert log(stranger) == []
