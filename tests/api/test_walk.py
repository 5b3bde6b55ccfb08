"""Every operation of the API, called as the owner of the rows, as another organizer, as staff and as nobody."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient
from schemathesis.core.transport import Response

from automation.models import User
from tests.api.world import CALLS, PUBLIC, Call, World, document, fill, grow, operations

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def described() -> Any:
    """The OpenAPI document, which answers are held against."""
    return schemathesis.openapi.from_dict(document())


@pytest.fixture
def world(owner: User) -> World:
    return fill(owner)


def ask(client: APIClient, name: str, call: Call, world: World) -> Any:
    """What the call is answered. It changes nothing for the calls after it."""
    method, path = name.split(" ")
    url = world.path(path, call.params)
    if call.query:
        url += "?" + "&".join(f"{key}={world.put(value)}" for key, value in call.query.items())
    with transaction.atomic():
        response = getattr(client, method.lower())(url, world.put(call.body), format="json")
        transaction.set_rollback(True)
    return response


def assert_described(described: Any, name: str, response: Any) -> None:
    """The answer's status, media type and body are what the document says of the operation."""
    method, path = name.split(" ")
    operation = described["/api/v1/" + path][method]
    said = operation.definition.raw["responses"]
    status = str(response.status_code)
    assert status in said, f"{name} answers {status}, and is said to answer {sorted(said)}: {response.content[:300]!r}"
    content = said[status].get("content") or {}
    if not content:
        assert response.content == b"", name
        return
    assert response["Content-Type"].split(";")[0] in content, (name, response["Content-Type"])
    sent = Response(
        response.status_code,
        {key.lower(): [value] for key, value in response.items()},
        response.content,
        request=None,  # type: ignore[arg-type]
        elapsed=0.0,
        verify=False,
    )
    operation.validate_response(sent)


def test_no_operation_escapes() -> None:
    said = set(operations(document()))
    assert said - set(CALLS) == set(), "operations without a call in tests/api/world.py"
    assert set(CALLS) - said == set(), "calls of operations that are no more"
    assert set(PUBLIC) <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_everybody_gets_what_is_theirs(
    name: str,
    described: Any,
    world: World,
    api: APIClient,
    stranger: APIClient,
    operator: APIClient,
    anonymous: APIClient,
) -> None:
    call = CALLS[name]
    assert (call.anonymous == 401) or name in PUBLIC
    for client, status in (
        (anonymous, call.anonymous),
        (stranger, call.by_stranger),
        (api, call.owner),
        (operator, call.by_staff),
    ):
        response = ask(client, name, call, world)
        assert response.status_code == status, (client is operator, client is api, response.content[:500])
        assert_described(described, name, response)
        if client is stranger and isinstance(found := _json(response), dict) and "results" in found and not call.body:
            assert found["results"] == [], "another organizer's rows are listed"
            assert found["count"] == 0


def _json(response: Any) -> Any:
    return response.json() if response.headers.get("Content-Type", "").startswith("application/json") else None


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("GET ")])
def test_reading_takes_as_many_queries_for_5_rows_as_for_1(
    name: str, owner: User, world: World, api: APIClient, operator: APIClient
) -> None:
    """Five of every row, and of what lies below the row that the path names."""
    call = CALLS[name]

    def read() -> tuple[int, int | None]:
        """How many queries, for how many rows of a list."""
        with CaptureQueriesContext(connection) as captured:
            response = ask(api if call.owner == 200 else operator, name, call, world)
        assert response.status_code == 200
        found = _json(response)
        return len(captured), len(found["results"]) if isinstance(found, dict) and "results" in found else None

    read()  # what a process keeps is kept from here on
    queries, rows = read()
    for number in range(1, 5):
        fill(owner, number)
    grow(world)
    queries_then, rows_then = read()
    assert queries_then == queries
    if rows is not None and rows_then is not None:
        assert rows > 0
        assert rows + 4 <= rows_then, "there should be more to list"
