"""The inbox: rows that come to an execution from outside, with a negative `seq`, in the order of their coming.

A message wakes its execution, unless a worker is just advancing it: that one finds the message when it writes what it
has decided, and reads on. So a steady stream of signals is read in batches by whoever has the live run, instead of one
worker after the other replaying the history in vain.

They are written under the execution's lock, so the order is one for everybody. Whether one came before the execution
began is told by the lock as well, and written with it: those are handled before the code's first line (replay must know
them from one that came right after).
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from automation import clock
from automation.durable import canvas, gathering, payloads, states
from automation.durable.postgres import Hot
from automation.durable.records import StepRecord
from automation.errors import InvalidInput
from automation.models import OPEN_STATUSES, ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution

RECEIVING = (*OPEN_STATUSES, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
"""An execution in one of these takes messages; where it waits for a person, they wait with it."""


MAX_NAME = 190
"""Characters of a message's name; in the row of an execution that sends it there is a word before."""


class Delivered(NamedTuple):
    """A message that has been put into an inbox; `seq` is negative. `epoch`: the execution's at that moment. Whoever
    takes it over at a later one reads the message."""

    seq: int
    epoch: int
    queue: str
    priority: int
    wakes: bool


@functools.lru_cache(maxsize=1024)
def options(*, early: bool, update_id: str = "", key: str = "") -> str:
    """What stands in a message's options. key: the same however often it is delivered."""
    data: dict[str, object] = {"early": True} if early else {}
    if update_id:
        data["id"] = update_id
    if key:
        data["key"] = key
    return payloads.encode_plain(data, "options") if data else ""


def update_id(text: str) -> str:
    """The id of an update, from its options."""
    return str((payloads.decode(text) or {}).get("id", ""))


def came_early(step: StepRecord) -> bool:
    """Whether a message came before its execution began."""
    return step.seq < 0 and step.options.startswith('{"early"')


def check_name(kind: str, name: str) -> None:
    """Raise InvalidInput for what cannot be a message's name."""
    if not 0 < len(name) <= MAX_NAME or "\0" in name or not name.isprintable():
        raise InvalidInput(f"the {kind}'s name is a text of 1 to {MAX_NAME} printable characters, not {name[:60]!r}")


def put(
    row: WorkflowExecution,
    kind: str,
    name: str,
    text: str,
    now: dt.datetime,
    *,
    update_id: str = "",
    key: str = "",
) -> int:
    """Put a message into the inbox of an execution that is locked, and wake it after commit; returns its seq."""
    check_name(kind, name)
    early = row.started_at is None
    row.inbox_seq += 1
    waits = kind == StepKind.UPDATE  # for its answer
    ExecutionStep.objects.create(
        execution=row,
        seq=-row.inbox_seq,
        kind=kind,
        name=name,
        status=StepStatus.PENDING if waits else StepStatus.COMPLETED,
        options=options(early=early, update_id=update_id, key=key),
        input=text,
        created_at=now,
        completed_at=None if waits else now,
    )
    going = not early and row.status in OPEN_STATUSES
    changes: dict[str, object] = {"inbox_seq": row.inbox_seq}
    if going and not row.worker:
        changes["due"] = now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)
    WorkflowExecution.objects.filter(id=row.id).update(**changes)
    wakes = going and (not row.worker or _carries(row.id, row.worker))
    _wake(row.id, Delivered(-row.inbox_seq, row.epoch, row.queue, row.priority, wakes))
    return -row.inbox_seq


def note_cancel(execution: uuid.UUID, reason: str) -> int:
    """Keep a request to cancel that has ended an execution at once, whose code is not told of it; returns its seq."""
    row = WorkflowExecution.objects.get(id=execution)  # locked by the caller
    row.inbox_seq += 1
    row.save(update_fields=["inbox_seq"])
    now = clock.now()
    ExecutionStep.objects.create(
        execution=row,
        seq=-row.inbox_seq,
        kind=StepKind.CANCEL,
        name="cancel",
        status=StepStatus.COMPLETED,
        resolved_seq=0,
        input=payloads.encode({"reason": reason}),
        created_at=now,
        completed_at=now,
    )
    return -row.inbox_seq


