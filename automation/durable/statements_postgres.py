"""The hot statements for PostgreSQL: one prepared statement each.

Measured against its rivals (rows inserted ahead and updated, a pipeline, three statements in `atomic()`, the ORM), one
statement that writes an outcome and the next claim together won by 10 % to 350 %. Three things to keep:

- No condition here may imply `due IS NOT NULL`, or a partial index on `due` can steal the plan from the primary key
  (hence the COALESCEs).
- Rows are named by the parameters themselves, not by a join with a row that an earlier part has found: a plan that was
  made while the table was empty would walk the index of all steps by `seq` alone.
- A statement that was prepared while its table was empty must not keep a sequential scan (see `postgres.py`).
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from typing import Any

from automation import clock
from automation.durable.arrivals import Wanted
from automation.durable.postgres import Hot, execute
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.durable.statements_postgres_append import append
from automation.models import WorkflowExecution

__all__ = [
    "append",
    "beat",
    "begin",
    "carry",
    "claim",
    "finish",
    "fire",
    "let_go",
    "load_members",
    "load_steps",
    "load_wanted",
    "retry",
    "settle",
    "settle_many",
    "start",
    "take_over",
    "unclaim",
    "watch",
]

_EXECUTION = (
    "e.id, e.epoch, e.definition, e.status, e.business_id, e.namespace, e.queue, e.priority, e.input, e.created_at, "
    "e.started_at, e.inbox_seq, e.reopened, e.recoveries, e.parent_id, e.parent_seq, e.first_run_id, "
    "e.previous_run_id, e.deadline, e.options, e.memo, e.search_attributes"
)
_STEP = (
    "s.execution_id, s.seq, s.kind, s.name, s.status, s.attempt, s.resolved_seq, s.queue, s.priority, s.canvas, "
    "s.stage, s.options, s.input, s.output, s.failure, s.run_at, s.created_at, s.started_at, s.completed_at, "
    "s.worker, s.heartbeat, s.due"
)

EARLY = dt.timedelta(milliseconds=50)
"""A message that arrives this little before its row's time is served."""


# -- executions --------------------------------------------------------------------------------------------------------

_START = Hot(
    "start",
    """
INSERT INTO automation_workflowexecution (id, namespace, definition, status, queue, priority, depth, due, input,
                                          scheduled_for, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
""",
)


def start(row: WorkflowExecution) -> None:
    _START.run(
        *(row.id, row.namespace, row.definition, str(row.status), row.queue, row.priority, row.depth, row.due),
        *(row.input, row.scheduled_for, row.created_at),
    )


_TAKE_OVER = f"""
WITH wanted AS (
    SELECT e.id, e.started_at IS NULL AS fresh
    FROM unnest($1::uuid[], $2::int[]) AS w (id, epoch)
    JOIN automation_workflowexecution e ON e.id = w.id
    WHERE e.status IN ('pending', 'running') AND e.paused_at IS NULL AND (w.epoch IS NULL OR e.epoch = w.epoch)
      AND (e.started_at IS NOT NULL OR COALESCE(e.scheduled_for, '-infinity') <= $6)
    ORDER BY e.id
    FOR UPDATE OF e
)
UPDATE automation_workflowexecution e
SET epoch = e.epoch + 1, status = 'running', started_at = COALESCE(e.started_at, $3), worker = $4, due = $5
FROM wanted
WHERE e.id = wanted.id
RETURNING {_EXECUTION}, wanted.fresh, clock_timestamp()
"""  # noqa: S608


# Taking over and claiming need not wait for the disk: what depends on them commits later, and is not on the disk before
# them. Should the database crash in between, they have not happened, and what was begun is begun again.
_NO_WAIT = "no_wait AS (SELECT set_config('synchronous_commit', 'off', TRUE))"

