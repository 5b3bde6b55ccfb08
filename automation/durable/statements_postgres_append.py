"""What an advance writes, on PostgreSQL: any number of decisions, for any number of executions, in one statement.

The statement is put together from the parts that a set of decisions needs, and so has a handful of forms.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Sequence

from django.db import transaction

from automation.durable.postgres import Hot, Value
from automation.durable.records import Decision

SEEN_TOGETHER = 250
"""So many outcomes are noted as seen by one statement, which compares each with all of them. Where there are more
(messages by the thousand), others follow in its transaction."""

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
    RETURNING e.id, l.unread_none
)"""
_SETTLED = """
settled AS (
    UPDATE automation_executionstep s
    SET status = v.status, output = v.output, failure = v.failure, completed_at = v.completed_at,
        resolved_seq = v.resolved_seq, due = NULL
    FROM locked l
    JOIN unnest($14::uuid[], $15::int[], $16::int[], $17::text[], $18::text[], $19::text[], $20::timestamptz[],
                $21::int[]) AS v (id, seq, attempt, status, output, failure, completed_at, resolved_seq) ON v.id = l.id
    WHERE s.execution_id = v.id AND s.seq = v.seq AND s.seq = ANY($15::int[]) AND s.attempt = v.attempt
      AND s.status = 'running'
    RETURNING s.execution_id
)"""
_SEEN = """
seen AS (
    UPDATE automation_executionstep s SET resolved_seq = v.resolved_seq, due = NULL
    FROM held h JOIN unnest(${a}::uuid[], ${b}::int[], ${c}::int[]) AS v (id, seq, resolved_seq) ON v.id = h.id
    WHERE s.execution_id = v.id AND s.seq = v.seq AND s.seq = ANY(${b}::int[])
)"""
_SEE = Hot(
    "see",
    """
UPDATE automation_executionstep s SET resolved_seq = v.resolved_seq, due = NULL
FROM unnest($2::int[], $3::int[]) AS v (seq, resolved_seq)
WHERE s.execution_id = $1 AND s.seq = v.seq AND s.seq = ANY($2::int[])
RETURNING 1
""",
)
_CANCELLED = """
cancelled AS (
    UPDATE automation_executionstep s
    SET cancel_requested = TRUE,
        status = CASE WHEN s.status = 'pending' THEN 'cancelled' ELSE s.status END,
        resolved_seq = CASE WHEN s.status = 'pending' THEN v.mark ELSE s.resolved_seq END,
        completed_at = CASE WHEN s.status = 'pending' THEN $12 ELSE s.completed_at END,
        due = CASE WHEN s.status = 'pending' THEN NULL ELSE s.due END
    FROM held h JOIN unnest(${a}::uuid[], ${b}::int[], ${c}::int[]) AS v (id, seq, mark) ON v.id = h.id
    WHERE s.execution_id = v.id AND (v.seq IS NULL OR s.seq = v.seq OR s.canvas = v.seq)
      AND s.seq >= COALESCE(v.seq, -2147483648)
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


_ENDED = """
ended AS (
    INSERT INTO automation_executionstep (execution_id, seq, kind, name, status, attempt, resolved_seq, options, input,
                                          output, failure, created_at, started_at, completed_at)
    SELECT v.id, v.seq, v.kind, v.name, v.status, v.attempt, 0, v.options, v.input, v.output, v.failure, $12,
           v.started_at, v.completed_at
    FROM held h
    JOIN unnest(${a}::uuid[], ${b}::int[], ${c}::text[], ${d}::text[], ${e}::text[], ${f}::int[], ${g}::text[],
                ${h}::text[], ${i}::text[], ${j}::text[], ${k}::timestamptz[], ${l}::timestamptz[])
         AS v (id, seq, kind, name, status, attempt, options, input, output, failure, started_at, completed_at)
         ON v.id = h.id
)"""


@functools.cache
def _statement(settles: bool, seen: bool, cancels: bool, adds: bool, ended: bool) -> Hot:
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
        parts.append(numbered(_CANCELLED, 3))
    if adds:
        parts.append(numbered(_NEW, 16))
    if ended:
        parts.append(numbered(_ENDED, 12))
    form = "".join("-x"[part] for part in (settles, seen, cancels, adds, ended))
    return Hot(f"append_{form}", "WITH " + ",".join(parts) + " SELECT id, unread_none FROM held")  # noqa: S608  (constants only)


def append(decisions: Sequence[Decision], worker: str, now: dt.datetime) -> set[uuid.UUID]:
    if sum(len(decision.seen) for decision in decisions) <= SEEN_TOGETHER:
        return _append(decisions, [decision.seen for decision in decisions], worker, now)
    share = max(1, SEEN_TOGETHER // len(decisions))
    with transaction.atomic():
        held = _append(decisions, [decision.seen[:share] for decision in decisions], worker, now)
        for decision in decisions:
            left = decision.seen[share:] if decision.execution_id in held else []
            for at in range(0, len(left), SEEN_TOGETHER):
                seqs, orders = zip(*left[at : at + SEEN_TOGETHER], strict=True)
                _SEE.run(decision.execution_id, seqs, orders)
    return held


def _append(
    decisions: Sequence[Decision], told: Sequence[Sequence[tuple[int, int]]], worker: str, now: dt.datetime
) -> set[uuid.UUID]:
    """In one statement; `told` is what each decision has seen."""
    endings = [decision.ending for decision in decisions]
    settled = [(d.execution_id, d.settled, d.settled_order) for d in decisions if d.settled is not None]
    seen = [(d.execution_id, seq, order) for d, own in zip(decisions, told, strict=True) for seq, order in own]
    # 0 marks what the code itself took back, and replay takes back again. What an end cuts off can be retried with it.
    cancelled: list[tuple[uuid.UUID, int | None, int | None]] = [
        (d.execution_id, seq, 0 if d.ending is None else None) for d in decisions for seq in d.cancelled
    ]
    cancelled += [(d.execution_id, None, None) for d in decisions if d.ending is not None and d.leaves_open]
    new = [(d.execution_id, step) for d in decisions for step in d.new if step.completed_at is None]
    ended = [(d.execution_id, step) for d in decisions for step in d.new if step.completed_at is not None]
    parameters: list[Value] = [
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
    if ended:
        parameters += [
            [id_ for id_, _ in ended],
            [step.seq for _, step in ended],
            [step.kind for _, step in ended],
            [step.name for _, step in ended],
            [step.status for _, step in ended],
            [step.attempt for _, step in ended],
            [step.options for _, step in ended],
            [step.input for _, step in ended],
            [step.output for _, step in ended],
            [step.failure for _, step in ended],
            [step.started_at for _, step in ended],
            [step.completed_at for _, step in ended],
        ]
    statement = _statement(bool(settled), bool(seen), bool(cancelled), bool(new), bool(ended))
    held = {uuid.UUID(id_): unread_none == "t" for id_, unread_none in statement.rows(*parameters)}
    for decision in decisions:
        decision.unread = not held.get(decision.execution_id, True)
    return set(held)
