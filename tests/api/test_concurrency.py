"""Edits at the same time: one wins, the other learns of it."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from rest_framework.test import APIClient

from automation.models import User, Workflow
from tests.api.conftest import client_of, user_of, workflow_of

EDITORS = 4


def _all_at_once(owner: User, request: str, url: str, bodies: list[dict[str, object]], **headers: str) -> list[int]:
    """The statuses of these requests, sent at the same time, each on a connection of its own."""
    clients = [client_of(owner) for _ in bodies]
    ready = threading.Barrier(len(bodies))
    statuses: list[int] = []

    def send(client: APIClient, body: dict[str, object]) -> None:
        try:
            ready.wait(10)
            statuses.append(getattr(client, request)(url, body, **headers).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, bodies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(statuses)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share SQLite's test database in memory")
def test_of_edits_with_one_etag_one_wins() -> None:
    owner = user_of("ada@example.com")
    workflow = workflow_of(owner)
    url = f"/api/v1/workflows/{workflow.pk}/"
    read = client_of(owner).get(url)["ETag"]
    bodies: list[dict[str, object]] = [{"description": f"by {number}"} for number in range(EDITORS)]
    assert _all_at_once(owner, "patch", url, bodies, HTTP_IF_MATCH=read) == [200] + [412] * (EDITORS - 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share SQLite's test database in memory")
def test_of_workflows_with_one_name_one_is_made() -> None:
    owner = user_of("ada@example.com")
    bodies: list[dict[str, object]] = [{"name": "Same", "trigger": "booking_created"}] * EDITORS
    assert _all_at_once(owner, "post", "/api/v1/workflows/", bodies) == [201] + [400] * (EDITORS - 1)
    assert Workflow.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share SQLite's test database in memory")
def test_event_types_of_one_name_get_slugs_of_their_own() -> None:
    owner = user_of("ada@example.com")
    bodies: list[dict[str, object]] = [{"name": "Call", "duration": 30}] * EDITORS
    assert _all_at_once(owner, "post", "/api/v1/event-types/", bodies) == [201] * EDITORS
    slugs = set(owner.event_types.values_list("slug", flat=True))
    assert slugs == {"call", "call-2", "call-3", "call-4"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads share SQLite's test database in memory")
def test_of_edits_of_one_draft_one_wins_and_it_is_published_once() -> None:
    owner = user_of("ada@example.com")
    workflow = workflow_of(owner)
    url = f"/api/v1/workflows/{workflow.pk}/"
    read = client_of(owner).get(f"{url}draft/")["ETag"]
    bodies: list[dict[str, object]] = [{"delay_minutes": number + 1} for number in range(EDITORS)]
    # The first draft publishes what the rows say, which is a version of its own: all but one meet another ETag.
    assert _all_at_once(owner, "patch", f"{url}draft/", bodies, HTTP_IF_MATCH=read) == [200] + [412] * (EDITORS - 1)
    published = _all_at_once(owner, "post", f"{url}publish/", [{}] * EDITORS)
    assert published == [200] + [409] * (EDITORS - 1)
    workflow.refresh_from_db()
    assert list(workflow.versions.order_by("number").values_list("number", flat=True)) == [1, 2, 3]
