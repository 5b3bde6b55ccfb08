"""Odd bodies for sources, destinations, the new action types, and inbound events: refused or noted, never a 500."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from automation import clock
from automation.actions.config import ActionConfig
from automation.actions.registry import registry
from automation.models import EventType, InboundEvent, InboundSource, User
from automation.providers.schedulers import SCHEDULERS, Unreadable
from automation.rules.fields import sample_context
from tests.api.conftest import problem_of
from tests.api.test_hostile import ODD, ODD_PARAMETERS
from tests.api.test_inbound import NOW, Sender, cal_event, calendly_event, source_of, standard_event

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quiet(settings: Any) -> Iterator[None]:
    settings.API_THROTTLE_USER = settings.INBOUND_RATE = "off"
    clock.hold(NOW.timestamp())
    yield
    clock.let_go()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def with_odd(document: Any, path: tuple[Any, ...], odd: Any) -> Any:
    found = copy.deepcopy(document)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return found


DOCUMENTS = {
    "cal_com": cal_event("BOOKING_RESCHEDULED", rescheduleUid="uid-0"),
    "calendly": calendly_event("invitee.created", old_invitee="x"),
    "standard": standard_event("created"),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_odd_value_in_every_place_of_an_event_is_read_or_refused(kind: str) -> None:
    scheduler = SCHEDULERS[kind]
    for path in places(DOCUMENTS[kind]):
        for odd in ODD:
            document = with_odd(DOCUMENTS[kind], path, odd)
            with contextlib.suppress(Unreadable):
                scheduler.read(document)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_odd_events_are_carried_out_or_noted(owner: User, kind: str) -> None:
    event_type = EventType.objects.create(organizer=owner, name="Call", duration=30)
    sender = Sender(*source_of(owner, kind, default_event_type=event_type))
    for number, path in enumerate(places(DOCUMENTS[kind])):
        odd = ODD[number % len(ODD)]
        answer = sender.post(with_odd(DOCUMENTS[kind], path, odd), id=f"msg_{number}")
        assert answer.status_code in (200, 202, 400, 401), (path, odd, answer.content[:300])
    # None met with an error that nobody had foreseen.
    assert not InboundEvent.objects.filter(status="received").exists()
    assert not InboundEvent.objects.filter(note__contains="Error:").exists()


def test_odd_signatures_are_refused(owner: User) -> None:
    for kind in SCHEDULERS:
        sender = Sender(*source_of(owner, kind))
        body = json.dumps(DOCUMENTS[kind]).encode()
        for name in sender.headers(body, NOW):
            for odd in ("", ",", "t=,v1=", f"t={'9' * 400},v1=x", "t=-1,v1=x", "v1," * 1000, "é", "t=1,v1=\x7f"):
                assert sender.post(DOCUMENTS[kind], **{name: odd}).status_code == 401, (kind, name, odd)


def test_a_body_that_is_not_what_was_signed_is_told_before_it_is_read(owner: User) -> None:
    sender = Sender(*source_of(owner, "cal_com"))
    bomb = b"[" * 1_000_000
    signature = hmac.new(b"other", bomb, hashlib.sha256).hexdigest()
    answer = sender.client.post(
        sender.url, bomb, content_type="application/json", headers={"X-Cal-Signature-256": signature}
    )
    assert answer.status_code == 401


SOURCE: dict[str, Any] = {
    "name": "Cal", "kind": "cal_com", "secret": "long-enough", "event_types": {}, "default_event_type": None,
    "is_active": True,
}  # fmt: skip


def test_odd_sources_and_rates_are_refused_or_harmless(api: APIClient) -> None:
    for name in SOURCE:
        for odd in ODD:
            answer = api.post("/api/v1/inbound-sources/", {**SOURCE, name: odd})
            assert answer.status_code in (201, 400), (name, odd, answer.content[:300])
            if answer.status_code == 400:
                problem_of(answer, 400)
    source = InboundSource.objects.order_by("pk").first()
    assert source is not None
    for odd in ODD:
        for name in ("name", "event_types", "default_event_type", "is_active", "secret", "kind"):
            answer = api.patch(f"/api/v1/inbound-sources/{source.pk}/", {name: odd})
            assert answer.status_code in (200, 400), (name, odd, answer.content[:300])
        for body in ({"secret": odd}, {"overlap_minutes": odd}):
            answer = api.post(f"/api/v1/inbound-sources/{source.pk}/rotate/", body)
            assert answer.status_code in (200, 400), (body, answer.content[:300])
        for body in ({"host": odd, "rate": "1/s"}, {"host": "h", "rate": odd}):
            answer = api.post("/api/v1/destinations/", body)
            assert answer.status_code in (200, 400), (body, answer.content[:300])
    for resource in ("inbound-sources", "destinations", "events"):
        for name in ("page", "search", "ordering", "status", "source", "state", "kind", "booking", "received_after"):
            for value in ODD_PARAMETERS:
                answer = api.get(f"/api/v1/{resource}/?{name}={value}")
                assert answer.status_code in (200, 400, 404), (resource, name, value, answer.content[:300])


@pytest.mark.parametrize("name", ["run_workflow", "slack_message"])
def test_odd_settings_of_actions_are_problems_and_no_errors(name: str, owner: User) -> None:
    kind = registry.get(name)
    for odd in ODD:
        settings = {"workflow": "flows_order", "input": {"url": "x"}, "id": "i", "queue": "q"}
        variants: list[Any] = [odd, *({**settings, key: odd} for key in settings)]
        variants += [{**settings, "input": {"url": odd}}, {**settings, "input": {"url": {"expr": odd}}}]
        for config in variants:
            action = ActionConfig(action_type=name, message="x", config=config)
            kind.validate(action)
            kind.preview(sample_context(), action)
            kind.objection(owner, action)
