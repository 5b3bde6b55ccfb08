"""What every list of the API can do: pages, ordering, search and filters."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import resolve
from rest_framework.test import APIClient

from automation.models import User
from tests.api.conftest import problem_of
from tests.api.world import CALLS, World, document, fill, grow, operations

OPERATIONS = operations(document())


def _is_list(operation: dict[str, Any]) -> bool:
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    return "Paginated" in str(content.get("schema"))


LISTS = [name.removeprefix("GET ") for name in OPERATIONS if name.startswith("GET ") and _is_list(OPERATIONS[name])]


@pytest.fixture
def world(owner: User) -> World:
    first = fill(owner)
    for number in range(1, 4):
        fill(owner, number)
    grow(first)
    return first


def read(client: APIClient, path: str, world: World, **query: Any) -> dict[str, Any]:
    response = client.get(world.path(path, CALLS[f"GET {path}"].params), query)
    assert response.status_code == 200, (path, query, response.content[:500])
    found: dict[str, Any] = response.json()
    assert set(found) == {"count", "next", "previous", "results"}, path
    return found


def comparable(value: Any) -> float | None:
    """Numbers and moments: what is sorted alike here and by every database, as words are not."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return dt.datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError):
        return None


@pytest.mark.django_db
@pytest.mark.parametrize("path", LISTS)
def test_it_has_pages_an_order_a_search_and_filters(path: str, world: World, operator: APIClient) -> None:
    said = {one["name"] for one in OPERATIONS[f"GET {path}"]["parameters"] if one["in"] == "query"}
    common = {"page", "page_size", "ordering", "search"}
    assert common <= said, path
    assert said - common, "no filter"

    whole = read(operator, path, world, page_size=200)
    assert whole["count"] == len(whole["results"]) > 1

    first = read(operator, path, world, page_size=1)
    assert (first["count"], len(first["results"]), first["previous"]) == (whole["count"], 1, None)
    second = operator.get(first["next"]).json()
    assert [*first["results"], *second["results"]] == whole["results"][:2]
    assert len(read(operator, path, world, page_size=10_000)["results"]) <= 200
    problem_of(operator.get(world.path(path, CALLS[f"GET {path}"].params), {"page": 999}), 404, "not_found")

    view: Any = resolve(world.path(path, CALLS[f"GET {path}"].params)).func
    view_class = getattr(view, "cls", None) or view.view_class
    assert view_class.ordering_fields
    for name in view_class.ordering_fields:
        for ordering in (name, f"-{name}"):
            results = read(operator, path, world, ordering=ordering, page_size=200)["results"]
            assert len(results) == whole["count"]
            values = [value for row in results if (value := comparable(row.get(name))) is not None]
            assert values == sorted(values, reverse=ordering.startswith("-")), (path, ordering)
    assert read(operator, path, world, search="no such thing anywhere")["count"] == 0


def test_there_are_lists() -> None:
    assert len(LISTS) >= 18
