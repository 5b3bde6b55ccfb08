"""The hot statements for PostgreSQL: one autocommitted, prepared statement each.

Measured against its rivals (rows inserted ahead and updated, a pipeline, three statements in `atomic()`, the ORM), one
statement that writes an outcome and the next claim together won by 10 % to 350 %. Two things to keep:
no condition here may imply `due IS NOT NULL`, or a partial index on `due` can steal the plan from the primary key
(hence the COALESCEs); and a statement prepared while its table was empty must not keep a sequential scan, which took
two thirds of the throughput until the table was analyzed (hence `_plan_by_index`).
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection

from automation import clock
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord

_EXECUTION = (
    "e.id, e.epoch, e.definition, e.status, e.business_id, e.namespace, e.queue, e.priority, e.input, e.created_at, "
    "e.started_at, e.inbox_seq, e.reopened, e.recoveries"
)
_STEP = (
    "s.execution_id, s.seq, s.kind, s.name, s.status, s.attempt, s.resolved_seq, s.queue, s.priority, s.canvas, "
    "s.stage, s.options, s.input, s.output, s.failure, s.run_at, s.created_at, s.started_at, s.completed_at, "
    "s.worker, s.heartbeat, s.due"
)

EARLY = dt.timedelta(milliseconds=50)
"""A message that arrives this little before its row's time is served."""


