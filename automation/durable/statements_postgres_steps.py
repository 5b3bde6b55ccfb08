"""The hot statements for PostgreSQL that are about one step by itself, or several of one execution: claims, outcomes,
retries, heartbeats, timers. What there is to keep is told in `statements_postgres`."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from automation.durable.arrivals import EARLY
from automation.durable.postgres import NO_WAIT, Hot, execute
from automation.durable.records import Outcome, StepRecord

# Not 'worker is alive', not 'somebody wants it': pending, ready, its time has come, its execution is going on.
_GOING_ON = "e.id = $1 AND e.status = 'running' AND e.paused_at IS NULL"
_CLAIM = Hot(
    "claim",
    f"""
WITH {NO_WAIT}
UPDATE automation_executionstep s
SET status = 'running', attempt = s.attempt + 1, worker = $3, started_at = $4, due = $5
FROM automation_workflowexecution e, no_wait
WHERE s.execution_id = $1 AND s.seq = $2 AND s.status = 'pending'
  AND COALESCE(s.due, 'infinity') < 'infinity' AND COALESCE(s.run_at, '-infinity') <= $6
  AND {_GOING_ON}
RETURNING s.attempt, s.heartbeat
""",  # noqa: S608
)


def claim(step: StepRecord, worker: str, now: dt.datetime, lease: dt.datetime) -> StepRecord | None:
    rows = _CLAIM.rows(step.execution_id, step.seq, worker, now, lease, now + EARLY)
    return _claimed(step, worker, now, *rows[0]) if rows else None


def _claimed(step: StepRecord, worker: str, now: dt.datetime, attempt: str | None, heartbeat: str | None) -> StepRecord:
    """The heartbeat as it is now: the step may have been read during the attempt before, which has gone on since."""
    return step._replace(
        status="running", attempt=int(attempt or 0), heartbeat=heartbeat or "", worker=worker, started_at=now
    )


_SETTLE_SQL = """
UPDATE automation_executionstep SET status = $4, output = $5, failure = $6, completed_at = $7, due = $8
WHERE execution_id = $1 AND seq = $2 AND attempt = $3 AND status = 'running'
RETURNING execution_id
"""
_SETTLE = Hot("settle", _SETTLE_SQL)
_SETTLE_AND_CLAIM = Hot(
    "settle_and_claim",
    f"""
WITH done AS ({_SETTLE_SQL}), next AS (
    UPDATE automation_executionstep s
    SET status = 'running', attempt = s.attempt + 1, worker = $10, started_at = $7, due = $11
    FROM done, automation_workflowexecution e
    WHERE s.execution_id = $1 AND s.seq = $9 AND s.status = 'pending'
      AND COALESCE(s.run_at, '-infinity') <= $7 AND {_GOING_ON}
    RETURNING s.attempt, s.heartbeat
)
SELECT next.attempt, next.heartbeat FROM done LEFT JOIN next ON TRUE
""",  # noqa: S608
)


def settle(
    execution: uuid.UUID,
    done: Outcome,
    due: dt.datetime | None,
    following: StepRecord | None,
    worker: str,
    lease: dt.datetime,
) -> tuple[bool, StepRecord | None]:
    values = (execution, done.seq, done.attempt, done.status, done.output, done.failure, done.completed_at, due)
    if following is None:
        return _SETTLE.run(*values)[0] == 1, None
    rows = _SETTLE_AND_CLAIM.rows(*values, following.seq, worker, lease)
    if not rows or rows[0][0] is None:
        return bool(rows), None
    return True, _claimed(following, worker, done.completed_at, *rows[0])


_SETTLE_MANY = Hot(
    "settle_many",
    f"""
