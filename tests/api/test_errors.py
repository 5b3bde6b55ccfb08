"""Every error comes in one envelope."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from django.test import Client, override_settings
from rest_framework.test import APIClient

from automation.api import problems
from automation.api.views.event_types import EventTypeViewSet
from automation.errors import Conflict
from automation.models import User
from tests.api.conftest import NOBODY, PASSWORD, problem_of

URL = "/api/v1/event-types/"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_it_answers_unknown_paths(anonymous: APIClient, method: str) -> None:
    problem = problem_of(getattr(anonymous, method)("/api/v1/nothing/"), 404, "not_found")
    assert "/api/v1/nothing/" in problem["message"]
    problem_of(getattr(anonymous, method)("/api/"), 404, "not_found")
    problem_of(getattr(anonymous, method)("/api/v2/workflows/"), 404, "not_found")


def test_it_redirects_a_read_without_the_slash_and_names_it_for_a_write(api: APIClient) -> None:
    response = api.get(f"{URL[:-1]}?search=a")
    assert (response.status_code, response["Location"]) == (301, f"{URL}?search=a")
    assert f"Did you mean {URL}" in problem_of(api.post(URL[:-1], {}), 404)["message"]


@pytest.mark.parametrize("id", ["not-a-uuid", "1", "%00", "..%2f", "0197f3c2", "٣", "-1", "9" * 300])
def test_it_answers_bad_ids_with_404(api: APIClient, id: str) -> None:
    for resource in ("event-types", "bookings", "workflows", "executions", "workflows/actions"):
        problem_of(api.get(f"/api/v1/{resource}/{id}/"), 404, "not_found")


def test_it_names_what_was_not_found(api: APIClient) -> None:
    problem = problem_of(api.get(f"{URL}{NOBODY}/"), 404, "not_found")
    assert problem["message"] == f"There is no event type {NOBODY}, or it belongs to somebody else."


def test_it_answers_wrong_methods(api: APIClient) -> None:
    response = api.put(URL, {})
    problem_of(response, 405, "method_not_allowed")
    assert "GET" in response["Allow"]
    assert api.options(URL).json() == {"methods": ["GET", "POST", "HEAD", "OPTIONS"]}
    problem_of(api.generic("TRACE", URL), 405)
    problem_of(api.generic("BREW", URL), 405)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "é"])
def test_it_answers_other_media_types(api: APIClient, content_type: str) -> None:
    problem_of(api.generic("POST", URL, b"name=a", content_type=content_type), 415, "unsupported_media_type")


def test_it_answers_what_it_cannot_write(api: APIClient) -> None:
    problem_of(api.get(URL, HTTP_ACCEPT="application/xml"), 406, "not_acceptable")


@pytest.mark.parametrize("body", [b"{", b"", b"nope", b'{"a":}', b"\xff\xfe", b'{"a": NaN}', b"[1,]", b'{"a": 1e999}'])
def test_it_answers_broken_json(api: APIClient, body: bytes) -> None:
    response = api.generic("POST", URL, body or b" ", content_type="application/json")
    assert "JSON" in problem_of(response, 400, "parse_error")["message"]


def test_it_answers_an_empty_body(api: APIClient) -> None:
    response = api.generic("POST", URL, b"", content_type="application/json")
    assert set(problem_of(response, 400, "invalid")["fields"]) == {"name", "duration"}


def test_it_answers_anonymous_callers(anonymous: APIClient) -> None:
    response = anonymous.get(URL)
    problem_of(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize("token", ["x", "Token", "0" * 40, "\x00" * 40, "é" * 40, "0" * 10_000, "a b"])
def test_it_answers_bad_tokens(anonymous: APIClient, token: str) -> None:
    problem_of(anonymous.get(URL, HTTP_AUTHORIZATION=f"Token {token}"), 401, "authentication_failed")


def test_it_answers_a_session_cookie_with_nul(anonymous: APIClient) -> None:
    anonymous.cookies["sessionid"] = "abcdefgh\x00ijkl"
    problem_of(anonymous.get(URL), 401, "not_authenticated")


def test_it_checks_csrf_for_sessions(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.login(email=owner.email, password=PASSWORD)
    assert client.get(URL).status_code == 200
    response = client.post(URL, {"name": "a", "duration": 1}, content_type="application/json")
    assert "CSRF" in problem_of(response, 403, "permission_denied")["message"]


@override_settings(API_THROTTLE_ANON="2/min", API_THROTTLE_USER="3/min")
def test_it_throttles(anonymous: APIClient, api: APIClient) -> None:
    credentials = {"email": "ada@example.com", "password": "wrong"}
    for _ in range(2):
        problem_of(anonymous.post("/api/v1/auth/token/", credentials), 401)
    # Another address in a header that anybody can write does not help.
    response = anonymous.post("/api/v1/auth/token/", credentials, HTTP_X_FORWARDED_FOR="10.9.8.7")
    problem_of(response, 429, "throttled")
    assert 0 < int(response["Retry-After"]) <= 60
    assert [api.get(URL).status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (RuntimeError("password=hunter2"), 500, "internal"),
        (OperationalError("no route to host"), 503, "unavailable"),
        (IntegrityError("duplicate key"), 409, "conflict"),
        (Conflict("Not now.", {"state": ["No."]}), 409, "conflict"),
        (PermissionError("hunter2"), 500, "internal"),
        (RecursionError("hunter2"), 500, "internal"),
    ],
)
def test_it_answers_what_nobody_foresaw(
    owner: User, monkeypatch: pytest.MonkeyPatch, raised: Exception, status: int, code: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise raised

    monkeypatch.setattr(EventTypeViewSet, "list", fail)
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(owner)
    response = client.get(URL)
    problem = problem_of(response, status, code)
    assert "hunter2" not in response.content.decode()
    if isinstance(raised, Conflict):
        assert problem == {"code": "conflict", "message": "Not now. state: No.", "fields": {"state": ["No."]}}


def test_it_answers_what_django_refuses_before_any_view(anonymous: APIClient) -> None:
    problem_of(anonymous.get(URL, HTTP_HOST="evil.example"), 400, "invalid")


def test_it_leaves_other_pages_to_django(anonymous: APIClient) -> None:
    response = anonymous.get("/nothing/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_it_flattens_nested_problems() -> None:
    detail = {
        "actions": [{}, {"name": ["Required."], "conditions": {"non_field_errors": ["Odd."]}}],
        "event_types": {1: ["Not found."]},
        "non_field_errors": ["Altogether wrong."],
    }
    assert problems.flatten(detail) == {
        "actions[1].name": ["Required."],
        "actions[1].conditions": ["Odd."],
        "event_types[1]": ["Not found."],
        "non_field_errors": ["Altogether wrong."],
    }
    assert problems.summary(problems.flatten(detail)) == "actions[1].name: Required. (and 3 more)"
