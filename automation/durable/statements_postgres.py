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
from automation.durable.arrivals import EARLY, Wanted
from automation.durable.postgres import NO_WAIT, Hot, execute
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.durable.statements_postgres_append import append
from automation.durable.statements_postgres_steps import (
    beat,
    claim,
    fire,
    retry,
    settle,
    settle_many,
    unclaim,
)
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


# For one execution no array has to be built, taken apart and sorted.
_TAKE_ONE = f"""
WITH {NO_WAIT}, wanted AS (
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
WITH {NO_WAIT}, {_HELD}
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
    UPDATE automation_workflowexecution
    SET worker = '', due = CASE WHEN inbox_seq = $3 THEN NULL ELSE $4::timestamptz END
    WHERE id = $1 AND epoch = $2 AND status = 'running'
    RETURNING inbox_seq <> $3 AS unread
), watched AS (
    UPDATE automation_executionstep s SET due = $4 FROM held
    WHERE s.execution_id = $1 AND s.status = 'running' AND COALESCE(s.due, 'infinity') = 'infinity'
)
SELECT unread FROM held
"""


def let_go(execution: uuid.UUID, epoch: int, inbox_seq: int, due: dt.datetime) -> bool:
    rows = execute(_LET_GO, (execution, epoch, inbox_seq, due))
    return bool(rows and rows[0][0])