_planned: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def execute(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one prepared statement on Django's connection, past Django's cursor, which costs a fifth of it."""
    if connection.connection is None:
        connection.ensure_connection()
    raw = connection.connection
    try:
        with psycopg.RawCursor(raw) as cursor:
            if sql not in _planned.setdefault(raw, set()):
                return _plan_by_index(raw, cursor, sql, parameters)
            return _run(cursor, sql, parameters)
    except psycopg.Error as error:
        if raw.closed:
            connection.close()  # so that the next statement connects again
        with connection.wrap_database_errors:
            raise error


def _run(cursor: psycopg.RawCursor[Any], sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    cursor.execute(sql.encode(), parameters, prepare=True)
    return cursor.fetchall() if cursor.description else []


def _plan_by_index(
    raw: Any, cursor: psycopg.RawCursor[Any], sql: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """The first run of a statement on a connection, which makes its plan: all of these statements go by index, however
    small the table still is."""
    raw.execute("SET enable_seqscan = off")
    try:
        rows = _run(cursor, sql, parameters)
        _planned[raw].add(sql)
        return rows
    finally:
        if not raw.closed and raw.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            raw.execute("SET enable_seqscan = on")


# -- executions --------------------------------------------------------------------------------------------------------

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


def take_over(
    wanted: Sequence[tuple[uuid.UUID, int | None]], worker: str, now: dt.datetime, lease: dt.datetime
) -> list[ExecutionRecord]:
    ids, epochs = [id_ for id_, _ in wanted], [epoch for _, epoch in wanted]
    rows = execute(_TAKE_OVER, (ids, epochs, now, worker, lease, now + EARLY))
    if rows:
        clock.synchronize(rows[-1][-1])
    # A first takeover has no steps to load, unless something came from outside before it.
    return [ExecutionRecord._make((*row[:-2], 0 if row[-2] and not row[11] else 1)) for row in rows]


_LOAD = f"""
SELECT {_STEP} FROM automation_executionstep s WHERE s.execution_id = ANY($1::uuid[]) ORDER BY s.execution_id, s.seq
"""  # noqa: S608
_LOAD_UNRESOLVED = _LOAD.replace("ORDER BY", "AND s.resolved_seq IS NULL ORDER BY")


def load_steps(executions: Sequence[uuid.UUID], unresolved_only: bool) -> list[StepRecord]:
    rows = execute(_LOAD_UNRESOLVED if unresolved_only else _LOAD, (list(executions),))
    return [StepRecord(*row) for row in rows]


# -- what an advance writes --------------------------------------------------------------------------------------------

_LOCKED = """
locked AS (
    SELECT e.id, v.status, v.due, v.result, v.failure, v.error_message, v.executed, v.failed, v.settles, v.keeps,
           e.inbox_seq = v.inbox_seq AS unread_none
    FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[],
                $9::int[], $10::int[], $11::bool[], $13::bool[])
         AS v (id, epoch, inbox_seq, status, due, result, failure, error_message, executed, failed, settles, keeps)
    JOIN automation_workflowexecution e ON e.id = v.id
    WHERE e.epoch = v.epoch AND e.status = 'running' AND (v.status IS NULL OR e.inbox_seq = v.inbox_seq)
    ORDER BY e.id
    FOR UPDATE OF e
)"""
_HELD = """
held AS (
    UPDATE automation_workflowexecution e
    SET status = COALESCE(l.status, e.status), worker = CASE WHEN l.keeps THEN e.worker ELSE '' END,
        recoveries = 0, result = l.result, failure = l.failure,
        error_message = l.error_message, actions_executed = l.executed, actions_failed = l.failed,
        due = CASE WHEN l.unread_none AND NOT l.keeps THEN l.due ELSE e.due END,
        completed_at = CASE WHEN l.status IS NULL THEN NULL ELSE $12::timestamptz END
    FROM locked l
    WHERE e.id = l.id {guard}
    RETURNING e.id
)"""
_SETTLED = """
settled AS (
    UPDATE automation_executionstep s
    SET status = v.status, output = v.output, failure = v.failure, completed_at = v.completed_at,
        resolved_seq = v.resolved_seq, due = NULL
    FROM locked l
    JOIN unnest($14::uuid[], $15::int[], $16::int[], $17::text[], $18::text[], $19::text[], $20::timestamptz[],
                $21::int[]) AS v (id, seq, attempt, status, output, failure, completed_at, resolved_seq) ON v.id = l.id
    WHERE s.execution_id = v.id AND s.seq = v.seq AND s.attempt = v.attempt AND s.status = 'running'
    RETURNING s.execution_id
)"""
_SEEN = """
seen AS (
    UPDATE automation_executionstep s SET resolved_seq = v.resolved_seq, due = NULL
    FROM held h JOIN unnest(${a}::uuid[], ${b}::int[], ${c}::int[]) AS v (id, seq, resolved_seq) ON v.id = h.id
    WHERE s.execution_id = v.id AND s.seq = v.seq
)"""
_CANCELLED = """
cancelled AS (
    UPDATE automation_executionstep s
    SET cancel_requested = TRUE,
        status = CASE WHEN s.status = 'pending' THEN 'cancelled' ELSE s.status END,
        resolved_seq = CASE WHEN s.status = 'pending' THEN 0 ELSE s.resolved_seq END,
        completed_at = CASE WHEN s.status = 'pending' THEN $12 ELSE s.completed_at END,
        due = CASE WHEN s.status = 'pending' THEN NULL ELSE s.due END
    FROM held h JOIN unnest(${a}::uuid[], ${b}::int[]) AS v (id, seq) ON v.id = h.id
    WHERE s.execution_id = v.id AND (v.seq IS NULL OR s.seq = v.seq OR s.canvas = v.seq)
      AND s.status IN ('pending', 'running')
)"""
_NEW = """
added AS (
    INSERT INTO automation_executionstep (execution_id, seq, kind, name, status, attempt, queue, priority, canvas,
                                          stage, options, input, run_at, due, worker, created_at, started_at)
    SELECT v.id, v.seq, v.kind, v.name, v.status, v.attempt, v.queue, v.priority, v.canvas, v.stage, v.options,
           v.input, v.run_at, v.due, v.worker, $12, v.started_at
    FROM held h
    JOIN unnest(${a}::uuid[], ${b}::int[], ${c}::text[], ${d}::text[], ${e}::text[], ${f}::int[], ${g}::text[],
                ${h}::int[], ${i}::int[], ${j}::int[], ${k}::text[], ${l}::text[], ${m}::timestamptz[],
                ${n}::timestamptz[], ${o}::text[], ${p}::timestamptz[])
         AS v (id, seq, kind, name, status, attempt, queue, priority, canvas, stage, options, input, run_at, due,
               worker, started_at) ON v.id = h.id
)"""


@functools.cache
def _append_sql(settles: bool, seen: bool, cancels: bool, adds: bool) -> str:
    """The statement with the parts that are needed; parameters are numbered in the order of the parts."""
    number = 22 if settles else 14

    def numbered(part: str, count: int) -> str:
        nonlocal number
        names = {chr(ord("a") + index): number + index for index in range(count)}
        number += count
        return part.format(**names)

    parts = [_LOCKED]
    if settles:
        parts.append(_SETTLED)
    guard = "AND (NOT l.settles OR e.id IN (SELECT execution_id FROM settled))" if settles else ""
    parts.append(_HELD.format(guard=guard))
    if seen:
        parts.append(numbered(_SEEN, 3))
    if cancels:
        parts.append(numbered(_CANCELLED, 2))
    if adds:
        parts.append(numbered(_NEW, 16))
    return "WITH " + ",".join(parts) + " SELECT id FROM held"  # noqa: S608  (constants only)


def append(decisions: Sequence[Decision], worker: str, now: dt.datetime) -> set[uuid.UUID]:
    endings = [decision.ending for decision in decisions]
    settled = [(d.execution_id, d.settled, d.settled_order) for d in decisions if d.settled is not None]
    seen = [(d.execution_id, seq, order) for d in decisions for seq, order in d.seen]
    cancelled: list[tuple[uuid.UUID, int | None]] = [(d.execution_id, seq) for d in decisions for seq in d.cancelled]
    cancelled += [(d.execution_id, None) for d in decisions if d.ending is not None and d.leaves_open]
    new = [(d.execution_id, step) for d in decisions for step in d.new]
    parameters: list[Any] = [
        [d.execution_id for d in decisions],
        [d.epoch for d in decisions],
        [d.inbox_seq for d in decisions],
        [ending.status if ending else None for ending in endings],
        [d.due for d in decisions],
        [ending.result if ending else "" for ending in endings],
        [ending.failure if ending else "" for ending in endings],
        [ending.error_message if ending else "" for ending in endings],
        [ending.actions_executed if ending else 0 for ending in endings],
        [ending.actions_failed if ending else 0 for ending in endings],
        [d.settled is not None for d in decisions],
        now,
        [d.keeps for d in decisions],
    ]
    if settled:
        parameters += [
            [id_ for id_, _, _ in settled],
            [done.seq for _, done, _ in settled],
            [done.attempt for _, done, _ in settled],
            [done.status for _, done, _ in settled],
            [done.output for _, done, _ in settled],
            [done.failure for _, done, _ in settled],
            [done.completed_at for _, done, _ in settled],
            [order for _, _, order in settled],
        ]
    if seen:
        parameters += [list(column) for column in zip(*seen, strict=True)]
    if cancelled:
        parameters += [list(column) for column in zip(*cancelled, strict=True)]
    if new:
        steps = [step for _, step in new]
        claimed = [step.status == "running" for step in steps]
        parameters += [
            [id_ for id_, _ in new],
            [step.seq for step in steps],
            [step.kind for step in steps],
            [step.name for step in steps],
            [step.status for step in steps],
            [1 if running else 0 for running in claimed],
            [step.queue for step in steps],
            [step.priority for step in steps],
            [step.canvas for step in steps],
            [step.stage for step in steps],
            [step.options for step in steps],
            [step.input for step in steps],
            [step.run_at for step in steps],
            [step.due for step in steps],
            [worker if running else "" for running in claimed],
            [now if running else None for running in claimed],
        ]
    sql = _append_sql(bool(settled), bool(seen), bool(cancelled), bool(new))
    return {row[0] for row in execute(sql, parameters)}


_CARRY = """
WITH held AS (
    SELECT id FROM automation_workflowexecution WHERE id = $1 AND epoch = $2 AND inbox_seq = $3 FOR NO KEY UPDATE
), done AS (
    UPDATE automation_executionstep s
    SET status = $6, output = $7, failure = $8, completed_at = $9, resolved_seq = $10, due = NULL
    FROM held WHERE s.execution_id = held.id AND s.seq = $4 AND s.attempt = $5 AND s.status = 'running'
    RETURNING s.execution_id
)
INSERT INTO automation_executionstep (execution_id, seq, kind, name, status, attempt, queue, priority, options, input,
                                      worker, created_at, started_at)
