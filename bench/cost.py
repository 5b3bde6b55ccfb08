"""What an execution costs the database: commits, bytes of rows, bytes of write-ahead log."""

from __future__ import annotations

import time

from bench.stage import Contender, Stage

# A backend keeps its counts to itself until it has been idle for ten seconds (or commits again a second later).
_STATISTICS_LAG = 11.0

_ROW_BYTES = """
    WITH sample AS (
        SELECT * FROM automation_workflowexecution WHERE definition = 'bench_sequence' AND status = 'completed'
        ORDER BY id DESC LIMIT 100
    )
    SELECT avg(pg_column_size(sample.*) + (
        SELECT sum(pg_column_size(step.*)) FROM automation_executionstep AS step WHERE step.execution_id = sample.id
    ))::float FROM sample
"""


def of_sequences(stage: Stage, contender: Contender, count: int) -> dict[str, float]:
    """Per five-step execution. Commits are all transactions of the workers, beat and starter, less what an idle
    stretch of the same length commits and less the waiting driver's own looks; rows are headers and payloads of the
    execution and its steps; the log includes indexes, commit records and full-page images."""
    # The idle stretch comes first: what a backend reports late then counts for the work and not for the background.
    idle_before, idle_from = _commits(stage), time.monotonic()
    before, began = _commits(stage), time.monotonic()
    per_second = (before - idle_before) / (began - idle_from)
    writes_before, log_before = _position(stage)
    answer = contender.ask("sequences", count=count).answer
    writes, log = _position(stage)
    after = _commits(stage)
    background = per_second * (time.monotonic() - began)
    with stage.connection() as connection:
        row = connection.execute(_ROW_BYTES).fetchone()
        assert row is not None
    return {
        # To one decimal: what runs beside (heartbeats, sweeps) is known no better.
        "commits": round((after - before - background - answer.get("looks", 0)) / count, 1),
        "writes": round((writes - writes_before) / count, 1),
        "row_bytes": float(row[0]),
        "wal_bytes": (log - log_before) / count,
    }


def _commits(stage: Stage) -> int:
    """Transactions committed in Weir's database, once every backend has reported its own."""
    time.sleep(_STATISTICS_LAG)
    with stage.connection("postgres") as connection:
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = %s", [stage.postgres.database]
        ).fetchone()
        assert row is not None
        return int(row[0])


def _position(stage: Stage) -> tuple[int, int]:
    """The number of the next writing transaction, and the end of the write-ahead log in bytes: both without delay."""
    with stage.connection("postgres") as connection:
        row = connection.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])
