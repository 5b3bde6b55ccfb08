"""The admin's pages of practitioners, streams, rooms and operations open, search and show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from automation import clock
from automation.domains.ops.models import Backup, Monitor, PlanCommand, PlanRun
from automation.domains.practitioner.models import (
    BackgroundCheck,
    Document,
    OnboardingPart,
    Practitioner,
    TrainingCompletion,
    TrainingModule,
)
from automation.domains.room.models import Room
from automation.domains.stream.models import Stream, StreamParticipant, StreamRecording
from automation.models import User
from automation.secrets import encrypt

PAGES = (Practitioner, TrainingModule, Stream, Room, Backup, Monitor, PlanRun)
HISTORY = (Backup, Monitor, PlanRun)


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "x"))
    return client


@pytest.fixture
def rows(db: None) -> dict[type[Model], Model]:
    """One row of every model that has a page, with what its page shows beside it."""
    now = clock.now()
    user = User.objects.create_user("prue@example.com")
    person = Practitioner.objects.create(user=user)
    module = TrainingModule.objects.create(code="safety", title="Safety")
    Document.objects.create(practitioner=person, kind="identity", reference="s3://papers/1")
    BackgroundCheck.objects.create(practitioner=person)
    TrainingCompletion.objects.create(practitioner=person, module=module)
    OnboardingPart.objects.create(practitioner=person, part="profile")
    stream = Stream.objects.create(title="Yoga", host=user, starts_at=now, ends_at=now + timedelta(hours=1))
    StreamParticipant.objects.create(
        stream=stream, name="Ada", email="ada@example.com", token_encrypted=encrypt("the-token")
    )
    StreamRecording.objects.create(stream=stream, provider_id="r-1", status="finished", started_at=now)
    plan = PlanRun.objects.create(key="k", kind="deployment", name="web", runner="local")
    PlanCommand.objects.create(run=plan, step="release", phase="run", argv=["true"], exit_code=0, seconds=0.1)
    made: list[Model] = [
        *(person, module, stream, plan),
        Room.objects.create(name="weir-1"),
        Backup.objects.create(key="k", vendor="sqlite", database="x"),
        Monitor.objects.create(url="https://example.com/"),
    ]
    return {type(row): row for row in made}


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def test_every_page_is_tested(rows: dict[type[Model], Model]) -> None:
    labels = {model._meta.app_label for model in PAGES}
    assert {model for model in admin.site._registry if model._meta.app_label in labels} == set(PAGES) == set(rows)


@pytest.mark.parametrize("model", PAGES)
def test_every_page_opens_and_searches(root: Client, rows: dict[type[Model], Model], model: type[Model]) -> None:
    row = rows[model]
    for query in ("", "?q=yoga"):
        assert root.get(f"{page(model, 'changelist')}{query}").status_code == 200
    shown = root.get(page(model, "change", row.pk))
    assert shown.status_code == 200
    assert "the-token" not in shown.content.decode()


@pytest.mark.parametrize("model", HISTORY)
def test_history_is_not_edited(root: Client, rows: dict[type[Model], Model], model: type[Model]) -> None:
    pk = rows[model].pk
    assert root.get(page(model, "add")).status_code == 403
    assert root.post(page(model, "change", pk), {}).status_code == 403
    assert root.post(page(model, "delete", pk), {"post": "yes"}).status_code == 403


def test_documents_are_reviewed_here(root: Client, rows: dict[type[Model], Model]) -> None:
    person = rows[Practitioner]
    html = root.get(page(Practitioner, "change", person.pk)).content.decode()
    assert "s3://papers/1" in html
    assert root.get(page(Room, "add")).status_code == 403, "rooms are made by workflows"
