"""Secrets are put in every place that takes one, everything is made to happen, and then nothing shows them: no answer
of the API, no page of the admin, no line of a log, no row."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.test import APIClient

from automation import clock, secrets
from automation.models import (
    Booking,
    Destination,
    EventType,
    ExecutionStep,
    InboundEvent,
    NotificationLog,
    User,
    WorkflowExecution,
)
from automation.services import destinations
from tests.api.conftest import PASSWORD, client_of
from tests.support.carrier import carrying
from tests.support.receiver import HttpReceiver, Reply
from tests.support.rows import clear

pytestmark = pytest.mark.django_db(transaction=True)

IN_DATA = "data-s3cr3t-kept-by-the-receiver"
CAL = "cal-s3cr3t-shared-with-a-scheduler"


class World:
    """An organizer for whom everything has happened once."""

    def __init__(self, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        self.owner = User.objects.create_superuser("ada@example.com", PASSWORD)
        self.api = client_of(self.owner)
        self.signing = secrets.new_webhook_secret()
        self.slack = receiver.url("/services/T0/B0/slack-s3cr3t-of-a-channel")
        self.inbound = ""
        self.answers: list[str] = []

    @property
    def known(self) -> list[str]:
        """What must not be seen; for the signing secret and the URL, the parts that matter."""
        return [
            self.signing.removeprefix("whsec_")[:30],
            "slack-s3cr3t-of-a-channel"[:20],
            CAL[:20],
            self.inbound.removeprefix("whsec_")[:30],
        ]

    def ask(self, method: str, path: str, body: Any = None, *, shows_its_own: bool = False) -> Any:
        response = getattr(self.api, method)(f"/api/v1/{path}", body)
        assert response.status_code < 500, (path, response.content)
        if not shows_its_own:
            self.answers.append(response.content.decode())
        return response.json() if response["Content-Type"] == "application/json" else None

    def live(self) -> None:
        event_type = EventType.objects.create(organizer=self.owner, name="Call", slug="call", duration=30)
        hook = {"action_type": "webhook", "webhook_url": self.receiver.url("/hook"), "webhook_secret": self.signing}
        actions = [
            {**hook, "name": "Hook", "webhook_data": {"api_key": IN_DATA}},
            {**hook, "name": "Gone", "webhook_url": self.receiver.url("/gone")},
            {"action_type": "slack_message", "name": "Slack", "message": "Hi", "webhook_secret": self.slack},
            {"action_type": "slack_message", "name": "Bad", "message": "Hi", "webhook_secret": self.slack + "/bad"},
        ]
        flow = self.ask("post", "workflows/", {"name": "Flow", "trigger": "booking_created", "actions": actions})
        path = f"workflows/{flow['id']}/"
        self.ask("patch", path, {"description": "changed"})
        self.ask("post", f"{path}actions/", {"action_type": "slack_message", "message": "x", "webhook_secret": "s3"})
        self.ask("post", f"{path}validate/")
        self.ask("post", f"{path}duplicate/")
        self.receiver.on("/gone", Reply(status=410))
        self.receiver.on("/services/T0/B0/slack-s3cr3t-of-a-channel/bad", Reply(status=404, body=b"no_service"))
        with carrying() as carrier:
            booking = {"invitee_name": "José", "invitee_email": "jose@example.com", "start_time": "2031-01-01T10:00Z"}
            made = self.ask("post", "bookings/", {**booking, "event_type": str(event_type.pk)})
            carrier.finish()
            self.ask("post", f"{path}test/", {"test_type": "mock_data"})
            self.ask("post", f"{path}test/", {"test_type": "real_data", "booking_id": made["id"]})
            self.ask("post", f"{path}backtest/", {})
            self._take_in(event_type)
            destinations.replay(Destination.objects.get().pk)
            carrier.finish()

    def _take_in(self, event_type: EventType) -> None:
        body = {"name": "Cal", "kind": "cal_com", "secret": CAL, "default_event_type": str(event_type.pk)}
        source = self.ask("post", "inbound-sources/", body, shows_its_own=True)
        rotated = self.ask("post", f"inbound-sources/{source['id']}/rotate/", {}, shows_its_own=True)
        self.inbound = rotated["secret"]
        data = json.dumps({"triggerEvent": "PING", "createdAt": clock.now().isoformat(), "payload": {}}).encode()
        for secret in (CAL, self.inbound, "wrong"):
            signature = hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()
            answer = APIClient().post(
                f"/api/v1/inbound/{source['id']}/",
                data,
                content_type="application/json",
                headers={"X-Cal-Signature-256": signature},
            )
            self.answers.append(answer.content.decode())


@pytest.fixture
def world(http_receiver: HttpReceiver, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    caplog.set_level(logging.DEBUG)
    found = World(http_receiver)
    found.live()
    yield found
    clear()


def api_paths() -> list[str]:
    """Every path of the API, with its parameters as `<uuid:pk>`."""

    def walk(patterns: Any, prefix: str) -> Iterator[str]:
        for one in patterns:
            if isinstance(one, URLResolver):
                yield from walk(one.url_patterns, prefix + str(one.pattern))
            elif isinstance(one, URLPattern):
                yield prefix + str(one.pattern)

    return sorted({path for path in walk(get_resolver().url_patterns, "") if path.startswith("api/v1/")})


def filled(path: str, ids: dict[str, list[str]]) -> list[str]:
    """The path with every parameter given: those of uuid type get each id there is, of whatever it is."""
    if "<" not in path:
        return [path]
    kinds = re.findall(r"<(\w+):", path)
    if kinds == ["uuid"]:
        return [re.sub(r"<[^>]+>", id, path) for group in ids.values() for id in group[:6]]
    if kinds == ["uuid", "int"]:
        return [re.sub(r"<int:[^>]+>", "1", re.sub(r"<uuid:[^>]+>", id, path)) for id in ids["workflow"]]
    return []


def assert_hidden(world: World, text: str, where: str, *, data_too: bool = False) -> None:
    for secret in world.known + ([IN_DATA] if data_too else []):
        assert secret not in text, f"{where} shows {secret[:8]}…"


def test_nothing_shows_a_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert len(set(world.known)) == 4
    assert all(len(secret) >= 20 for secret in world.known)
    sent = [request.path for request in world.receiver.requests]
    assert {"/hook", "/gone", "/services/T0/B0/slack-s3cr3t-of-a-channel"} <= set(sent)
    assert json.dumps({"api_key": IN_DATA})[1:-1] in json.dumps(world.receiver.to("/hook")[0].json)

    for number, answer in enumerate(world.answers):
        assert_hidden(world, answer, f"answer {number}")

    ids: dict[str, list[str]] = {}
    for model in apps.get_app_config("automation").get_models():
        if isinstance(model._meta.pk, models.UUIDField):
            ids[model._meta.model_name or ""] = [str(pk) for pk in model._base_manager.values_list("pk", flat=True)]
    found = 0
    for path in api_paths():
        for address in filled(path, ids):
            response = world.api.get(f"/{address}")
            found += response.status_code == 200
            # The organizer's own configuration shows what they wrote into it; what was sent does not.
            history = re.search(r"/(executions|steps|notifications|timeline|events|audit)/", f"/{address}")
            content = b"".join(response) if response.streaming else response.content
            assert_hidden(world, content.decode(), address, data_too=history is not None)
    assert found > 40

    browser = Client()
    assert browser.login(email="ada@example.com", password=PASSWORD)
    pages = 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses = [reverse(f"{name}_changelist")]
        addresses += [reverse(f"{name}_change", args=[row.pk]) for row in model._base_manager.all()[:20]]
        for address in addresses:
            response = browser.get(address)
            pages += response.status_code == 200
            history = model in (WorkflowExecution, ExecutionStep, NotificationLog, InboundEvent, Booking)
            assert_hidden(world, response.content.decode(), address, data_too=history)
    assert pages > 40

    for record in caplog.records:
        assert_hidden(world, f"{record.getMessage()} {record.exc_text or ''}", f"the log of {record.name}")

    # At rest: no column of any row, except for what the organizer wrote into the action, and the bytes to be sent.
    for model in apps.get_models():
        for row in model._base_manager.all():
            for one in model._meta.concrete_fields:
                assert_hidden(world, str(getattr(row, one.attname)), f"{model._meta.label}.{one.attname}")
    for step in ExecutionStep.objects.all():
        text = f"{step.input}{step.output}{step.failure}{step.heartbeat}{step.options}"
        assert_hidden(world, text, f"step {step}", data_too=True)


def test_commands_show_no_secret(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for execution in WorkflowExecution.objects.all():
        call_command("executions", "show", str(execution.pk))
    call_command("rotate_secrets", "--dry-run")
    call_command("workflow_stats")
    assert_hidden(world, capsys.readouterr().out, "a command", data_too=True)


def test_masks_say_little() -> None:
    assert secrets.mask("short-secret") == secrets.MASK
    assert secrets.mask("whsec_" + "a" * 40).endswith("aaaa")
    assert secrets.masked({"api_key": "x", "deep": [{"Password": 1, "name": "n"}]}) == {
        "api_key": secrets.MASK,
        "deep": [{"Password": secrets.MASK, "name": "n"}],
    }
