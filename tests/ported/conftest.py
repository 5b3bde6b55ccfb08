"""Programs commit, as they do outside of tests; their rows are removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automation.durable import canvas
from tests.support.rows import clear


@pytest.hookimpl(trylast=True)  # after those that were not asked for have been taken out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One mark makes pytest-django set the databases up; a mark on each test would have all tables flushed after each.
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if ours:
        ours[0].add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(autouse=True)
def _rows(django_db_setup: None, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Committed rows, and no broker: an in-process worker goes by rows."""
    monkeypatch.setattr(canvas, "_publish", lambda signature: True)
    with django_db_blocker.unblock():
        clear()
        yield
        clear()
