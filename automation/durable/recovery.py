"""Sweeps: rows that are due, put back on their way.

A sweep re-enqueues and never executes. It is limited in batch size, skips what another sweep holds, isolates an error
to its row, and moves each row's `due` before it publishes, further the older the row is: so it can run twice at once,
and a long queue is not flooded with duplicates.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from automation import clock
from automation.durable import canvas, closing, deadlines, liveness, recovery_steps, statements, states, timers
from automation.models import ENDED_STATUSES, OPEN_STATUSES, ExecutionStatus, ExecutionStep, WorkflowExecution

logger = logging.getLogger(__name__)

Sweep = Callable[[dt.datetime], int]

_registered: dict[str, Sweep] = {}


def register_sweep(name: str, sweep: Sweep) -> None:
    """Have `sweep(now)` run with every sweep; it returns how many rows it put back on their way."""
    _registered[name] = sweep


def sweep() -> dict[str, int]:
    """Run every sweep once. Returns, by name, how many rows each put back on their way; -1 where one raised."""
    report = {}
    for name, one in {**_SWEEPS, **_registered}.items():
        try:
            report[name] = one(clock.now())
        except Exception:
            # The next sweep tries again; the others must not wait for it.
            logger.exception("the sweep of %s failed", name)
            report[name] = -1
    return report


def sweep_executions(now: dt.datetime) -> int:
    """Executions that are due: planned ones whose time is near, unpublished and unclaimed ones, and those whose
    advance lost its worker."""
    total = 0
    for _ in range(timers.MAX_BATCHES):
        count = _sweep_batch(now)
        total += count
        if count < settings.DURABLE_SWEEP_BATCH:
            break
    return total


def _sweep_batch(now: dt.datetime) -> int:
    ahead = now + dt.timedelta(seconds=settings.DURABLE_LOOKAHEAD)
    with transaction.atomic():
        rows = list(
            WorkflowExecution.objects.select_for_update(skip_locked=True)
            .filter(
                Q(due__lte=now) | Q(due__lte=ahead, due=F("scheduled_for"), status=ExecutionStatus.PENDING),
                namespace=settings.WORKFLOW_NAMESPACE,
            )
            .order_by("due")
            .defer("input", "result", "failure")[: settings.DURABLE_SWEEP_BATCH]
        )
        if not rows:
            return 0
        lost, dead = _judge(rows, now)
        asleep = [row for row in rows if row.status not in OPEN_STATUSES or row.paused_at is not None]
        idle = [row for row in rows if row not in asleep and not row.worker]
        held = [row for row in rows if row not in asleep and row.worker and row not in lost and row not in dead]
        # What has ended and is due has not told everybody of it, unless it waits for a person.
        over = [row for row in asleep if row.completed_at is not None and row.status not in closing.WAITING]
        _update(over, due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN))
        _update([row for row in asleep if row.status in ENDED_STATUSES and row not in over], due=None)
        _update(
            [row for row in asleep if row.status not in ENDED_STATUSES],
            due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MAX),
        )
        _update(held, due=now + dt.timedelta(seconds=settings.DURABLE_LEASE))
        # What a visit has been running for longer than a lease, or ran when it died, is watched by itself from now on.
        statements.current().watch([row.id for row in (*held, *lost, *dead)], now)
        _update(
            lost,
            worker="",
            epoch=F("epoch") + 1,
            recoveries=F("recoveries") + 1,
            due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN),
        )
        for wait, group in _by_wait(idle, now):
            _update(group, due=now + wait)
    for row in over:
        closing.settle_quietly(row.id)
    for row in lost:
        row.epoch += 1
    _send([*idle, *lost, *_unread(held)], now)
    for row in dead:
        states.dead_letter(row.id, _give_up_text(row.recoveries), now)
    return len(rows)


def _unread(rows: Sequence[WorkflowExecution]) -> list[WorkflowExecution]:
    """Of the executions that a living worker has had for a lease, those with a message that nobody has read: the worker
    runs a step, and whoever was to read the message meanwhile has not come."""
    waiting = ExecutionStep.objects.filter(execution__in=[row.id for row in rows], seq__lt=0, resolved_seq=None)
    found = set(waiting.values_list("execution_id", flat=True)) if rows else set()
    return [row for row in rows if row.id in found]


def _judge(
    rows: Sequence[WorkflowExecution], now: dt.datetime
) -> tuple[list[WorkflowExecution], list[WorkflowExecution]]:
    """Of the executions that are being advanced, those that lost their worker, and of these those to give up."""
    held = [row for row in rows if row.worker and row.status in OPEN_STATUSES and row.paused_at is None]
    if not held:
        return [], []
    # An advance's claim was made when its lease began.
    lease = dt.timedelta(seconds=settings.DURABLE_LEASE)
    gone = liveness.dead({row.worker: (row.due or now) - lease for row in held}, now)
    lost = [row for row in held if row.worker in gone]
    dead = [row for row in lost if row.recoveries >= settings.DURABLE_MAX_RECOVERIES]
    return [row for row in lost if row not in dead], dead


def _give_up_text(recoveries: int) -> str:
    return f"given up: its advance lost its worker {recoveries + 1} times; see the workers' logs, then re-drive"


def _by_wait(
    rows: Sequence[WorkflowExecution], now: dt.datetime
) -> Iterable[tuple[dt.timedelta, list[WorkflowExecution]]]:
    """Rows by how long to wait before they are published once more."""
    groups: dict[dt.timedelta, list[WorkflowExecution]] = {}
    for row in rows:
        since = row.scheduled_for or row.created_at
        wait = max(dt.timedelta(0), since - now) + timers.backoff(now - since if row.started_at is None else None)
        groups.setdefault(wait, []).append(row)
    return groups.items()


def _update(rows: Sequence[WorkflowExecution], **changes: Any) -> None:
    if rows:
        WorkflowExecution.objects.filter(id__in=[row.id for row in rows]).update(**changes)


def _send(rows: Sequence[WorkflowExecution], now: dt.datetime) -> None:
    groups: dict[tuple[str, int], list[WorkflowExecution]] = {}
    for row in rows:
        groups.setdefault((row.queue, row.priority), []).append(row)
    for (queue, priority), members in groups.items():
        for wait, bucket in timers.buckets(members, lambda row: row.scheduled_for, now):
            pairs = [(row.id, row.epoch) for row in bucket]
            canvas.visit(pairs, queue, countdown=wait, priority=priority)


_SWEEPS: dict[str, Sweep] = {
    "executions": sweep_executions,
    "steps": recovery_steps.sweep,
    "deadlines": deadlines.sweep,
}
