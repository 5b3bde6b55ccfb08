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


@pytest.mark.django_db
@pytest.mark.parametrize("path", LISTS)
def test_it_says_what_it_cannot_read(path: str, world: World, operator: APIClient) -> None:
    """A filter that is misspelt and left out in silence answers another question than was asked."""
    url = world.path(path, CALLS[f"GET {path}"].params)

    def refused(name: str, value: str) -> str:
        fields = problem_of(operator.get(url, {name: value}), 400, "invalid")["fields"]
        assert list(fields) == [name]
        return str(fields[name][0])

    assert "Did you mean 'ordering'?" in refused("orderin", "id")
    assert "page_size" in refused("x" * 80, "")
    for value in ("abc", "0", "-1", "²", "1.5"):
        assert "whole number from 1 to 200" in refused("page_size", value)
    for parameter in OPERATIONS[f"GET {path}"]["parameters"]:
        name, schema = parameter["name"], parameter["schema"]
        if parameter["in"] != "query":
            continue
        for value in ("99999999999999999999", "\0", "٣", "-"):
            assert operator.get(url, {name: value}).status_code in (200, 400, 404), (name, value)
        words = schema.get("enum") or schema.get("items", {}).get("enum")
        if schema.get("type") == "boolean":
            assert "true or false" in refused(name, "maybe")
            for value in ("true", "False", "1", ""):
                assert operator.get(url, {name: value}).status_code == 200
        elif words:
            text = refused(name, "nope")
            assert all(str(word) in text for word in words), text
        elif schema.get("format") == "date-time":
            assert "2027-03-29T09:00:00Z (in a URL, a + is %2B)" in refused(name, "tomorrow")
        elif schema.get("format") == "uuid":
            refused(name, "nope")


def test_there_are_lists() -> None:
    assert len(LISTS) >= 18
