"""The hot statements go by index however small the tables were when PostgreSQL last looked at them."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection

from automation.durable import postgres
from tests.support.carrier import Carrier

pytestmark = [
    pytest.mark.usefixtures("carrier"),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="these plans are PostgreSQL's"),
]

LOOK = postgres.Hot("look", "SELECT id FROM small WHERE id = $1")


@pytest.fixture(autouse=True)
def small(carrier: Carrier) -> None:
    """A table of one row, which goes with the connection."""
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
        cursor.execute("DROP TABLE IF EXISTS small")
        cursor.execute("CREATE TEMPORARY TABLE small (id uuid PRIMARY KEY)")
        cursor.execute("INSERT INTO small VALUES (%s)", [uuid.uuid4()])


def plan() -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN EXECUTE weir_look('{uuid.uuid4()}')")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_a_busy_connection_makes_its_plans_anew_and_by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    LOOK.run(uuid.uuid4())
    assert "Seq Scan" not in plan(), "the first run plans by index"
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE small")
    assert "Seq Scan" in plan(), "left to the planner, a small table is read as a whole: what this test is about"

    monkeypatch.setattr(postgres, "PLANS_LAST", 0.0)
    for _ in range(postgres.RUNS_OF_PLANS):
        LOOK.run(uuid.uuid4())
    assert "Seq Scan" not in plan()


def test_a_rollback_takes_statements_away_and_they_are_prepared_again() -> None:
    LOOK.run(uuid.uuid4())
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert LOOK.run(uuid.uuid4()) == (0, "")
    assert "Seq Scan" not in plan()
