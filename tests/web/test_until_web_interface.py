"""The links to workflows and executions in mails and results lead to what there is, for those who may see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client

from automation.models import User, WorkflowExecution
from tests.automation.factories import make_organizer, make_workflow

PASSWORD = "correct horse"  # (a test's)


@pytest.fixture(autouse=True)
def fresh(db: None) -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def organizer() -> User:
    organizer = make_organizer()
    organizer.set_password(PASSWORD)
    organizer.save()
    return organizer


@pytest.fixture(params=["workflow", "execution"])
def link(request: pytest.FixtureRequest, organizer: User) -> str:
    """The path of a row that a message links to."""
    workflow = make_workflow("booking_created", organizer)
    if request.param == "workflow":
        return f"/workflows/{workflow.pk}/"
    return f"/executions/{WorkflowExecution.objects.create(workflow=workflow, organizer=organizer).pk}/"


def test_an_organizer_signs_in_and_gets_to_the_api(link: str, organizer: User) -> None:
    client = Client(enforce_csrf_checks=True)
    asked = client.get(link, follow=True)
    assert asked.redirect_chain == [(f"/sign-in/?next={link}", 302)]
    fields = {
        "username": "OLGA@example.com",
        "password": PASSWORD,
        "next": link,
        "csrfmiddlewaretoken": client.cookies["csrftoken"].value,
    }
    answer = client.post("/sign-in/", fields, follow=True)
    assert [target for target, _ in answer.redirect_chain] == [link, f"/api/v1{link}"]
    assert answer.status_code == 200
    assert answer.json()["id"] in link


def test_staff_get_to_the_admin_where_they_may(link: str) -> None:
    member = User.objects.create_user("staff@example.com", is_staff=True)
    client = Client()
    client.force_login(member)
    assert client.get(link)["Location"] == f"/api/v1{link}"
    member.user_permissions.set(Permission.objects.filter(codename__in=("view_workflow", "view_workflowexecution")))
    answer = client.get(link, follow=True)
    assert answer.status_code == 200
    assert answer.redirect_chain[-1][0].startswith("/admin/automation/workflow")


def test_to_a_stranger_it_is_not_there(link: str) -> None:
    client = Client()
    client.force_login(make_organizer("other@example.com"))
    assert client.get(link).status_code == 404
    assert client.post(link).status_code == 405


def test_a_wrong_password_is_said_and_other_sites_are_not_led_to(organizer: User) -> None:
    client = Client()
    answer = client.post("/sign-in/", {"username": '"><b>', "password": "x", "next": "//evil.example/"})
    page = answer.content.decode()
    assert "do not go together" in page
    assert "<b>" not in page
    assert "evil" not in page
    assert "script" not in answer["Content-Security-Policy"]
    fields = {"username": organizer.email, "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/sign-in/", fields)["Location"] == "/"
    for odd in ("\x00", "a" * 5000):
        assert client.post("/sign-in/", {"username": odd, "password": odd}).status_code == 200


def test_guessing_passwords_is_slow(organizer: User, settings: Any) -> None:
    settings.API_THROTTLE_ANON = "2/min"
    answers = [Client().post("/sign-in/", {"username": organizer.email, "password": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize("path", ["/workflows/0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10/", "/sign-in/", "/admin/"])
def test_a_cookie_that_no_row_can_hold_is_nobody_s(path: str) -> None:
    client = Client()
    client.cookies["sessionid"] = "abcdefgh\x00ijkl"
    assert client.get(path).status_code in (200, 302)
    assert client.post("/sign-in/", {"username": "x", "password": "x"}).status_code == 200
