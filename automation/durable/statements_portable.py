"""The hot statements for databases other than PostgreSQL: short transactions through the ORM.

SQLite begins each of them with BEGIN IMMEDIATE (see settings), so that they run one at a time; other databases lock the
rows they read.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, Q

from automation.durable.arrivals import EARLY, Wanted
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.models import ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution

_UNFINISHED = (StepStatus.PENDING, StepStatus.RUNNING)
_STEP_FIELDS = StepRecord._fields


def start(row: WorkflowExecution) -> None:
    row.save(force_insert=True)


def take_over(
    wanted: Sequence[tuple[uuid.UUID, int | None]], worker: str, now: dt.datetime, lease: dt.datetime
) -> list[ExecutionRecord]:
    epochs = dict(wanted)
    taken = []
    with transaction.atomic():
        rows = (
            WorkflowExecution.objects.select_for_update()
            .filter(id__in=epochs, status__in=("pending", "running"), paused_at=None)
            .order_by("id")
        )
        for row in rows:
            epoch = epochs[row.id]
            fresh = row.started_at is None
            too_early = fresh and row.scheduled_for is not None and row.scheduled_for > now + EARLY
            if too_early or (epoch is not None and epoch != row.epoch):
                continue
            row.epoch += 1
            row.started_at = row.started_at or now
            WorkflowExecution.objects.filter(id=row.id).update(
                epoch=row.epoch, status=ExecutionStatus.RUNNING, started_at=row.started_at, worker=worker, due=lease
            )
            steps = 0 if fresh and not row.inbox_seq else 1
            values = {field: getattr(row, field) for field in ExecutionRecord._fields if field != "steps"}
            taken.append(ExecutionRecord(**{**values, "status": "running"}, steps=steps))
    return taken


def load_steps(executions: Sequence[uuid.UUID]) -> list[StepRecord]:
    steps = ExecutionStep.objects.filter(execution_id__in=executions).order_by("execution_id", "seq")
    return [StepRecord(*row) for row in steps.values_list(*_STEP_FIELDS)]


def load_wanted(wanted: Sequence[Wanted]) -> list[StepRecord]:
    told = ~Q(status__in=_UNFINISHED) | Q(due=None) | Q(canvas__isnull=False) | Q(kind__in=("child", "external"))
    found: list[StepRecord] = []
    for one in wanted:
        steps = ExecutionStep.objects.filter(execution_id=one.execution_id).values_list(*_STEP_FIELDS)
        rows = [*steps.filter(Q(seq__gt=one.above) | Q(seq__lt=one.below)), *steps.filter(told, seq__in=one.open)]
        found += sorted((StepRecord(*row) for row in rows), key=lambda step: step.seq)
    return found


def append(decisions: Sequence[Decision], worker: str, now: dt.datetime) -> set[uuid.UUID]:
    held = set()
    with transaction.atomic():
        for decision in sorted(decisions, key=lambda decision: decision.execution_id):
            if _append(decision, worker, now):
                held.add(decision.execution_id)
    return held


def _append(decision: Decision, worker: str, now: dt.datetime) -> bool:
    ending = decision.ending
    row = (
        WorkflowExecution.objects.select_for_update()
        .filter(id=decision.execution_id, epoch=decision.epoch, status=ExecutionStatus.RUNNING)
        .first()
    )
    if row is None or (ending is not None and row.inbox_seq != decision.inbox_seq):
        return False
    steps = ExecutionStep.objects.filter(execution_id=decision.execution_id)
    if decision.settled is not None and not _settle(
        decision.execution_id, decision.settled, None, resolved_seq=decision.settled_order
    ):
        return False
    changes: dict[str, object] = {"recoveries": 0}
    if not decision.keeps:
        changes["worker"] = ""
    decision.unread = row.inbox_seq != decision.inbox_seq
    if not decision.unread and not decision.keeps:
        changes["due"] = decision.due
    if ending is not None:
        changes |= {
            "status": ending.status,
            "result": ending.result,
            "failure": ending.failure,
            "error_message": ending.error_message,
            "actions_executed": ending.actions_executed,
            "actions_failed": ending.actions_failed,
            "completed_at": now,
        }
    WorkflowExecution.objects.filter(id=row.id).update(**changes)
    for seq, order in decision.seen:
        steps.filter(seq=seq).update(resolved_seq=order, due=None)
    doomed = Q(seq__in=decision.cancelled) | Q(canvas__in=decision.cancelled)
    if ending is not None and decision.leaves_open:
        doomed = Q()
    if decision.cancelled or (ending is not None and decision.leaves_open):
        steps.filter(doomed, status__in=_UNFINISHED).update(cancel_requested=True)
        steps.filter(doomed, status=StepStatus.PENDING).update(
            # 0 marks what the code itself took back, and replay takes back again. What an end cuts off can be retried
            # with it.
            status=StepStatus.CANCELLED,
            resolved_seq=0 if ending is None else None,
            due=None,
            completed_at=now,
        )
    ExecutionStep.objects.bulk_create([_row(decision.execution_id, step, worker, now) for step in decision.new])
    return True


def _row(execution: uuid.UUID, step: NewStep, worker: str, now: dt.datetime) -> ExecutionStep:
    claimed = step.status == StepStatus.RUNNING
    ended = step.completed_at is not None
    return ExecutionStep(
        execution_id=execution,
        seq=step.seq,
        kind=step.kind,
        name=step.name,
        status=step.status,
        attempt=1 if claimed else step.attempt,
        resolved_seq=0 if ended else None,
        queue=step.queue,
        priority=step.priority,
        canvas=step.canvas,
        stage=step.stage,
        options=step.options,
        input=step.input,
        output=step.output,
        failure=step.failure,
        run_at=step.run_at,
        due=step.due,
        worker=worker if claimed else "",
        created_at=now,
        started_at=now if claimed else step.started_at,
        completed_at=step.completed_at,
    )


def carry(
    execution: uuid.UUID,
    epoch: int,
    inbox_seq: int,
    done: Outcome,
    order: int,
    step: NewStep,
    worker: str,
) -> bool:
    with transaction.atomic():
        held = WorkflowExecution.objects.select_for_update().filter(id=execution, epoch=epoch, inbox_seq=inbox_seq)
        if held.first() is None or not _settle(execution, done, None, resolved_seq=order):
            return False
        step.status, step.due = "running", None
        _row(execution, step, worker, done.completed_at).save(force_insert=True)
    return True


def begin(execution: uuid.UUID, epoch: int, inbox_seq: int, step: NewStep, worker: str, now: dt.datetime) -> bool:
    with transaction.atomic():
        held = WorkflowExecution.objects.select_for_update().filter(id=execution, epoch=epoch, inbox_seq=inbox_seq)
        if held.first() is None:
            return False
        step.status, step.due = "running", None
        _row(execution, step, worker, now).save(force_insert=True)
    return True


def watch(executions: Sequence[uuid.UUID], due: dt.datetime) -> None:
    ExecutionStep.objects.filter(execution_id__in=executions, status=StepStatus.RUNNING, due=None).update(due=due)


def _settle(execution: uuid.UUID, done: Outcome, due: dt.datetime | None, **more: object) -> bool:
    attempt = ExecutionStep.objects.filter(
        execution_id=execution, seq=done.seq, attempt=done.attempt, status=StepStatus.RUNNING
    )
    return bool(
        attempt.update(
            status=done.status,
            output=done.output,
            failure=done.failure,
            completed_at=done.completed_at,
            due=due,
            **more,
        )
    )


def finish(decision: Decision, worker: str) -> bool:
    ended = decision.settled
    return ended is not None and bool(append([decision], worker, ended.completed_at))


def let_go(execution: uuid.UUID, epoch: int, inbox_seq: int, due: dt.datetime) -> bool:
    with transaction.atomic():
        held = WorkflowExecution.objects.select_for_update().filter(
            id=execution, epoch=epoch, status=ExecutionStatus.RUNNING
        )
        row = held.first()
        if row is None:
            return False
        unread = row.inbox_seq != inbox_seq
        held.update(worker="", due=due if unread else None)
        watch([execution], due)
    return unread


def load_members(execution: uuid.UUID, seqs: Sequence[int]) -> list[StepRecord]:
    rows = ExecutionStep.objects.filter(execution_id=execution, seq__in=seqs).values_list(*_STEP_FIELDS)
    by_seq = {record.seq: record for record in (StepRecord(*row) for row in rows)}
    return [by_seq[seq] for seq in seqs if seq in by_seq]


def _claim(record: StepRecord, worker: str, now: dt.datetime, lease: dt.datetime, **ready: object) -> StepRecord | None:
    step = ExecutionStep.objects.filter(
        Q(run_at=None) | Q(run_at__lte=now + EARLY),
        execution_id=record.execution_id,
        seq=record.seq,
        status=StepStatus.PENDING,
        execution__status=ExecutionStatus.RUNNING,
        execution__paused_at=None,
        **ready,
    ).first()
    if step is None:
        return None
    claimed = ExecutionStep.objects.filter(id=step.id, status=StepStatus.PENDING, attempt=step.attempt).update(
        status=StepStatus.RUNNING, attempt=F("attempt") + 1, worker=worker, started_at=now, due=lease
    )
    if claimed != 1:
        return None  # somebody else got there first
    return StepRecord(*ExecutionStep.objects.values_list(*_STEP_FIELDS).get(id=step.id))


def claim(step: StepRecord, worker: str, now: dt.datetime, lease: dt.datetime) -> StepRecord | None:
    with transaction.atomic():
        return _claim(step, worker, now, lease, due__isnull=False)


def settle(
    execution: uuid.UUID,
    done: Outcome,
    due: dt.datetime | None,
    following: StepRecord | None,
    worker: str,
    lease: dt.datetime,
) -> tuple[bool, StepRecord | None]:
    with transaction.atomic():
        if not _settle(execution, done, due):
            return False, None
        if following is None:
            return True, None
        return True, _claim(following, worker, done.completed_at, lease)


def settle_many(
    execution: uuid.UUID,
    done: Sequence[tuple[Outcome, dt.datetime | None]],
    wanted: Sequence[StepRecord],
    worker: str,
    now: dt.datetime,
    lease: dt.datetime,
) -> tuple[set[int], list[StepRecord]]:
    with transaction.atomic():
        written = {outcome.seq for outcome, due in done if _settle(execution, outcome, due)}
        claimed = [_claim(step, worker, now, lease, due__isnull=False) for step in wanted]
    return written, [step for step in claimed if step is not None]


def unclaim(execution: uuid.UUID, seqs: Sequence[int], worker: str, now: dt.datetime) -> None:
    mine = ExecutionStep.objects.filter(execution_id=execution, seq__in=seqs, worker=worker, status=StepStatus.RUNNING)
    mine.update(status=StepStatus.PENDING, attempt=F("attempt") - 1, worker="", due=now)


def retry(execution: uuid.UUID, seq: int, attempt: int, failure: str, run_at: dt.datetime, due: dt.datetime) -> bool:
    running = ExecutionStep.objects.filter(
        execution_id=execution, seq=seq, attempt=attempt, status=StepStatus.RUNNING, cancel_requested=False
    )
    return bool(running.update(status=StepStatus.PENDING, failure=failure, run_at=run_at, due=due, worker=""))


def beat(
    execution: uuid.UUID, seq: int, attempt: int, details: str, now: dt.datetime, lease: dt.datetime
) -> tuple[bool, bool]:
    running = ExecutionStep.objects.filter(execution_id=execution, seq=seq, attempt=attempt, status=StepStatus.RUNNING)
    if not running.update(heartbeat=details, heartbeat_at=now, due=lease):
        return False, True
    return True, bool(running.values_list("cancel_requested", flat=True).first())


def fire(timers: Sequence[tuple[uuid.UUID, int]], now: dt.datetime, due: dt.datetime) -> list[uuid.UUID]:
    wanted = set(timers)
    woken = []
    with transaction.atomic():
        steps = ExecutionStep.objects.filter(
            execution_id__in={execution for execution, _ in wanted},
            kind=StepKind.TIMER,
            status=StepStatus.PENDING,
            run_at__lte=now + EARLY,
            execution__status=ExecutionStatus.RUNNING,
            execution__paused_at=None,
        ).values_list("id", "execution_id", "seq")
        for id_, execution, seq in steps:
            if (execution, seq) in wanted:
                ExecutionStep.objects.filter(id=id_, status=StepStatus.PENDING).update(
                    status=StepStatus.COMPLETED, completed_at=now, due=due
                )
                woken.append(execution)
    return list(dict.fromkeys(woken))