# For one execution no array has to be built, taken apart and sorted.
_TAKE_ONE = f"""
WITH {_NO_WAIT}, wanted AS (
    SELECT id, started_at IS NULL AS fresh FROM automation_workflowexecution, no_wait
    WHERE id = $1 AND status IN ('pending', 'running') AND paused_at IS NULL AND ($2::int IS NULL OR epoch = $2)
      AND (started_at IS NOT NULL OR COALESCE(scheduled_for, '-infinity') <= $6)
    FOR NO KEY UPDATE
)
UPDATE automation_workflowexecution e
SET epoch = e.epoch + 1, status = 'running', started_at = COALESCE(e.started_at, $3), worker = $4, due = $5
FROM wanted
WHERE e.id = $1
RETURNING {_EXECUTION}, wanted.fresh, clock_timestamp()
"""  # noqa: S608


def take_over(
    wanted: Sequence[tuple[uuid.UUID, int | None]], worker: str, now: dt.datetime, lease: dt.datetime
) -> list[ExecutionRecord]:
    if len(wanted) == 1:
        rows = execute(_TAKE_ONE, (*wanted[0], now, worker, lease, now + EARLY))
    else:
        ids, epochs = [id_ for id_, _ in wanted], [epoch for _, epoch in wanted]
        rows = execute(_TAKE_OVER, (ids, epochs, now, worker, lease, now + EARLY))
    if rows:
        clock.synchronize(rows[-1][-1])
    # A first takeover has no steps to load, unless something came from outside before it.
    return [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> ExecutionRecord:
    *values, attributes, fresh, _ = row
    steps = 0 if fresh and not row[11] else 1
    return ExecutionRecord._make((*values, json.loads(attributes) if attributes else None, steps))


_LOAD = f"""
SELECT {_STEP} FROM automation_executionstep s WHERE s.execution_id = ANY($1::uuid[]) ORDER BY s.execution_id, s.seq
"""  # noqa: S608


def load_steps(executions: Sequence[uuid.UUID]) -> list[StepRecord]:
    return [StepRecord(*row) for row in execute(_LOAD, (list(executions),))]


# OFFSET 0 has each part go by the whole key: a planner that has only seen short histories would read one from its
# beginning.
_OF_STEPS = f"SELECT {_STEP} FROM automation_executionstep s WHERE s.execution_id = w.id AND"  # noqa: S608
_LOAD_WANTED = f"""
SELECT s.* FROM unnest($1::uuid[], $2::int[]) AS w (id, seq), LATERAL (
    {_OF_STEPS} s.seq = w.seq AND (s.status NOT IN ('pending', 'running') OR s.due IS NULL OR s.canvas IS NOT NULL
                                   OR s.kind IN ('child', 'external')) OFFSET 0) s
UNION ALL
SELECT s.* FROM unnest($3::uuid[], $4::int[]) AS w (id, above), LATERAL ({_OF_STEPS} s.seq > w.above OFFSET 0) s
UNION ALL
SELECT s.* FROM unnest($3::uuid[], $5::int[]) AS w (id, below), LATERAL ({_OF_STEPS} s.seq < w.below OFFSET 0) s
"""  # noqa: S608


def load_wanted(wanted: Sequence[Wanted]) -> list[StepRecord]:
    opened = [(one.execution_id, seq) for one in wanted for seq in one.open]
    parameters = (
        *([id_ for id_, _ in opened], [seq for _, seq in opened]),
        *([one.execution_id for one in wanted], [one.above for one in wanted], [one.below for one in wanted]),
    )
    return sorted((StepRecord(*row) for row in execute(_LOAD_WANTED, parameters)), key=lambda step: step.seq)


_MEMBERS = _LOAD.replace("ORDER BY", "AND s.seq = ANY($2::int[]) ORDER BY")


def load_members(execution: uuid.UUID, seqs: Sequence[int]) -> list[StepRecord]:
    rows = [StepRecord(*row) for row in execute(_MEMBERS, ([execution], list(seqs)))]
    by_seq = {row.seq: row for row in rows}
    return [by_seq[seq] for seq in seqs if seq in by_seq]


# -- a visit that carries on -------------------------------------------------------------------------------------------

_HELD = """
held AS (
    SELECT id FROM automation_workflowexecution WHERE id = $1 AND epoch = $2 AND inbox_seq = $3 FOR NO KEY UPDATE
)"""
_DONE = """
done AS (
    UPDATE automation_executionstep s
    SET status = $6, output = $7, failure = $8, completed_at = $9, resolved_seq = $10, due = NULL
    FROM held WHERE s.execution_id = $1 AND s.seq = $4 AND s.attempt = $5 AND s.status = 'running'
    RETURNING s.execution_id
)"""
_STEP_COLUMNS = "execution_id, seq, kind, name, status, attempt, queue, priority, options, input, worker, created_at"

_BEGIN = Hot(
    "begin",
    f"""
WITH {_NO_WAIT}, {_HELD}
INSERT INTO automation_executionstep ({_STEP_COLUMNS}, started_at)
SELECT id, $4, $5, $6, 'running', 1, $7, $8, $9, $10, $11, $12, $12 FROM held, no_wait
RETURNING 1
""",  # noqa: S608
)
_CARRY = Hot(
    "carry",
    f"""
WITH {_HELD}, {_DONE}
INSERT INTO automation_executionstep ({_STEP_COLUMNS}, started_at)
SELECT execution_id, $11, $12, $13, 'running', 1, $14, $15, $16, $17, $18, $9, $9 FROM done
RETURNING 1
""",  # noqa: S608
)
_FINISH = Hot(
    "finish",
    f"""
WITH {_HELD}, {_DONE}
UPDATE automation_workflowexecution e
SET status = $11, result = $12, failure = $13, error_message = $14, actions_executed = $15, actions_failed = $16,
    completed_at = $9, due = NULL, worker = '', recoveries = 0
FROM done WHERE e.id = $1 AND e.status = 'running'
RETURNING 1
""",  # noqa: S608
)


def begin(execution: uuid.UUID, epoch: int, inbox_seq: int, step: NewStep, worker: str, now: dt.datetime) -> bool:
    rows, _ = _BEGIN.run(
        *(execution, epoch, inbox_seq, step.seq, step.kind, step.name, step.queue, step.priority),
        *(step.options, step.input, worker, now),
    )
    return rows == 1


def carry(
    execution: uuid.UUID,
    epoch: int,
    inbox_seq: int,
    done: Outcome,
    order: int,
    step: NewStep,
    worker: str,
) -> bool:
    rows, _ = _CARRY.run(
        *(execution, epoch, inbox_seq, done.seq, done.attempt, done.status, done.output, done.failure),
        *(done.completed_at, order, step.seq, step.kind, step.name, step.queue, step.priority, step.options),
        *(step.input, worker),
    )
    return rows == 1


def finish(decision: Decision, worker: str) -> bool:
    done, ending = decision.settled, decision.ending
    if done is None or ending is None:
        return False
    rows, _ = _FINISH.run(
        *(decision.execution_id, decision.epoch, decision.inbox_seq, done.seq, done.attempt, done.status),
        *(done.output, done.failure, done.completed_at, decision.settled_order),
        *(ending.status, ending.result, ending.failure, ending.error_message),
        *(ending.actions_executed, ending.actions_failed),
    )
    return rows == 1


_WATCH = """
UPDATE automation_executionstep SET due = $2
WHERE execution_id = ANY($1::uuid[]) AND status = 'running' AND COALESCE(due, 'infinity') = 'infinity'
"""


def watch(executions: Sequence[uuid.UUID], due: dt.datetime) -> None:
    execute(_WATCH, (list(executions), due))


_LET_GO = """
WITH held AS (
    UPDATE automation_workflowexecution SET worker = '', due = NULL
    WHERE id = $1 AND epoch = $2 AND status = 'running'
    RETURNING id
)
UPDATE automation_executionstep s SET due = $3 FROM held
WHERE s.execution_id = $1 AND s.status = 'running' AND COALESCE(s.due, 'infinity') = 'infinity'
"""


def let_go(execution: uuid.UUID, epoch: int, due: dt.datetime) -> None:
    execute(_LET_GO, (execution, epoch, due))


# -- one step by itself ------------------------------------------------------------------------------------------------

# Not 'worker is alive', not 'somebody wants it': pending, ready, its time has come, its execution is going on.
_GOING_ON = "e.id = $1 AND e.status = 'running' AND e.paused_at IS NULL"
_CLAIM = Hot(
    "claim",
    f"""
WITH {_NO_WAIT}
UPDATE automation_executionstep s
SET status = 'running', attempt = s.attempt + 1, worker = $3, started_at = $4, due = $5
FROM automation_workflowexecution e, no_wait
WHERE s.execution_id = $1 AND s.seq = $2 AND s.status = 'pending'
  AND COALESCE(s.due, 'infinity') < 'infinity' AND COALESCE(s.run_at, '-infinity') <= $6
  AND {_GOING_ON}
RETURNING s.attempt
""",  # noqa: S608
)


def claim(step: StepRecord, worker: str, now: dt.datetime, lease: dt.datetime) -> StepRecord | None:
    rows, attempt = _CLAIM.run(step.execution_id, step.seq, worker, now, lease, now + EARLY)
    return _claimed(step, attempt, worker, now) if rows else None


def _claimed(step: StepRecord, attempt: str | int, worker: str, now: dt.datetime) -> StepRecord:
    return step._replace(status="running", attempt=int(attempt), worker=worker, started_at=now)


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
    RETURNING s.attempt
)
SELECT next.attempt FROM done LEFT JOIN next ON TRUE
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
    rows, attempt = _SETTLE_AND_CLAIM.run(*values, following.seq, worker, lease)
    if not rows or not attempt:
        return bool(rows), None
    return True, _claimed(following, attempt, worker, done.completed_at)