SELECT execution_id, $11, $12, $13, 'running', 1, $14, $15, $16, $17, $18, $9, $9 FROM done
RETURNING 1
"""


def carry(
    execution: uuid.UUID,
    epoch: int,
    inbox_seq: int,
    done: Outcome,
    order: int,
    step: NewStep,
    worker: str,
) -> bool:
    return bool(
        execute(
            _CARRY,
            (
                *(execution, epoch, inbox_seq, done.seq, done.attempt, done.status, done.output, done.failure),
                *(done.completed_at, order, step.seq, step.kind, step.name, step.queue, step.priority, step.options),
                *(step.input, worker),
            ),
        )
    )


_BEGIN = """
INSERT INTO automation_executionstep (execution_id, seq, kind, name, status, attempt, queue, priority, options, input,
                                      worker, created_at, started_at)
SELECT id, $4, $5, $6, 'running', 1, $7, $8, $9, $10, $11, $12, $12
FROM (SELECT id FROM automation_workflowexecution WHERE id = $1 AND epoch = $2 AND inbox_seq = $3
      FOR NO KEY UPDATE) AS held
RETURNING 1
"""


def begin(execution: uuid.UUID, epoch: int, inbox_seq: int, step: NewStep, worker: str, now: dt.datetime) -> bool:
    return bool(
        execute(
            _BEGIN,
            (
                *(execution, epoch, inbox_seq, step.seq, step.kind, step.name, step.queue, step.priority),
                *(step.options, step.input, worker, now),
            ),
        )
    )


# -- one step by itself ------------------------------------------------------------------------------------------------

_WATCH = """
UPDATE automation_executionstep SET due = $2
WHERE execution_id = ANY($1::uuid[]) AND status = 'running' AND COALESCE(due, 'infinity') = 'infinity'
"""


def watch(executions: Sequence[uuid.UUID], due: dt.datetime) -> None:
    execute(_WATCH, (list(executions), due))


_CLAIM = f"""
UPDATE automation_executionstep s
SET status = 'running', attempt = s.attempt + 1, worker = $3, started_at = $4, due = $5
FROM automation_workflowexecution e
WHERE s.execution_id = $1 AND s.seq = $2 AND s.status = 'pending'
  AND COALESCE(s.due, 'infinity') < 'infinity' AND COALESCE(s.run_at, '-infinity') <= $6
  AND e.id = s.execution_id AND e.status = 'running' AND e.paused_at IS NULL
