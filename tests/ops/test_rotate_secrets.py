"""Rotating keys: everything that is stored under the old one, in batches, as often as one likes."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from automation import secrets
from automation.models import InboundSource, User, Workflow, WorkflowAction, WorkflowDraft, WorkflowVersion
from automation.services import inbound_sources, secret_rotation, versions, workflows

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
HOOK = {"action_type": "webhook", "webhook_url": "https://x.example/hook"}


@pytest.fixture
def stored(settings: Any) -> list[str]:
    """Three workflows with a secret each, a draft, a version of before, and two sources; the plain texts."""
    settings.ENCRYPTION_KEYS = [OLD]
    user = User.objects.create_user("ada@example.com")
    plain = [secrets.new_webhook_secret() for _ in range(3)]
    for number, secret in enumerate(plain):
        workflow = workflows.create(
            user, name=f"W{number}", trigger="booking_created", actions=[{**HOOK, "webhook_secret": secret}]
        )
    WorkflowDraft.objects.create(workflow=workflow, content=versions.snapshot(workflow), base_version=1)
    workflows.update(workflow, name="Renamed")
    for kind in ("cal_com", "standard"):
        source, secret = inbound_sources.create(user, name=kind, kind=kind)
        plain += [secret, inbound_sources.rotate(source)]
    return plain


def rotate(*args: str) -> dict[str, Any]:
    out = StringIO()
    call_command("rotate_secrets", "--json", *args, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def readable() -> list[str]:
    """What the keys of now open, in all places."""
    found = [secrets.decrypt(action.webhook_secret_encrypted) for action in WorkflowAction.objects.order_by("pk")]
    for document in (
        *WorkflowVersion.objects.order_by("pk").values_list("snapshot", flat=True),
        *WorkflowDraft.objects.values_list("content", flat=True),
    ):
        found += [secrets.decrypt(action["webhook_secret_encrypted"]) for action in document["actions"]]
    for source in InboundSource.objects.order_by("pk"):
        found += [secrets.decrypt(source.secret_encrypted), secrets.decrypt(source.former_secret_encrypted)]
    return found


@pytest.mark.parametrize("batch", ["1", "2", "200"])
def test_everything_is_readable_without_the_old_key_afterwards(stored: list[str], settings: Any, batch: str) -> None:
    before = readable()
    assert set(before) == set(stored)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert rotate("--batch", batch) == {"rotated": 12, "current": 0, "broken": []}
    settings.ENCRYPTION_KEYS = [NEW]
    assert readable() == before


def test_a_dry_run_counts_and_changes_nothing(stored: list[str], settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert rotate("--dry-run")["rotated"] == 12
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(secrets.CannotDecrypt):
        readable()


def test_an_interrupted_run_is_repeated(stored: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    left = 5

    def dying(text: str) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real(text)

    real = secrets.rotate
    with monkeypatch.context() as patch:
        patch.setattr(secrets, "rotate", dying)
        with pytest.raises(KeyboardInterrupt):
            rotate()
    found = rotate()
    assert found["current"] > 0
    assert found["rotated"] + found["current"] == 12
    assert rotate() == {"rotated": 0, "current": 12, "broken": []}


def test_a_rotation_makes_no_version_and_plans_nothing_anew(stored: list[str], settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    Workflow.objects.update(plan_due=None)
    numbers = list(Workflow.objects.order_by("pk").values_list("version", flat=True))
    rotate()
    for workflow in Workflow.objects.all():
        versions.publish(workflow)
    assert list(Workflow.objects.order_by("pk").values_list("version", flat=True)) == numbers
    assert not Workflow.objects.exclude(plan_due=None).exists()


def test_what_no_key_opens_is_named_and_keeps_nothing_else_from_it(stored: list[str], settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    source = InboundSource.objects.order_by("pk").first()
    assert source is not None
    InboundSource.objects.filter(pk=source.pk).update(secret_encrypted="nonsense")
    out = StringIO()
    with pytest.raises(CommandError, match="1 secrets cannot be read"):
        call_command("rotate_secrets", stdout=out)
    assert f"InboundSource {source.pk}: secret_encrypted" in out.getvalue()
    assert "11 encrypted anew" in out.getvalue()


def test_a_secret_that_changes_meanwhile_is_not_overwritten(
    stored: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    real = secrets.rotate

    def somebody_else(text: str) -> str:
        InboundSource.objects.update(secret_encrypted=secrets.encrypt("changed meanwhile"))
        return real(text)

    monkeypatch.setattr(secrets, "rotate", somebody_else)
    rotate()
    assert {secrets.decrypt(one.secret_encrypted) for one in InboundSource.objects.all()} == {"changed meanwhile"}


def test_other_apps_columns_are_found_by_their_name() -> None:
    found = {f"{model._meta.label}.{name}" for model, names in secret_rotation.columns() for name in names}
    assert {"automation.InboundSource.secret_encrypted", "automation.InboundSource.former_secret_encrypted"} <= found