_SETTLE_MANY = Hot(
    "settle_many",
    f"""
WITH done AS (
    UPDATE automation_executionstep s
    SET status = v.status, output = v.output, failure = v.failure, completed_at = v.completed_at, due = v.due
    FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
         AS v (seq, attempt, status, output, failure, completed_at, due)
    WHERE s.execution_id = $1 AND s.seq = v.seq AND s.attempt = v.attempt AND s.status = 'running'
    RETURNING s.seq
), next AS (
    UPDATE automation_executionstep s
    SET status = 'running', attempt = s.attempt + 1, worker = $10, started_at = $11, due = $12
    FROM automation_workflowexecution e
    WHERE s.execution_id = $1 AND s.seq = ANY($9::int[]) AND s.status = 'pending'
      AND COALESCE(s.due, 'infinity') < 'infinity' AND COALESCE(s.run_at, '-infinity') <= $13 AND {_GOING_ON}
    RETURNING s.seq, s.attempt
)
SELECT seq, NULL FROM done UNION ALL SELECT seq, attempt FROM next
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
    attempts = {int(seq or 0): attempt for seq, attempt in rows if attempt is not None}
    claimed = [_claimed(step, attempts[step.seq], worker, now) for step in wanted if step.seq in attempts]
    return {int(seq or 0) for seq, attempt in rows if attempt is None}, claimed


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
WHERE s.execution_id = v.id AND s.seq = v.seq AND s.kind = 'timer' AND s.status = 'pending' AND s.run_at <= $5
  AND e.id = v.id AND e.status = 'running' AND e.paused_at IS NULL
RETURNING s.execution_id
""",
)


def fire(timers: Sequence[tuple[uuid.UUID, int]], now: dt.datetime, due: dt.datetime) -> list[uuid.UUID]:
    ids, seqs = [id_ for id_, _ in timers], [seq for _, seq in timers]
    rows = _FIRE.rows(ids, seqs, now, due, now + EARLY)
    return [uuid.UUID(id_) for id_ in dict.fromkeys(row[0] for row in rows)]
