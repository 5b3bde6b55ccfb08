"""Event types: for the owner, another organizer, staff, and nobody."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from automation.models import Booking, EventType, User, Workflow
from tests.api.conftest import booking_of, problem_of

URL = "/api/v1/event-types/"


def test_it_makes_one_from_a_name_and_a_duration(api: APIClient, owner: User) -> None:
    response = api.post(URL, {"name": "Discovery Call", "duration": 30})
    assert response.status_code == 201
    body = response.json()
    made = EventType.objects.get(pk=body["id"])
    assert made.organizer == owner
    assert body == {
        "id": str(made.pk),
        "organizer": owner.pk,
        "name": "Discovery Call",
        "slug": "discovery-call",
        "description": "",
        "duration": 30,
        "location_type": "video",
        "max_attendees": 1,
        "is_active": True,
        "created_at": body["created_at"],
    }
    assert api.post(URL, {"name": "Discovery Call", "duration": 30}).json()["slug"] == "discovery-call-2"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name", "duration"}),
        ({"name": "", "duration": 0}, {"name", "duration"}),
        ({"name": "a", "duration": 2**40}, {"duration"}),
        ({"name": "a", "duration": 30, "location_type": "moon", "slug": "a b"}, {"location_type", "slug"}),
        ({"name": "a", "duration": 30, "max_attendees": 0}, {"max_attendees"}),
    ],
)
def test_it_names_the_fields_at_fault(api: APIClient, body: dict[str, object], fields: set[str]) -> None:
    assert set(problem_of(api.post(URL, body), 400, "invalid")["fields"]) == fields


def test_it_changes_and_replaces(api: APIClient, event_type: EventType) -> None:
    url = f"{URL}{event_type.pk}/"
    assert api.patch(url, {"duration": 45}).json()["duration"] == 45
    assert api.put(url, {"name": "Long Call", "duration": 60}).json()["name"] == "Long Call"
    event_type.refresh_from_db()
    assert (event_type.name, event_type.duration, event_type.slug) == ("Long Call", 60, "discovery-call")


def test_it_refuses_a_slug_that_is_taken(api: APIClient, event_type: EventType, foreign_event_type: EventType) -> None:
    body = {"name": "a", "duration": 30, "slug": event_type.slug}
    assert "slug" in problem_of(api.post(URL, body), 400)["fields"]
    # Somebody else's slugs are free.
    assert api.post(URL, {**body, "slug": foreign_event_type.slug}).status_code == 201
    assert api.patch(f"{URL}{event_type.pk}/", {"slug": event_type.slug}).status_code == 200
    assert "slug" in problem_of(api.patch(f"{URL}{event_type.pk}/", {"slug": foreign_event_type.slug}), 400)["fields"]


def test_it_cannot_be_given_to_somebody_else(api: APIClient, event_type: EventType, owner: User, other: User) -> None:
    api.patch(f"{URL}{event_type.pk}/", {"organizer": other.pk})
    event_type.refresh_from_db()
    assert event_type.organizer == owner


def test_it_deletes_what_nothing_depends_on(api: APIClient, event_type: EventType) -> None:
    assert api.delete(f"{URL}{event_type.pk}/").status_code == 204
    assert not EventType.objects.filter(pk=event_type.pk).exists()


def test_it_keeps_what_has_bookings(api: APIClient, event_type: EventType, booking: Booking) -> None:
    problem = problem_of(api.delete(f"{URL}{event_type.pk}/"), 409, "conflict")
    assert "1 booking(s)" in problem["message"]


def test_it_keeps_the_only_event_type_of_a_workflow(api: APIClient, event_type: EventType, workflow: Workflow) -> None:
    workflow.event_types.add(event_type)
    problem = problem_of(api.delete(f"{URL}{event_type.pk}/"), 409, "conflict")
    assert "'Confirmation'" in problem["message"]
    second = EventType.objects.create(organizer=event_type.organizer, name="Other", duration=10)
    workflow.event_types.add(second)
    assert api.delete(f"{URL}{event_type.pk}/").status_code == 204
    assert list(workflow.event_types.all()) == [second]


def test_it_hides_other_peoples(stranger: APIClient, anonymous: APIClient, event_type: EventType) -> None:
    url = f"{URL}{event_type.pk}/"
    assert stranger.get(URL).json()["count"] == 0
    for method in ("get", "put", "patch", "delete"):
        problem_of(getattr(stranger, method)(url, {"name": "Mine", "duration": 1}), 404, "not_found")
        problem_of(getattr(anonymous, method)(url, {}), 401)
    event_type.refresh_from_db()
    assert event_type.name == "Discovery Call"


def test_staff_see_all(operator: APIClient, event_type: EventType, foreign_event_type: EventType) -> None:
    assert operator.get(URL).json()["count"] == 2
    assert operator.patch(f"{URL}{event_type.pk}/", {"duration": 50}).json()["organizer"] == event_type.organizer_id


def test_it_filters_searches_and_sorts(api: APIClient, event_type: EventType, owner: User) -> None:
    EventType.objects.create(organizer=owner, name="Workshop", duration=120, is_active=False)

    def names(query: str) -> list[str]:
        return [row["name"] for row in api.get(f"{URL}?{query}").json()["results"]]

    assert names("") == ["Discovery Call", "Workshop"]
    assert names("is_active=true") == ["Discovery Call"]
    assert names("search=work") == ["Workshop"]
    assert names("ordering=-duration") == ["Workshop", "Discovery Call"]
    assert names("page_size=1&page=2") == ["Workshop"]
    assert "ordering" in problem_of(api.get(f"{URL}?ordering=organizer__password"), 400)["fields"]
    assert "location_type" in problem_of(api.get(f"{URL}?location_type=moon"), 400)["fields"]
    problem_of(api.get(f"{URL}?page=9"), 404)


def test_pages_hold_at_most_200(api: APIClient, owner: User) -> None:
    EventType.objects.bulk_create(
        EventType(organizer=owner, name=f"E{n}", slug=f"e{n}", duration=5) for n in range(210)
    )
    page = api.get(f"{URL}?page_size=1000").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (210, 200, None)
    assert len(api.get(page["next"]).json()["results"]) == 10
    assert len(api.get(URL).json()["results"]) == 25


def test_a_foreign_booking_does_not_count(api: APIClient, event_type: EventType, foreign_event_type: EventType) -> None:
    booking_of(foreign_event_type)
    assert api.delete(f"{URL}{event_type.pk}/").status_code == 204