def tell_again(before: uuid.UUID, following: WorkflowExecution) -> None:
    """Put the signals that an execution was told into the inbox of one that begins in its place."""
    for step in ExecutionStep.objects.filter(execution_id=before, kind=StepKind.SIGNAL, seq__lt=0).order_by("-seq"):
        following.inbox_seq += 1
        step.pk = None
        step.execution, step.seq, step.resolved_seq = following, -following.inbox_seq, None
        step.options = options(early=True, **_marks(step.options))
        step.save(force_insert=True)
    if following.inbox_seq:
        following.save(update_fields=["inbox_seq"])


def hand_on(before: uuid.UUID, following: WorkflowExecution) -> None:
    """Move what a run was not told before it continued as new into the inbox of the next run, which nobody has seen
    yet; in the transaction of both."""
    unread = ExecutionStep.objects.filter(execution_id=before, seq__lt=0, resolved_seq=None).order_by("-seq")
    for number, step in enumerate(unread, start=1):
        step.execution, step.seq = following, -number
        step.options = options(early=True, **_marks(step.options))
        step.save(update_fields=["execution", "seq", "options"])
        following.inbox_seq = number
    if following.inbox_seq:
        following.save(update_fields=["inbox_seq"])


def _marks(text: str) -> dict[str, str]:
    """What `options` was given besides."""
    data = payloads.decode(text) or {}
    return {name: str(data[short]) for short, name in (("id", "update_id"), ("key", "key")) if short in data}


def signal(execution: uuid.UUID, name: str, text: str) -> Delivered | None:
    """Put a signal into an execution's inbox and wake it after commit; None when it has ended, or there is none."""
    now = clock.now()
    check_name(StepKind.SIGNAL, name)
    if connection.vendor != "postgresql":
        return _signal_portably(execution, name, text, now)
    delivered = _signal_in_one(execution, name, text, now)
    if delivered is not None:
        _wake(execution, delivered)
    return delivered


def _signal_portably(execution: uuid.UUID, name: str, text: str, now: dt.datetime) -> Delivered | None:
    with transaction.atomic():
        row = states.lock(execution)
        if row is None or row.status not in RECEIVING:
            return None
        seq = put(row, StepKind.SIGNAL, name, text, now)
        return Delivered(seq, row.epoch, row.queue, row.priority, row.started_at is not None)


_SIGNAL = Hot(
    "signal",
    """
WITH e AS (
    UPDATE automation_workflowexecution
    SET inbox_seq = inbox_seq + 1,
        due = CASE WHEN status = 'running' AND worker = '' THEN $5 ELSE due END
    WHERE id = $1 AND status IN ('pending', 'running', 'parked', 'dead_letter')
    RETURNING id, inbox_seq, epoch, queue, priority, worker, started_at IS NULL AS early, status = 'running' AS going
), s AS (
    INSERT INTO automation_executionstep (execution_id, seq, kind, name, status, options, input, created_at,
                                          completed_at)
    SELECT id, -inbox_seq, 'signal', $2, 'completed', CASE WHEN early THEN '{"early":true}' ELSE '' END, $3, $4, $4
    FROM e
)
SELECT inbox_seq, epoch, queue, priority, going, worker FROM e
""",
)


def _signal_in_one(execution: uuid.UUID, name: str, text: str, now: dt.datetime) -> Delivered | None:
    due = now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)
    rows = _SIGNAL.rows(execution, name, text, now, due)
    if not rows:
        return None
    seq, epoch, queue, priority, going, worker = rows[0]
    wakes = going == "t" and (not worker or _carries(execution, worker))
    return Delivered(-int(seq or 0), int(epoch or 0), queue or "", int(priority or 0), wakes)


def _carries(execution: uuid.UUID, worker: str) -> bool:
    """Whether the worker that has the execution runs a step of it, and will look at its inbox only then. One that
    advances it looks when it writes what it has decided; to wake another would only take its decision from it."""
    last = ExecutionStep.objects.filter(execution_id=execution).order_by("-seq").values_list("status", "worker").first()
    return last == (StepStatus.RUNNING, worker)


def _wake(execution: uuid.UUID, delivered: Delivered) -> None:
    """Have the message read, after commit. What comes in quick succession is read together: with its epoch, a message
    that comes when somebody has taken the execution over since does nothing."""
    if delivered.wakes:
        transaction.on_commit(
            lambda: _gathering.add([(execution, delivered.epoch)], delivered.queue, delivered.priority)
        )


def _send(batch: gathering.Batch, queue: str, priority: int) -> None:
    canvas.visit(list(dict.fromkeys(batch)), queue, priority=priority)


_gathering = gathering.start(_send)
