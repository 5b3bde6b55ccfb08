"""Tokens."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from automation.models import User
from tests.api.conftest import PASSWORD, client_of, problem_of

URL = "/api/v1/auth/token/"


def test_it_gives_a_token_that_signs_in(anonymous: APIClient, owner: User) -> None:
    response = anonymous.post(URL, {"email": "ADA@example.com", "password": PASSWORD})
    assert response.status_code == 200
    token = response.json()["token"]
    assert response.json() == {"token": token}
    assert anonymous.get("/api/v1/workflows/", HTTP_AUTHORIZATION=f"Token {token}").status_code == 200
    # The same one the next time, so that a second sign-in does not throw the first one out.
    assert anonymous.post(URL, {"email": "ada@example.com", "password": PASSWORD}).json()["token"] == token


@pytest.mark.parametrize(
    ("email", "password"),
    [("ada@example.com", "wrong"), ("nobody@example.com", PASSWORD), ("ada@example.com", f" {PASSWORD}")],
)
def test_it_refuses_wrong_credentials(anonymous: APIClient, owner: User, email: str, password: str) -> None:
    problem_of(anonymous.post(URL, {"email": email, "password": password}), 401, "authentication_failed")


def test_it_refuses_people_who_left(anonymous: APIClient, owner: User) -> None:
    client = client_of(owner)
    owner.is_active = False
    owner.save()
    problem_of(anonymous.post(URL, {"email": owner.email, "password": PASSWORD}), 401, "authentication_failed")
    problem_of(client.get("/api/v1/workflows/"), 401, "authentication_failed")


def test_it_names_what_is_missing(anonymous: APIClient) -> None:
    assert set(problem_of(anonymous.post(URL, {}), 400)["fields"]) == {"email", "password"}


def test_a_stale_token_does_not_stand_in_the_way(anonymous: APIClient, owner: User) -> None:
    body = {"email": owner.email, "password": PASSWORD}
    assert anonymous.post(URL, body, HTTP_AUTHORIZATION="Token stale").status_code == 200
