"""The admin's pages of booking, payment and shared open, and history cannot be edited."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from automation.domains.booking.models import SessionMessage
from automation.domains.payment import ledger
from automation.domains.payment.models import LedgerEntry, Payment, Transaction
from automation.domains.shared.models import Event
from automation.models import User
from tests.domains.booking import factories as booking
from tests.domains.payment import factories as payment

PAGES = [model for model in admin.site._registry if model._meta.app_label in ("booking", "payment", "shared")]


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com", "a long password"))
    return client


def page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.fixture
def rows(db: None) -> dict[type[Model], Model]:
    session = booking.session()
    made: list[Model] = [
        payment.payment(),
        payment.subscription(),
        payment.package(payment.payment(), 2),
        ledger.post("k", "EUR", {"a": Decimal(1), "b": Decimal(-1)}),
        SessionMessage.objects.create(booking=session, sequence=0, kind="survey", role="invitee", key="k"),
        Event.objects.create(key="k", name="lesson_given"),
    ]
    return {type(row): row for row in made}


def test_there_are_pages() -> None:
    assert len(PAGES) >= 20


@pytest.mark.parametrize("model", PAGES, ids=lambda model: model.__name__)
def test_every_list_opens_and_is_searched(root: Client, rows: object, model: type[Model]) -> None:
    for query in ("", "?q=ada"):
        assert root.get(page(model, "changelist") + query).status_code == 200


def test_rows_are_shown(root: Client, rows: dict[type[Model], Model]) -> None:
    for model, row in rows.items():
        assert root.get(page(model, "change", row.pk)).status_code == 200, model


@pytest.mark.parametrize("model", [LedgerEntry, SessionMessage, Event])
def test_history_is_not_edited(root: Client, rows: dict[type[Model], Model], model: type[Model]) -> None:
    row = rows[model]
    assert root.get(page(model, "add")).status_code == 403
    assert root.post(page(model, "change", row.pk), {}).status_code == 403
    assert root.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_a_payment_that_has_begun_is_history(root: Client, rows: dict[type[Model], Model]) -> None:
    sale = rows[Payment]
    assert b'name="amount"' in root.get(page(Payment, "change", sale.pk)).content
    Transaction.objects.create(payment=sale, amount=1, currency="EUR", idempotency_key="k")
    assert b'name="amount"' not in root.get(page(Payment, "change", sale.pk)).content
