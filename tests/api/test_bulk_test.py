"""Testing many workflows at once: small ones in the request, large ones on the engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation import clock
from automation.models import (
    Booking,
    BulkTest,
    BulkTestResult,
    EventType,
    ExecutionStatus,
    NotificationLog,
    User,
    Workflow,
    WorkflowExecution,
)
from automation.services import bulk_tests, trials, workflows
from project.celery import app
from tests.api.conftest import NOBODY, booking_of, problem_of

URL = "/api/v1/workflows/bulk-test/"
MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
BROKEN = {**MAIL, "name": "Broken", "message": "{{ attendee_count | date }}"}


@pytest.fixture
def inline() -> Iterator[None]:
    """Messages are carried out where they are sent, at once."""
    import tasks.registry  # noqa: F401

    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def make(owner: User, name: str, *actions: dict[str, Any], **fields: Any) -> Workflow:
    return workflows.create(owner, **{"name": name, "trigger": "booking_created", "actions": actions, **fields})


def many(owner: User, event_type: EventType, count: int = 15) -> list[Booking]:
    """Two workflows, one of which fails, and so many bookings."""
    make(owner, "Good", MAIL, is_active=False)
    make(owner, "Bad", MAIL, BROKEN, is_active=False)
    return [booking_of(event_type) for _ in range(count)]


def ids(*workflows: Workflow) -> list[str]:
    return [str(workflow.pk) for workflow in workflows]


@pytest.mark.django_db
def test_it_answers_at_once_where_there_is_little_to_try(api: APIClient, owner: User) -> None:
    make(owner, "Good", MAIL)
    make(owner, "Bad", MAIL, BROKEN)
    make(owner, "Off", BROKEN, is_active=False)
    response = api.post(URL, {})
    assert response.status_code == 200, response.content
    body = response.json()
    assert (body["id"], body["status"]) == (None, "completed")
    assert (body["total"], body["done"], body["passed"], body["failed"]) == (2, 2, 1, 1)
    bad, good = body["results"]
    assert (bad["workflow_name"], bad["passed"]) == ("Bad", False)
    assert [(action["name"], action["status"]) for action in bad["result"]["actions"]] == [
        ("Mail", "runs"), ("Broken", "fails"),
    ]  # fmt: skip
    assert "no day" in bad["result"]["actions"][1]["problems"][0]["message"]
    assert (good["passed"], good["booking_id"]) == (True, None)
    assert not BulkTest.objects.exists()
    assert mail.outbox == []


@pytest.mark.django_db
def test_it_tries_the_bookings_that_are_named(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, "Good", MAIL, is_active=False)
    bookings = [booking_of(event_type) for _ in range(3)]
    body = {"test_type": "real_data", "workflow_ids": ids(workflow), "booking_ids": [str(b.pk) for b in bookings[:2]]}
    results = api.post(URL, body).json()["results"]
    assert [result["booking_id"] for result in results] == body["booking_ids"]
    newest = api.post(URL, {"test_type": "real_data", "workflow_ids": ids(workflow), "last_bookings": 1}).json()
    assert [result["booking_id"] for result in newest["results"]] == [str(bookings[-1].pk)]


@pytest.mark.django_db(transaction=True)
def test_a_large_one_runs_on_the_engine(api: APIClient, owner: User, event_type: EventType, inline: None) -> None:
    bookings = many(owner, event_type)
    body = {"test_type": "real_data", "last_bookings": 50, "workflow_ids": ids(*Workflow.objects.order_by("name"))}
    response = api.post(URL, body)
    assert response.status_code == 202, response.content
    id_ = response.json()["id"]
    assert response["Location"].endswith(f"{URL}{id_}/")
    progress = api.get(f"{URL}{id_}/").json()
    assert (progress["status"], progress["total"], progress["done"]) == ("completed", 30, 30)
    assert (progress["passed"], progress["failed"]) == (15, 15)
    execution = WorkflowExecution.objects.get()
    assert (execution.queue, str(execution.pk)) == ("estuary-background", progress["execution_id"])
    results = api.get(f"{URL}{id_}/results/?page_size=100").json()
    assert [result["position"] for result in results["results"]] == list(range(30))
    assert {result["booking_id"] for result in results["results"]} == {str(booking.pk) for booking in bookings}
    failed = api.get(f"{URL}{id_}/results/?passed=false").json()
    assert {result["workflow_name"] for result in failed["results"]} == {"Bad"}
    assert api.get(URL).json()["results"][0]["done"] == 30
    assert mail.outbox == []
    assert not NotificationLog.objects.exists()


@pytest.mark.django_db
def test_it_shows_how_far_it_is_and_can_be_stopped(api: APIClient, owner: User, event_type: EventType) -> None:
    many(owner, event_type)
    body = {"test_type": "real_data", "last_bookings": 50, "workflow_ids": ids(*Workflow.objects.order_by("name"))}
    id_ = api.post(URL, body).json()["id"]
    assert api.get(f"{URL}{id_}/").json()["done"] == 0
    assert bulk_tests.run_chunk(id_, 0, 10) == 10
    progress = api.get(f"{URL}{id_}/").json()
    assert (progress["status"], progress["done"], progress["total"]) == ("pending", 10, 30)
    assert api.post(f"{URL}{id_}/stop/").json()["status"] == "cancelled"
    problem_of(api.post(f"{URL}{id_}/stop/"), 409, "conflict")
    assert BulkTestResult.objects.count() == 10


@pytest.mark.django_db
def test_a_chunk_that_runs_again_adds_nothing(api: APIClient, owner: User, event_type: EventType) -> None:
    many(owner, event_type)
    body = {"test_type": "real_data", "last_bookings": 50, "workflow_ids": ids(*Workflow.objects.all())}
    id_ = api.post(URL, body).json()["id"]
    assert [bulk_tests.run_chunk(id_, 0, 5), bulk_tests.run_chunk(id_, 0, 7), bulk_tests.run_chunk(id_, 0, 7)] == [
        5,
        2,
        0,
    ]
    assert BulkTestResult.objects.count() == 7
    assert bulk_tests.run_chunk(NOBODY, 0, 7) == 0


@pytest.mark.django_db
def test_one_pair_that_breaks_keeps_the_others_from_nothing(
    api: APIClient, owner: User, event_type: EventType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bookings = many(owner, event_type)
    body = {"test_type": "real_data", "last_bookings": 50, "workflow_ids": ids(*Workflow.objects.order_by("name"))}
    id_ = api.post(URL, body).json()["id"]
    Workflow.objects.get(name="Bad").delete()
    Booking.objects.filter(pk=bookings[-1].pk).delete()
    real = trials.try_real

    def sometimes(subject: Any, booking: Booking, **options: Any) -> Any:
        if booking.pk == bookings[0].pk:
            raise ZeroDivisionError("odd")
        return real(subject, booking, **options)

    monkeypatch.setattr(trials, "try_real", sometimes)
    assert bulk_tests.run_chunk(id_, 0, 30) == 30
    errors = [result.result.get("error") for result in BulkTestResult.objects.all()]
    assert errors[:15] == ["The workflow has been deleted."] * 15
    assert errors[15] == "The booking has been deleted."
    assert errors[-1] == "ZeroDivisionError: odd"
    assert errors.count(None) == 13


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"test_type": "live_test"}, "test_type"),
        ({"test_type": "real_data"}, "booking_ids"),
        ({"test_type": "real_data", "booking_ids": [NOBODY]}, "booking_ids[0]"),
        ({"test_type": "real_data", "booking_ids": [NOBODY], "last_bookings": 1}, "booking_ids"),
        ({"test_type": "real_data", "last_bookings": 5}, "last_bookings"),
        ({"booking_ids": [NOBODY]}, "booking_ids"),
        ({"workflow_ids": [NOBODY]}, "workflow_ids[0]"),
        ({"workflow_ids": ["x"]}, "workflow_ids[0]"),
        ({"workflow_ids": [NOBODY] * 201}, "workflow_ids"),
    ],
)
def test_it_says_what_is_wrong(api: APIClient, owner: User, body: dict[str, Any], field: str) -> None:
    make(owner, "Good", MAIL)
    error = problem_of(api.post(URL, body), 400, "invalid")
    assert any(name.startswith(field) for name in error["fields"]), error


@pytest.mark.django_db
def test_there_has_to_be_something_to_test(api: APIClient) -> None:
    assert "workflow_ids" in problem_of(api.post(URL, {}), 400)["fields"]


@pytest.mark.django_db
def test_it_is_its_starters_alone(
    api: APIClient, stranger: APIClient, operator: APIClient, owner: User, event_type: EventType
) -> None:
    bookings = many(owner, event_type)
    named = {
        "test_type": "real_data", "workflow_ids": ids(*Workflow.objects.all()),
        "booking_ids": [str(booking.pk) for booking in bookings],
    }  # fmt: skip
    id_ = api.post(URL, named).json()["id"]
    for path in ("", "results/"):
        problem_of(stranger.get(f"{URL}{id_}/{path}"), 404, "not_found")
    problem_of(stranger.post(f"{URL}{id_}/stop/"), 404)
    problem_of(stranger.post(URL, named), 400)
    assert stranger.get(URL).json()["count"] == 0
    assert operator.get(f"{URL}{id_}/").status_code == 200
    assert operator.post(URL, named).status_code == 202


@pytest.mark.django_db
def test_it_takes_no_more_queries_for_more(api: APIClient, owner: User, event_type: EventType) -> None:
    many(owner, event_type)
    counts = []
    for chunk in ((0, 1), (1, 6)):
        id_ = BulkTest.objects.create(
            organizer=owner,
            test_type="real_data",
            workflow_ids=ids(Workflow.objects.get(name="Good")),
            booking_ids=[str(booking.pk) for booking in Booking.objects.all()],
            total=15,
        ).pk
        with CaptureQueriesContext(connection) as queries:
            assert bulk_tests.run_chunk(str(id_), *chunk) == chunk[1] - chunk[0]
        counts.append(len(queries))
    assert counts[0] == counts[1]
    lists = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            api.get(URL)
        lists.append(len(queries))
        BulkTest.objects.create(organizer=owner, test_type="mock_data", workflow_ids=[], booking_ids=[], total=1)
    assert lists[0] == lists[1]


@pytest.mark.django_db
def test_old_ones_are_forgotten(owner: User) -> None:
    for age in (1, 31):
        test = BulkTest.objects.create(
            organizer=owner, test_type="mock_data", workflow_ids=[], booking_ids=[], total=1,
            created_at=clock.now() - dt.timedelta(days=age),
        )  # fmt: skip
        BulkTestResult.objects.create(
            bulk_test=test, position=0, workflow_id=NOBODY, workflow_name="W", passed=True, result={}
        )
    assert bulk_tests.forget_old() == 1
    assert BulkTestResult.objects.count() == 1
    left = bulk_tests.with_progress(BulkTest.objects.all()).get()
    assert bulk_tests.status_of(left, 1) == ExecutionStatus.COMPLETED
    assert bulk_tests.status_of(left, 0) == ExecutionStatus.CANCELLED
