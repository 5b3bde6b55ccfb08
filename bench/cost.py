"""What an execution costs the database: commits, bytes of rows, bytes of write-ahead log."""

from __future__ import annotations

import time

from bench.stage import Contender, Stage

# A backend keeps its counts to itself until it has been idle for ten seconds (or commits again a second later).
_STATISTICS_LAG = 10.5

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
    before, began = _commits(stage), time.monotonic()
    log_before = _log_position(stage)
    answer = contender.ask("sequences", count=count).answer
    log = _log_position(stage) - log_before
    after, ended = _commits(stage), time.monotonic()
    idle, waited = _commits(stage) - after, time.monotonic() - ended
    background = idle / waited * (ended - began)
    with stage.connection() as connection:
        row = connection.execute(_ROW_BYTES).fetchone()
        assert row is not None
    return {
        # To one decimal: what runs beside (heartbeats, sweeps) is known no better.
        "commits": round((after - before - background - answer.get("looks", 0)) / count, 1),
        "row_bytes": float(row[0]),
        "wal_bytes": log / count,
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


def _log_position(stage: Stage) -> int:
    with stage.connection("postgres") as connection:
        row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
        assert row is not None
        return int(row[0])