RETURNING {_STEP}
"""  # noqa: S608


def claim(execution: uuid.UUID, seq: int, worker: str, now: dt.datetime, lease: dt.datetime) -> StepRecord | None:
    rows = execute(_CLAIM, (execution, seq, worker, now, lease, now + EARLY))
    return StepRecord(*rows[0]) if rows else None


_SETTLE = """
UPDATE automation_executionstep SET status = $4, output = $5, failure = $6, completed_at = $7, due = $8
WHERE execution_id = $1 AND seq = $2 AND attempt = $3 AND status = 'running'
RETURNING 1
"""
_SETTLE_AND_CLAIM = f"""
WITH done AS ({_SETTLE.replace("RETURNING 1", "RETURNING execution_id")}), next AS (
    UPDATE automation_executionstep s
    SET status = 'running', attempt = s.attempt + 1, worker = $10, started_at = $7, due = $11
    FROM done, automation_workflowexecution e
    WHERE s.execution_id = done.execution_id AND s.seq = $9 AND s.status = 'pending'
      AND COALESCE(s.run_at, '-infinity') <= $7
      AND e.id = s.execution_id AND e.status = 'running' AND e.paused_at IS NULL
    RETURNING {_STEP}
)
SELECT next.* FROM done LEFT JOIN next ON TRUE
"""  # noqa: S608


def settle(
    execution: uuid.UUID,
    done: Outcome,
    due: dt.datetime | None,
    following: int | None,
    worker: str,
    lease: dt.datetime,
) -> tuple[bool, StepRecord | None]:
    parameters = (execution, done.seq, done.attempt, done.status, done.output, done.failure, done.completed_at, due)
    if following is None:
        return bool(execute(_SETTLE, parameters)), None
    rows = execute(_SETTLE_AND_CLAIM, (*parameters, following, worker, lease))
    if not rows:
        return False, None
    return True, StepRecord(*rows[0]) if rows[0][0] is not None else None


_RETRY = """
UPDATE automation_executionstep SET status = 'pending', failure = $4, run_at = $5, due = $6, worker = ''
WHERE execution_id = $1 AND seq = $2 AND attempt = $3 AND status = 'running'
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


_FIRE = """
UPDATE automation_executionstep s SET status = 'completed', completed_at = $3, due = $4
FROM unnest($1::uuid[], $2::int[]) AS v (id, seq), automation_workflowexecution e
WHERE s.execution_id = v.id AND s.seq = v.seq AND s.kind = 'timer' AND s.status = 'pending' AND s.run_at <= $5
  AND e.id = v.id AND e.status = 'running' AND e.paused_at IS NULL
RETURNING s.execution_id
"""


def fire(timers: Sequence[tuple[uuid.UUID, int]], now: dt.datetime, due: dt.datetime) -> list[uuid.UUID]:
    ids, seqs = [id_ for id_, _ in timers], [seq for _, seq in timers]
    rows = execute(_FIRE, (ids, seqs, now, due, now + EARLY))
    return list(dict.fromkeys(row[0] for row in rows))