WITH done AS (
    UPDATE automation_executionstep s
    SET status = v.status, output = v.output, failure = v.failure, completed_at = v.completed_at, due = v.due
    FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
         AS v (seq, attempt, status, output, failure, completed_at, due)
    WHERE s.execution_id = $1 AND s.seq = ANY($2::int[]) AND s.seq = v.seq AND s.attempt = v.attempt
      AND s.status = 'running'
    RETURNING s.seq
), next AS (
    UPDATE automation_executionstep s
    SET status = 'running', attempt = s.attempt + 1, worker = $10, started_at = $11, due = $12
    FROM automation_workflowexecution e
    WHERE s.execution_id = $1 AND s.seq = ANY($9::int[]) AND s.status = 'pending'
      AND COALESCE(s.due, 'infinity') < 'infinity' AND COALESCE(s.run_at, '-infinity') <= $13 AND {_GOING_ON}
    RETURNING s.seq, s.attempt, s.heartbeat
)
SELECT seq, NULL, NULL FROM done UNION ALL SELECT seq, attempt, heartbeat FROM next
""",  # noqa: S608
)


def settle_many(
    execution: uuid.UUID,
    done: Sequence[tuple[Outcome, dt.datetime | None]],
    wanted: Sequence[StepRecord],
    worker: str,
    now: dt.datetime,
    lease: dt.datetime,
) -> tuple[set[int], list[StepRecord]]:
    outcomes = [outcome for outcome, _ in done]
    rows = _SETTLE_MANY.rows(
        execution,
        [outcome.seq for outcome in outcomes],
        [outcome.attempt for outcome in outcomes],
        [outcome.status for outcome in outcomes],
        [outcome.output for outcome in outcomes],
        [outcome.failure for outcome in outcomes],
        [outcome.completed_at for outcome in outcomes],
        [due for _, due in done],
        [step.seq for step in wanted],
        *(worker, now, lease, now + EARLY),
    )
    begun = {int(seq or 0): (attempt, heartbeat) for seq, attempt, heartbeat in rows if attempt is not None}
    claimed = [_claimed(step, worker, now, *begun[step.seq]) for step in wanted if step.seq in begun]
    return {int(seq or 0) for seq, attempt, _ in rows if attempt is None}, claimed


_UNCLAIM = """
UPDATE automation_executionstep SET status = 'pending', attempt = attempt - 1, worker = '', due = $4
WHERE execution_id = $1 AND seq = ANY($2::int[]) AND worker = $3 AND status = 'running'
"""


def unclaim(execution: uuid.UUID, seqs: Sequence[int], worker: str, now: dt.datetime) -> None:
    execute(_UNCLAIM, (execution, list(seqs), worker, now))


_RETRY = """
UPDATE automation_executionstep SET status = 'pending', failure = $4, run_at = $5, due = $6, worker = ''
WHERE execution_id = $1 AND seq = $2 AND attempt = $3 AND status = 'running' AND NOT cancel_requested
RETURNING 1
"""


def retry(execution: uuid.UUID, seq: int, attempt: int, failure: str, run_at: dt.datetime, due: dt.datetime) -> bool:
    return bool(execute(_RETRY, (execution, seq, attempt, failure, run_at, due)))


_BEAT = """
UPDATE automation_executionstep SET heartbeat = $4, heartbeat_at = $5, due = $6
WHERE execution_id = $1 AND seq = $2 AND attempt = $3 AND status = 'running'
RETURNING cancel_requested
"""


def beat(
    execution: uuid.UUID, seq: int, attempt: int, details: str, now: dt.datetime, lease: dt.datetime
) -> tuple[bool, bool]:
    rows = execute(_BEAT, (execution, seq, attempt, details, now, lease))
    return (True, bool(rows[0][0])) if rows else (False, True)


_FIRE = Hot(
    "fire",
    """
UPDATE automation_executionstep s SET status = 'completed', completed_at = $3, due = $4
FROM unnest($1::uuid[], $2::int[]) AS v (id, seq), automation_workflowexecution e
WHERE s.execution_id = v.id AND s.seq = v.seq AND s.seq = ANY($6::int[])
  AND s.kind = 'timer' AND s.status = 'pending' AND s.run_at <= $5
  AND e.id = v.id AND e.status = 'running' AND e.paused_at IS NULL
RETURNING s.execution_id
""",
)


def fire(timers: Sequence[tuple[uuid.UUID, int]], now: dt.datetime, due: dt.datetime) -> list[uuid.UUID]:
    ids, seqs = [id_ for id_, _ in timers], [seq for _, seq in timers]
    # The numbers once each: timers of many executions mostly share them, and each row looks through them all.
    rows = _FIRE.rows(ids, seqs, now, due, now + EARLY, sorted(set(seqs)))
    return [uuid.UUID(id_) for id_ in dict.fromkeys(row[0] for row in rows)]
