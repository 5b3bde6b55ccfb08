"""The engine, carried by a broker inside the test's process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows import activities
from tests.support.carrier import Carrier, carrying
from tests.support.rows import clear


@pytest.hookimpl(trylast=True)  # after those that were not asked for have been taken out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # pytest-django makes the databases that marked tests ask for. One mark is enough; a mark on each test would have
    # all tables flushed after each.
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if ours:
        ours[0].add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(autouse=True)
def _rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Committed rows, removed afterwards: the engine's transactions are real ones, and no test waits for a flush of
    all tables."""
    with django_db_blocker.unblock():
        clear()
        activities.journal.clear()
        yield
        clear()


@pytest.fixture
def carrier(_rows: None) -> Iterator[Carrier]:
    with carrying() as one:
        yield one
