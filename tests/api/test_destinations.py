"""Destinations in the API: what is wrong where, rates, replays; and nobody else's."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation.models import Alert, CircuitState, Destination, EventType, HeldCall, HeldState, StepStatus, User
from tests.api.conftest import booking_of, execution_of, problem_of, workflow_of

pytestmark = pytest.mark.django_db
URL = "/api/v1/destinations/"


def held(owner: User, state: HeldState, cause: str, host: str = "hooks.example.com") -> HeldCall:
    event_type = EventType.objects.filter(organizer=owner).first() or EventType.objects.create(
        organizer=owner, name="Call", duration=30
    )
    workflow = owner.workflows.first() or workflow_of(owner)
    execution = execution_of(workflow, booking=booking_of(event_type), status="failed")
    execution.steps.update(status=StepStatus.FAILED, resolved_seq=1)
    row, _ = Destination.objects.get_or_create(organizer=owner, host=host, defaults={"state": CircuitState.OPEN})
    return HeldCall.objects.create(
        destination=row, execution=execution, step_seq=execution.steps.get().seq, state=state, cause=cause, message="m"
    )


def test_it_shows_what_waits_and_has_failed_by_cause(api: APIClient, owner: User) -> None:
    for state, cause in (
        (HeldState.FAILED, "HTTP 503"),
        (HeldState.FAILED, "HTTP 503"),
        (HeldState.HELD, "HTTP 503"),
        (HeldState.FAILED, "no answer"),
    ):
        call = held(owner, state, cause)
    [listed] = api.get(URL).json()["results"]
    assert (listed["host"], listed["state"], listed["waiting"], listed["failed"]) == ("hooks.example.com", "open", 1, 3)
    causes = api.get(f"{URL}{call.destination_id}/").json()["causes"]
    assert [(one["cause"], one["failed"], one["waiting"], one["example"]) for one in causes] == [
        ("HTTP 503", 2, 1, "m"),
        ("no answer", 1, 0, "m"),
    ]


def test_it_replays_one_cause_or_all(api: APIClient, owner: User) -> None:
    first, second = held(owner, HeldState.FAILED, "HTTP 503"), held(owner, HeldState.FAILED, "no answer")
    Alert.objects.create(kind="circuit_mended", key=str(first.destination_id), message="back")
    path = f"{URL}{first.destination_id}/replay/"
    refused = api.post(path, {"cause": "HTTP 500"})
    assert refused.status_code == 400
    assert "there are: HTTP 503, no answer" in refused.json()["error"]["message"]
    answer = api.post(path, {"cause": "HTTP 503"})
    assert (answer.status_code, answer.json()) == (202, {"count": 1})
    assert Alert.objects.get().closed_at is None
    assert api.post(path).json() == {"count": 1}
    assert Alert.objects.get().closed_at is not None
    for call in (first, second):
        call.refresh_from_db()
        assert (call.state, call.execution.status) == (HeldState.RETRYING, "running")


def test_what_cannot_be_replayed_stays_failed_and_says_why(api: APIClient, owner: User) -> None:
    call, other = held(owner, HeldState.FAILED, "HTTP 503"), held(owner, HeldState.FAILED, "HTTP 503")
    type(call.execution).objects.filter(pk=call.execution_id).update(status="terminated")
    assert api.post(f"{URL}{call.destination_id}/replay/").json() == {"count": 2}
    call.refresh_from_db()
    other.refresh_from_db()
    assert (call.state, other.state) == (HeldState.FAILED, HeldState.RETRYING)
    assert "It could not be replayed" in call.message


def test_a_circuit_is_closed_by_hand(api: APIClient, owner: User) -> None:
    call = held(owner, HeldState.HELD, "HTTP 503")
    Alert.objects.create(kind="circuit", key=str(call.destination_id), message="away")
    answer = api.post(f"{URL}{call.destination_id}/close/")
    assert answer.json()["state"] == "closed"
    assert Alert.objects.get().closed_at is not None
    call.refresh_from_db()
    assert call.state == HeldState.RETRYING


@pytest.mark.parametrize(("rate", "code"), [("60/min", 200), ("off", 200), ("", 200), ("fast", 400), ("0/s", 400)])
def test_a_host_is_given_a_rate(api: APIClient, owner: User, rate: str, code: int) -> None:
    answer = api.post(URL, {"host": "Hooks.example.com", "rate": rate})
    assert answer.status_code == code, answer.json()
    if code == 200:
        row = Destination.objects.get()
        assert (row.organizer, row.host, row.rate) == (owner, "hooks.example.com", rate)
        assert api.post(URL, {"rate": rate}).json()["host"] == ""
    else:
        assert "rate" in answer.json()["error"]["fields"]
        assert not Destination.objects.exists()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" Hooks.Example.com:443 ", "hooks.example.com"),
        ("hooks.example.com:8443", "hooks.example.com:8443"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("https://hooks.example.com", None),
        ("hooks.example.com/path", None),
        ("user@hooks.example.com", None),
        ("two words", None),
        ("hooks.example.com:port", None),
    ],
)
def test_a_host_is_kept_as_calls_name_it(api: APIClient, given: str, kept: str | None) -> None:
    answer = api.post(URL, {"host": given, "rate": "1/s"})
    if kept is not None:
        assert (answer.status_code, answer.json()["host"]) == (200, kept)
    else:
        assert "expected one such as" in problem_of(answer, 400, "invalid")["fields"]["host"][0]
        assert not Destination.objects.exists()


def test_strangers_see_nothing(api: APIClient, stranger: APIClient, operator: APIClient, owner: User) -> None:
    call = held(owner, HeldState.FAILED, "HTTP 503")
    path = f"{URL}{call.destination_id}/"
    assert stranger.get(URL).json()["count"] == 0
    assert stranger.get(path).status_code == 404
    assert stranger.post(f"{path}replay/").status_code == 404
    assert stranger.post(f"{path}close/").status_code == 404
    assert operator.get(path).status_code == 200


def test_the_list_takes_a_constant_number_of_queries(api: APIClient, owner: User) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(URL).status_code == 200
        return len(queries)

    held(owner, HeldState.FAILED, "x")
    count()
    one = count()
    for number in range(5):
        held(owner, HeldState.FAILED, "x", f"h{number}.example.com")
    assert count() == one
