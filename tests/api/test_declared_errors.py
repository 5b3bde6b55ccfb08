"""The errors that DRF, and not a view, answers with: the document names each where it occurs, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, transaction
from rest_framework.test import APIClient

from automation.models import User
from tests.api.world import CALLS, METHODS, Call, World, document, fill, operations

pytestmark = pytest.mark.django_db
LIMIT = 1024


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, Any]]:
    return operations(document())


@pytest.fixture
def world(owner: User) -> World:
    return fill(owner)


@pytest.fixture(autouse=True)
def _roomy(settings: Any) -> None:
    settings.API_THROTTLE_USER = settings.API_THROTTLE_ANON = settings.INBOUND_RATE = "off"
    settings.API_MAX_BODY_BYTES = LIMIT


def every(world: World) -> Iterator[tuple[str, Call, str, str]]:
    """(name, call, method, URL) of each operation, in a transaction that is taken back."""
    for name, call in CALLS.items():
        method, path = name.split(" ")
        url = world.path(path, call.params)
        if call.query:
            url += "?" + "&".join(f"{key}={world.put(value)}" for key, value in call.query.items())
        cache.clear()
        with transaction.atomic():
            yield name, call, method.lower(), url
            transaction.set_rollback(True)


def body(call: Call, world: World) -> str:
    return "" if call.body is None else json.dumps(world.put(call.body))


def is_envelope(response: Any) -> bool:
    found = response.json()
    return set(found) == {"error"} and set(found["error"]) == {"code", "message", "fields"}


def compare(answered: dict[str, bool], said: dict[str, dict[str, Any]], status: str) -> None:
    declared = {name: status in said[name]["responses"] for name in answered}
    assert {name for name in answered if answered[name] and not declared[name]} == set(), f"answered {status}"
    assert {name for name in answered if declared[name] and not answered[name]} == set(), f"said to answer {status}"


def test_a_body_of_another_type(world: World, operator: APIClient, said: dict[str, dict[str, Any]]) -> None:
    answered = {}
    for name, _, method, url in every(world):
        response = operator.generic(method.upper(), url, "<a/>", content_type="application/xml")
        answered[name] = response.status_code == 415
        assert not answered[name] or is_envelope(response), name
    assert any(answered.values())
    compare(answered, said, "415")


def test_a_body_that_is_too_long(world: World, operator: APIClient, said: dict[str, dict[str, Any]]) -> None:
    answered = {}
    long = json.dumps({"x": "y" * LIMIT})
    for name, _, method, url in every(world):
        response = operator.generic(method.upper(), url, long, content_type="application/json")
        answered[name] = response.status_code == 413
        assert not answered[name] or is_envelope(response), name
    assert any(answered.values())
    compare(answered, said, "413")


def test_too_many_requests(
    world: World, api: APIClient, operator: APIClient, said: dict[str, dict[str, Any]], settings: Any
) -> None:
    settings.API_THROTTLE_USER = settings.API_THROTTLE_ANON = settings.INBOUND_RATE = "1/min"
    answered = {}
    for name, call, method, url in every(world):
        client = api if call.owner < 300 else operator
        for _ in range(2):
            with transaction.atomic():
                response = client.generic(method.upper(), url, body(call, world), content_type="application/json")
                transaction.set_rollback(True)
        answered[name] = response.status_code == 429
        assert not answered[name] or (is_envelope(response) and int(response["Retry-After"]) > 0), name
    compare(answered, said, "429")


def test_nothing_that_the_caller_takes(world: World, operator: APIClient, said: dict[str, dict[str, Any]]) -> None:
    answered = {}
    for name, call, method, url in every(world):
        response = operator.generic(
            method.upper(), url, body(call, world), content_type="application/json", HTTP_ACCEPT="image/png"
        )
        answered[name] = response.status_code == 406
        assert not answered[name] or is_envelope(response), name
    compare(answered, said, "406")


def test_a_database_that_does_not_answer(
    world: World, operator: APIClient, said: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DRF's own doing is what is tried: where the views' queries fail is their matter."""
    from rest_framework.views import APIView

    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(APIView, "check_throttles", away)
    operator.raise_request_exception = False
    answered = {}
    for name, call, method, url in every(world):
        response = operator.generic(method.upper(), url, body(call, world), content_type="application/json")
        answered[name] = response.status_code == 503
        assert is_envelope(response), name
        assert response["Retry-After"]
    compare(answered, said, "503")


def test_a_method_that_a_path_has_not(world: World, operator: APIClient, said: dict[str, dict[str, Any]]) -> None:
    paths: dict[str, set[str]] = {}
    for name in said:
        method, path = name.split(" ")
        paths.setdefault(path, set()).add(method)
    assert "405" in document()["info"]["description"]
    for path, methods in paths.items():
        call = CALLS[f"{min(methods)} {path}"]
        url = world.path(path, call.params)
        for method in {name.upper() for name in METHODS} - methods - {"HEAD", "OPTIONS"}:
            response = operator.generic(method, url, "{}", content_type="application/json")
            assert response.status_code == 405, (method, path)
            assert is_envelope(response)
            allowed = {one.strip() for one in response["Allow"].split(",")} - {"HEAD", "OPTIONS"}
            assert allowed == methods, path
